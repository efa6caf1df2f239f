# SPDX-License-Identifier: Apache-2.0
"""What the shipped probe printed: the credentials at every execve(2), and what its own calls came to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.run.readback import read_probe

if TYPE_CHECKING:
    from caplet.kernel.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Probed:
    """One run of the probe, or of several that became one another."""

    executed: tuple[Credentials, ...]
    """After each execve(2), in order."""
    results: tuple[int, ...]
    """Of each call: a value, or -errno. An execve(2) that succeeded has none."""


def probed(text: str) -> Probed:
    """Read the probe's output; a report that follows a result shows what that call left, and no new program."""
    executed: list[Credentials] = []
    results: list[int] = []
    called = False
    for match in re.finditer(
        r"^result (?P<result>-?\d+)\n|^uid .*\n(?:(?!uid |result ).*\n)*", text, re.MULTILINE
    ):
        if match["result"] is not None:
            results.append(int(match["result"]))
            called = True
            continue
        if not called:
            executed.append(read_probe(match[0]))
        called = False
    return Probed(tuple(executed), tuple(results))
