# SPDX-License-Identifier: Apache-2.0
"""Linux capabilities for containers that run as non-root: explain, repair, prove."""

__version__ = "0.1.0"
