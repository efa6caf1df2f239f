# SPDX-License-Identifier: Apache-2.0
"""Whether other users can reach a file: the tests run the checkout's programs as several of them."""

from __future__ import annotations

import os
from pathlib import Path

CHECKOUT = str(Path(__file__).parents[1])


def closed_directory(path: str) -> str | None:
    """The directory nearest to the root, `path` itself included, that others may not enter; None where there is none."""
    found = [os.path.realpath(path)]
    while found[-1] != "/":
        found.append(os.path.dirname(found[-1]))
    return next((one for one in reversed(found) if not os.stat(one).st_mode & 0o001), None)
