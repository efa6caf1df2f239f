# SPDX-License-Identifier: Apache-2.0
"""A container's devices without a device cgroup: the six that runtime-spec promises, and no way to any other.

On a node the device cgroup keeps a container with CAP_MKNOD from the machine's disks. Cgroups outlive the process that
makes them, so none is made here. Instead: the container's file systems are mounted nodev, the unpacker makes no node
of another device, and mknod(2) of another device says EPERM (a seccomp filter, since runc and crun take nodev back when they
remount the root). The six devices are nodes of our own, bound one by one from a tmpfs that the container never sees.
"""

from __future__ import annotations

import ctypes
import os
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.run import linux
from caplet.runtimes.model import Mount

if TYPE_CHECKING:
    from caplet.runtimes.model import Spec

DEFAULT_DEVICES = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
"""runtime-spec config-linux.md "Default Devices" and their numbers (Documentation/admin-guide/devices.txt), without
console and ptmx, which belong to /dev/pts."""

_MKNOD = {
    "x86_64": {
        0xC000003E: ((133, 1), (259, 2), (0x40000000 + 133, 1), (0x40000000 + 259, 2)),
        0x40000003: ((14, 1), (297, 2)),
    },
    "aarch64": {0xC00000B7: ((33, 2),), 0x40000028: ((14, 1), (324, 2))},
}
"""Machine, then AUDIT_ARCH of each of its ABIs: the numbers of mknod and mknodat, and which argument is the mode."""

_LOAD, _JUMP_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
"""BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_ALU|AND|K, BPF_RET|K: include/uapi/linux/bpf_common.h."""
_ALLOW, _EPERM = 0x7FFF0000, 0x00050001
"""SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EPERM."""
_NR, _ARCH, _ARGUMENTS = 0, 4, 16
"""Offsets in struct seccomp_data; an argument's low half comes first on little-endian machines."""
_S_IFMT, _S_IFCHR, _S_IFBLK = 0o170000, 0o020000, 0o060000

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


def make_devices(directory: str) -> bool:
    """Own nodes of the default devices in `directory`; True.

    False where a user namespace forbids that: then they are the machine's own, bound, which nobody in there can change.
    """
    os.mkdir(directory)
    linux.mount("devices", directory, "tmpfs", linux.MS_NOSUID | linux.MS_NOEXEC, "mode=0755,size=64k")
    before = os.umask(0)
    own = True
    for name, (major, minor) in DEFAULT_DEVICES.items():
        node = os.path.join(directory, name)
        try:
            os.mknod(node, 0o666 | _S_IFCHR, os.makedev(major, minor))
        except PermissionError:
            own = False
            os.close(os.open(node, os.O_CREAT | os.O_EXCL, 0o666))
            linux.bind(f"/dev/{name}", node)
    os.umask(before)
    return own


def with_devices(spec: Spec, directory: str) -> Spec:
    """The same with the default devices bound from `directory` right after /dev."""
    mounts: list[Mount] = []
    for mount in spec.mounts:
        mounts.append(mount)
        if mount.destination == "/dev":
            mounts += [
                Mount(f"/dev/{name}", "bind", os.path.join(directory, name), ("bind",))
                for name in DEFAULT_DEVICES
            ]
    return replace(spec, mounts=tuple(mounts))


def without_devices(spec: Spec) -> Spec:
    """The same with `nodev` on each tmpfs."""
    mounts = (
        replace(mount, options=(*mount.options, "nodev"))
        if mount.type == "tmpfs" and "nodev" not in mount.options
        else mount
        for mount in spec.mounts
    )
    return replace(spec, mounts=tuple(mounts))


def forbid_device_nodes() -> None:
    """From now on mknod(2) of any other device says EPERM, in this process and all that it starts."""
    program = _filter(os.uname().machine)
    if not program:
        return
    instructions = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("@HP", len(program), ctypes.addressof(instructions))
    linux.prctl_pointer(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.create_string_buffer(header))


def _filter(machine: str) -> list[bytes]:
    """For each ABI: is it this one? for each call: is it this number? is the mode a device's? Else allow."""
    program: list[bytes] = []
    for architecture, calls in _MKNOD.get(machine, {}).items():
        body = [part for number, argument in calls for part in _deny(number, argument)]
        program += [
            _op(_LOAD, _ARCH),
            _op(_JUMP_EQUAL, architecture, 0, len(body) + 1),
            *body,
            _op(_RETURN, _ALLOW),
        ]
    return [*program, _op(_RETURN, _ALLOW)] if program else []


def _deny(number: int, argument: int) -> list[bytes]:
    """EPERM for a block device, and for a character device but the default ones, which runc and crun try to make."""
    harmless = [0, *(os.makedev(*device) for device in DEFAULT_DEVICES.values())]
    left = range(len(harmless), 0, -1)
    characters = [
        _op(_LOAD, _ARGUMENTS + 8 * (argument + 1)),
        *(_op(_JUMP_EQUAL, device, rest) for device, rest in zip(harmless, left, strict=True)),
    ]
    return [
        _op(_LOAD, _NR),
        _op(_JUMP_EQUAL, number, 0, len(characters) + 5),
        _op(_LOAD, _ARGUMENTS + 8 * argument),
        _op(_AND, _S_IFMT),
        _op(_JUMP_EQUAL, _S_IFBLK, len(characters) + 1, 0),
        _op(_JUMP_EQUAL, _S_IFCHR, 0, len(characters) + 1),
        *characters,
        _op(_RETURN, _EPERM),
    ]


def _op(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One struct sock_filter."""
    return struct.pack("=HBBI", code, if_true, if_false, operand)
