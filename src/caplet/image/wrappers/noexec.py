# SPDX-License-Identifier: Apache-2.0
"""Which programs hand a file that execve(2) refuses with ENOEXEC, a script without a #! line, to /bin/sh.

Shells do (POSIX.1-2024 XCU 2.9.1.6; dash src/exec.c tryexec, bash execute_cmd.c shell_execve), and glibc's execvp(3)
does (posix/execvpe.c, maybe_script_execute) for all that call it. musl's does not (src/process/execvp.c), nor do
programs that call execve themselves: gosu, s6, runit, capsh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.dynamic import read_dynamic
from caplet.image.wrappers.shell.wrapper import WRAPPERS as SHELLS

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation

_EXECVP = frozenset(
    {"tini", "tini-static", "docker-init", "dumb-init", "catatonit", "podman-init", "setpriv", "busybox setpriv", "runuser",
     "su-exec", "chroot", "timeout", "nohup", "nice", "env", "stdbuf", "setsid", "ionice", "taskset", "chrt", "unshare",
     "time", "setarch", "start-stop-daemon"}
)  # fmt: skip
_MAX_PROGRAM = 4 << 20
"""Bytes of a program that are read for its loader: tini has 25 kB, busybox 2 MB."""


def falls_back_to_sh(run: Invocation) -> bool:
    """Whether what it executes may be a script without a first line."""
    if run.name in SHELLS:
        return True
    if run.name not in _EXECVP or run.node is None:
        return False
    try:
        loader = read_dynamic(run.files.read(run.node, _MAX_PROGRAM)).interpreter
    except InvalidInput:
        return False
    if (
        loader is None
    ):  # dumb-init's own builds are static ones of musl; tini, catatonit and Debian's busybox are glibc's
        return run.name != "dumb-init"
    return b"musl" not in loader
