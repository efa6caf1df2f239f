# SPDX-License-Identifier: Apache-2.0
"""What became of a container on a real engine."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caplet.run.status import Observed


@dataclass(frozen=True, slots=True)
class Seen:
    """One container: how far it came, and the credentials of its first program."""

    started: bool
    """execve(2) of the first program succeeded."""
    observed: Observed | None = None
    """/proc/PID/status of the first program, read from outside; None where it did not start or had ended before."""
    secure: bool | None = None
    """AT_SECURE of the first program; None where it was not seen."""
    error: str = ""
    """Why it did not start, in the engine's or the OCI runtime's words."""
    refused: bool = False
    """The engine did not get as far as execve(2): it made no container, or none that starts."""
    exit_code: int | None = None
    """None while it runs: a server is not waited for."""
    port_start: int | None = None
    """net.ipv4.ip_unprivileged_port_start in the container's network; None where that could not be read."""
    stdout: str = ""
    stderr: str = ""
    """What it wrote as long as it was looked at."""


def refusal(message: str) -> Seen:
    """The engine said no."""
    return Seen(started=False, error=message, refused=True)


EXEC_ERROR = re.compile(
    r"(?:standard_init_linux\.go:\d+: )?"
    r"(?P<error>exec (?:container process `[^\n]*`|user process caused|[^\n]*): [^\n:]+)"
)
"""What the OCI runtime writes to the container's standard error when execve(2) fails: runc libcontainer/
standard_init_linux.go Init (before 1.1 with the file's name and line), crun src/libcrun/container.c container_init."""


def judged(seen: Seen) -> Seen:
    """An ended container whose only output is the runtime's word on execve(2) has not started.

    containerd, Docker and runc say that a start succeeded when the process is about to call execve(2): its failure is
    seen only in the container's own standard error and exit code.
    """
    lines = seen.stderr.strip().splitlines()
    if seen.observed is not None or seen.stdout or not lines:
        return seen
    found = EXEC_ERROR.fullmatch(_message(lines[-1]))
    if found is None:
        return seen
    return replace(seen, started=False, error=found["error"])


def _message(line: str) -> str:
    """Crun writes JSON where its log is JSON: {"msg": ..., "level": "error", "time": ...}."""
    try:
        document = json.loads(line)
    except ValueError:
        return line.strip()
    return str(document.get("msg", line)) if isinstance(document, dict) else line.strip()
