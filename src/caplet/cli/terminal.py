# SPDX-License-Identifier: Apache-2.0
"""Text that is safe to show, for the commands."""

from caplet.report.printable import UNSAFE_CATEGORIES, printable, shown

__all__ = ["UNSAFE_CATEGORIES", "printable", "shown"]
