# SPDX-License-Identifier: Apache-2.0
"""Looks at a container's first program from outside: its /proc/PID/status, and its network's first unprivileged port."""

from __future__ import annotations

import ctypes
import os
import threading
import time

from caplet.run.network import PORT_START
from caplet.run.status import Observed, parse_status

EXEC_SECONDS = 2.0
"""From the engine's word that the container runs to execve(2) of its program: microseconds."""

POLL_SECONDS = 0.0005

_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


def first_program(pid: int, container_id: str = "") -> Observed | None:
    """The status of the process once it runs the image's program; None where it has ended, or is not on this machine.

    `container_id` must be in the name of its cgroup, where it is given: an engine in a virtual machine counts its own
    processes.
    """
    try:
        if container_id and container_id not in _read(pid, "cgroup"):
            return None
        end = time.monotonic() + EXEC_SECONDS
        while _is_runtime(pid) and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        observed = parse_status(_read(pid, "status"))
    except (OSError, KeyError):  # gone, or going: a dead task's status lacks lines
        return None
    return None if observed.state in {"Z", "X"} else observed


def port_start(pid: int) -> int | None:
    """The first port that needs no privilege in the network namespace of that process."""
    answer: list[int] = []

    def read() -> None:
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as namespace:
                if _libc.setns(namespace.fileno(), _CLONE_NEWNET):
                    return
            # The thread's own view: /proc/sys/net is of the reader's namespace (net/sysctl_net.c, net_ctl_header_lookup).
            with open(_PORT_FILE, encoding="ascii") as file:
                answer.append(int(file.read()))
        except OSError:
            return

    thread = threading.Thread(target=read)  # setns(2) changes the calling thread alone
    thread.start()
    thread.join()
    return answer[0] if answer else None


_PORT_FILE = "/proc/sys/" + PORT_START.replace(".", "/")


def _is_runtime(pid: int) -> bool:
    """Whether the process is still `runc init` or crun, which wait for the start in an anonymous copy of themselves."""
    program = os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)"))
    words = _read(pid, "cmdline").split("\0")
    return program in {"runc", "crun", "exe", "memfd:runc_cloned:"} and (
        words[1:2] == ["init"] or "crun" in words[0] or "libcrun" in words[0]
    )


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()
