# SPDX-License-Identifier: Apache-2.0
"""`python -m caplet`."""

from caplet.cli.entry import main

main()
