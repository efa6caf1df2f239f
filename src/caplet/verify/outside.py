# SPDX-License-Identifier: Apache-2.0
"""Looks at a container's first program from outside: its /proc/PID/status, and its network's first unprivileged port."""

from __future__ import annotations

import ctypes
import struct
import threading
import time
from dataclasses import dataclass

from caplet.run.network import PORT_START
from caplet.run.status import Observed, parse_status

EXEC_SECONDS = 2.0
"""From the engine's word that the container runs to execve(2) of its program: microseconds."""

POLL_SECONDS = 0.0005

AT_SECURE = 23
"""include/uapi/linux/auxvec.h."""
PAIR = struct.calcsize("@NN")


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be seen of a process from outside."""

    observed: Observed
    secure: bool | None
    """AT_SECURE of its auxiliary vector: whether the dynamic loader distrusts the environment."""
    port_start: int | None


_CLONE_NEWNET = 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


def first_program(pid: int, container_id: str = "") -> Look | None:
    """The process once it runs the image's program; None where it has ended, or is not on this machine.

    `container_id` must be in the name of its cgroup, where it is given: an engine in a virtual machine counts its own
    processes.
    """
    try:
        if container_id and container_id not in _read(pid, "cgroup"):
            return None
        auxv: dict[int, int] | None = {}
        end = time.monotonic() + EXEC_SECONDS
        while auxv == {} and time.monotonic() < end:
            auxv = {} if _is_runtime(pid) else _auxv(pid)
            if not auxv:
                time.sleep(POLL_SECONDS)
        observed = parse_status(_read(pid, "status"))
    except (OSError, KeyError):  # gone, or going: a dead task's status lacks lines
        return None
    if observed.state in {"Z", "X"}:
        return None
    secure = None if auxv is None else auxv.get(AT_SECURE)
    return Look(observed, None if secure is None else bool(secure), port_start(pid))


def _auxv(pid: int) -> dict[int, int] | None:
    """The auxiliary vector, which execve(2) writes last; empty before. None where this user may not read it.

    In the middle of execve the program is the new one and the credentials are the old ones. Who opens this file waits
    for both (fs/proc/base.c proc_mem_open, mm_access() takes exec_update_lock), so the status is to be read after it.
    """
    try:
        with open(f"/proc/{pid}/auxv", "rb") as file:
            data = file.read()
    except PermissionError:
        return None
    pairs = dict(struct.iter_unpack("@NN", data[: len(data) // PAIR * PAIR]))
    pairs.pop(0, None)  # AT_NULL, the end
    return pairs


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
    """Whether the process is still the OCI runtime, which waits for its start.

    Its program's file tells nothing: it is an anonymous copy, named `/`. runc names itself `runc:[2:INIT]`
    (libcontainer/nsenter/nsexec.c), crun has the name of its file.
    """
    name = _read(pid, "comm").rstrip("\n")
    return name.startswith("runc:[") or name == "crun"


def _read(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}", encoding="utf-8", errors="replace") as file:
        return file.read()
