# SPDX-License-Identifier: Apache-2.0
"""The id maps of another process's new user namespace: /proc/PID/uid_map and gid_map, user_namespaces(7)."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from caplet.errors import CapletError
from caplet.run.calls import CLONE_NEWUSER, Raw

if TYPE_CHECKING:
    from caplet.kernel.syscalls import UnshareUser

NS_GET_PARENT = 0xB702
"""ioctl_ns(2)."""


def write_maps(pid: int, call: UnshareUser) -> None:
    """Write the maps of the user namespace that the process made, as root of its parent: only from there may they be written.

    The process must be dumpable (prctl(2) PR_SET_DUMPABLE): the files below /proc/PID of another belong to a root that may not be
    mapped in the parent, and then nobody there can open them (task_dump_owner(), `fs/proc/base.c`).
    Does nothing where there are maps already: then the unshare was refused, and this is the namespace that the process was in.
    """
    if _mapped(pid):
        return
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    own = os.stat("/proc/self/ns/user").st_ino
    try:
        parent = fcntl.ioctl(namespace, NS_GET_PARENT)
    finally:
        os.close(namespace)
    try:
        if os.fstat(parent).st_ino == own:
            _put_maps(pid, call)
        else:
            _put_maps_from(parent, pid, call)
    finally:
        os.close(parent)


def _mapped(pid: int) -> bool:
    for name in ("uid_map", "gid_map"):
        with open(f"/proc/{pid}/{name}", encoding="ascii") as file:
            if file.read():
                return True
    return False


def _put_maps_from(parent: int, pid: int, call: UnshareUser) -> None:
    """In a process of its own, which enters the parent namespace and has every capability there."""
    helper = os.fork()
    if helper == 0:
        status = 1
        try:
            Raw("setns", (parent, CLONE_NEWUSER))()
            _put_maps(pid, call)
            status = 0
        finally:
            os._exit(status)
    if os.waitpid(helper, 0)[1]:
        raise CapletError(f"the id maps of process {pid} cannot be written from the namespace around its own")


def _put_maps(pid: int, call: UnshareUser) -> None:
    for name, ids in (("uid_map", call.uid_map), ("gid_map", call.gid_map)):
        if ids:
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, str(ids).encode())
            finally:
                os.close(fd)
