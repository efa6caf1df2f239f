# SPDX-License-Identifier: Apache-2.0
"""The system calls of namespaces and mounts that Python's `os` lacks, by their names in man section 2."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct

CLONE_NEWNS = 0x0002_0000
CLONE_NEWCGROUP = 0x0200_0000
CLONE_NEWUTS = 0x0400_0000
CLONE_NEWIPC = 0x0800_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x4_0000
MS_STRICTATIME = 0x100_0000
"""include/uapi/linux/mount.h."""

MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
]
_libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
_libc.unshare.argtypes = [ctypes.c_int]
_libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
"""glibc has no wrapper; arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h."""
_OPENAT2 = 437
"""The same on every architecture; Linux 5.6."""
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_IN_ROOT = 0x10
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1


def _check(result: int, where: str | bytes | None = None) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), where)


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags))


def mount(source: str, target: str, filesystem: str = "", flags: int = 0, data: str = "") -> None:
    """Mount a file system; `target` is part of the OSError."""
    _check(
        _libc.mount(source.encode(), os.fsencode(target), filesystem.encode(), flags, data.encode()), target
    )


def umount(target: str, flags: int = MNT_DETACH) -> None:
    _check(_libc.umount2(os.fsencode(target), flags), target)


def bind(source: str, target: str) -> None:
    """The same file or directory at another place, with the mounts below it."""
    _check(
        _libc.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND | MS_REC, None),
        target,
    )


def remount(target: str, flags: int) -> None:
    """Change the flags of one mount point and leave the file system's own alone."""
    _check(_libc.mount(None, os.fsencode(target), None, MS_REMOUNT | MS_BIND | flags, None), target)


def make_private(target: str) -> None:
    """Mounts below `target` no longer reach other namespaces, nor theirs this one."""
    _check(_libc.mount(b"none", os.fsencode(target), None, MS_REC | MS_PRIVATE, None), target)


def pivot_root(new_root: str) -> None:
    """Make `new_root`, a mount point, the root of this mount namespace, with the old root gone.

    pivot_root(".", ".") as pivot_root(2) "NOTES" shows it: the old root lies over the new one until it is detached.
    """
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(errno.ENOSYS, "pivot_root: unknown architecture", os.uname().machine)
    old = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(new_root)
        _check(_libc.syscall(number, b".", b"."), new_root)
        os.fchdir(old)
        make_private(".")
        umount(".")
        os.chdir("/")
    finally:
        os.close(old)


def prctl_pointer(option: int, argument: int, pointer: ctypes.Array[ctypes.c_char]) -> None:
    """The call with one number and one pointer."""
    _check(_libc.prctl(option, argument, ctypes.addressof(pointer), 0, 0))


def kill_when_parent_dies() -> None:
    """SIGKILL for this process when its parent ends from now on, however it ends."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))


def die_with_parent(parent: int) -> None:
    """kill_when_parent_dies(), or end at once when that has happened already."""
    kill_when_parent_dies()
    if os.getppid() != parent:
        os._exit(128 + signal.SIGKILL)


def join_new_session_keyring() -> None:
    """A keyring of its own, so that the container cannot read the caller's (as runc and crun do)."""
    number = _KEYCTL.get(os.uname().machine)
    if number is not None:  # ENOSYS where the kernel has no keyrings: nothing to protect then
        _libc.syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None)


def open_in_root(root: int, path: bytes, flags: int = 0) -> int:
    """openat2(2) with RESOLVE_IN_ROOT: symbolic links and `..` of the path stay below the directory `root`.

    The descriptor is O_PATH: good for mounting on through /proc/self/fd and as a directory for other calls.
    """
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC | flags, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS)
    fd: int = _libc.syscall(_OPENAT2, root, path, how, len(how))
    _check(fd, path)
    return fd
