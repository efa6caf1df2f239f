# SPDX-License-Identifier: Apache-2.0
"""System calls by number: what `caplet.kernel.syscalls` has as values, in the words of the machine.

Not through libc's functions: those of setuid(2) and its kin change every thread of the process (nptl(7)), and the kernel
knows but the calling one.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import Unavailable
from caplet.kernel import syscalls as k
from caplet.kernel.credentials import Denied
from caplet.kernel.namespaces import NO_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kernel.namespaces import UserNamespace

CLONE_NEWUSER = 0x1000_0000
_CAPABILITY_VERSION_3 = 0x2008_0522
"""_LINUX_CAPABILITY_VERSION_3 of `include/uapi/linux/capability.h`."""

PR_SET_DUMPABLE = 4
PR_GET_SECUREBITS = 27
_PR_SET_SECUREBITS = 28
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE, _PR_CAP_AMBIENT_LOWER, _PR_CAP_AMBIENT_CLEAR_ALL = 2, 3, 4
"""`include/uapi/linux/prctl.h`."""

_NUMBERS = {
    "x86_64": {
        "read": 0, "write": 1, "clone": 56, "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114, "setgroups": 116,
        "setresuid": 117, "setresgid": 119, "setfsuid": 122, "setfsgid": 123, "capset": 126, "prctl": 157,
        "unshare": 272, "setns": 308,
    },
    "aarch64": {
        "read": 63, "write": 64, "capset": 91, "unshare": 97, "setregid": 143, "setgid": 144, "setreuid": 145,
        "setuid": 146, "setresuid": 147, "setresgid": 149, "setfsuid": 151, "setfsgid": 152, "setgroups": 159,
        "prctl": 167, "clone": 220, "setns": 268,
    },
}  # fmt: skip
"""`arch/x86/entry/syscalls/syscall_64.tbl`, `include/uapi/asm-generic/unistd.h`."""

NUMBERS: Mapping[str, int] = _NUMBERS.get(platform.machine(), {})

_syscall = ctypes.CDLL(None, use_errno=True).syscall
_syscall.argtypes = [ctypes.c_long] * 7
_syscall.restype = ctypes.c_long


@dataclass(frozen=True, slots=True)
class Raw:
    """One system call; bytes stand for a pointer to them."""

    name: str
    arguments: tuple[int | bytes, ...] = ()

    @property
    def number(self) -> int:
        if not NUMBERS:
            raise Unavailable(f"caplet has no system call numbers for {platform.machine()}")
        return NUMBERS[self.name]

    def __call__(self) -> int:
        """Do it; Denied is an OSError."""
        buffers = [ctypes.create_string_buffer(a, len(a)) for a in self.arguments if isinstance(a, bytes)]
        pointers = iter(buffers)
        words = [ctypes.addressof(next(pointers)) if isinstance(a, bytes) else a for a in self.arguments]
        result: int = _syscall(self.number, *words, *[0] * (6 - len(words)))
        if result == -1:
            error = ctypes.get_errno()
            raise Denied(error, f"{self.name}: {os.strerror(error)}")
        return result


def prctl(*arguments: int) -> Raw:
    return Raw("prctl", arguments)


def raw(call: k.Syscall, namespaces: Mapping[UserNamespace, int] | None = None) -> Raw:
    """The system call of a value; `namespaces` are descriptors of those that SetnsUser may name. Not for Execve."""
    match call:
        case k.Setuid(uid):
            return Raw("setuid", (uid,))
        case k.Setgid(gid):
            return Raw("setgid", (gid,))
        case k.Setreuid(ruid, euid):
            return Raw("setreuid", (ruid, euid))
        case k.Setregid(rgid, egid):
            return Raw("setregid", (rgid, egid))
        case k.Setresuid(ruid, euid, suid):
            return Raw("setresuid", (ruid, euid, suid))
        case k.Setresgid(rgid, egid, sgid):
            return Raw("setresgid", (rgid, egid, sgid))
        case k.Setfsuid(fsuid):
            return Raw("setfsuid", (fsuid,))
        case k.Setfsgid(fsgid):
            return Raw("setfsgid", (fsgid,))
        case k.Setgroups(groups):
            return Raw(
                "setgroups", (len(groups), struct.pack(f"={len(groups)}I", *(gid & NO_ID for gid in groups)))
            )
        case k.Capset():
            return Raw("capset", (struct.pack("=Ii", _CAPABILITY_VERSION_3, 0), _capability_data(call)))
        case k.CapbsetDrop(cap):
            return prctl(_PR_CAPBSET_DROP, cap)
        case k.SetSecurebits(bits):
            return prctl(_PR_SET_SECUREBITS, bits)
        case k.SetKeepcaps(keep):
            return prctl(_PR_SET_KEEPCAPS, int(keep))
        case k.AmbientRaise(cap):
            return prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, cap)
        case k.AmbientLower(cap):
            return prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_LOWER, cap)
        case k.AmbientClearAll():
            return prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
        case k.SetNoNewPrivs():
            return prctl(_PR_SET_NO_NEW_PRIVS, 1)
        case k.UnshareUser():
            return Raw("unshare", (CLONE_NEWUSER,))
        case k.SetnsUser(user_ns):
            return Raw("setns", ((namespaces or {})[user_ns], CLONE_NEWUSER))
        case k.Execve():
            raise TypeError("execve is not a call that returns")


def _capability_data(call: k.Capset) -> bytes:
    """Struct __user_cap_data_struct[2]: effective, permitted, inheritable, low words first."""
    sets = call.effective.mask, call.permitted.mask, call.inheritable.mask
    return struct.pack("=6I", *(mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in sets))
