# SPDX-License-Identifier: Apache-2.0
"""Every figure the documentation quotes, beside what a user would use instead.

`python -m bench` makes its images by script (Debian's packages, wheels, npm packages), runs caplet and its peers in turn on the
same machine in the same minutes, and writes each single measurement to a result file. Ratios inside one run are what counts.
"""
