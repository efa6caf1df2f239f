# SPDX-License-Identifier: Apache-2.0
"""Where a program of this machine is: in PATH, else in the administrator's directories, which a user's PATH may lack."""

from __future__ import annotations

import os
import shutil

SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""runc is in /usr/sbin on Debian, and Debian's users do not have that in PATH (login.defs(5) ENV_PATH)."""


def installed(name: str) -> str | None:
    """The program's path; None where it is not installed."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SBIN)))
