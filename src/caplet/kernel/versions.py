# SPDX-License-Identifier: Apache-2.0
"""Versions of Linux, as far as they change what becomes of credentials.

Each rule that changed is a constant here: the first release that has the new one.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from caplet.errors import InvalidInput
from caplet.kernel.caps import Cap


@dataclass(frozen=True, slots=True, order=True)
class Kernel:
    """A release of Linux: `Kernel(6, 12)`."""

    major: int
    minor: int

    @classmethod
    def parse(cls, release: str) -> Kernel:
        """`uname -r`, or a version by hand: `6.1.0-37-amd64`, `5.15`."""
        match = re.match(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", release)
        if match is None:
            raise InvalidInput(f"{release!r} is not a version of Linux", "give it as `uname -r` does: 6.12")
        return cls(int(match[1]), int(match[2]))

    @property
    def last_cap(self) -> Cap:
        """CAP_LAST_CAP."""
        return _last_cap(self.major, self.minor)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@functools.cache
def _last_cap(major: int, minor: int) -> Cap:
    return max(cap for cap in Cap if _version(cap.since) <= (major, minor))


def _version(since: str) -> tuple[int, int]:
    major, minor = since.split(".")[:2]
    return int(major), int(minor)


EXEC_SECUREBITS = Kernel(6, 14)
"""SECBIT_EXEC_RESTRICT_FILE and SECBIT_EXEC_DENY_INTERACTIVE, which need no capability: commit a0623b2a1db3."""

ID_CHANGED = Kernel(6, 17)
"""execve compares with the effective ids and all groups, not the real ids: commit 337490f0007f
("exec: Correct the permission check for unsafe exec"), in 6.18 but not in 6.12; the first release is inferred from
linux-next of June 2025."""

NEWEST = Kernel(6, 18)
"""The newest that the model was compared with; 6.1 is the oldest."""
