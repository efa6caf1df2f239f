# SPDX-License-Identifier: Apache-2.0
"""runc: the system calls between config.json's `process` and its execve.

opencontainers/runc v1.5.1, the same order in 1.1 to 1.4: libcontainer/standard_init_linux.go
linuxStandardInit.Init, libcontainer/init_linux.go finalizeNamespace, setupUser,
libcontainer/capabilities/capabilities.go New, ApplyBoundingSet, ApplyCaps.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from caplet.kernel.caps import Cap, Caps
from caplet.kernel.syscalls import (
    AmbientClearAll,
    AmbientRaise,
    CapbsetDrop,
    Capset,
    Setgroups,
    SetKeepcaps,
    SetNoNewPrivs,
    Setresgid,
    Setresuid,
    Syscall,
)
from caplet.runtimes.engine import OCIRuntime
from caplet.runtimes.model import LinuxCapabilities, Refused, Since, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.runtimes.model import Process

RELEASES = (
    Version(1, 0, 0, 93),
    Version(1, 0, 3),
    Version(1, 1, 15),
    Version(1, 2, 9),
    Version(1, 3, 6),
    Version(1, 4, 3),
    Version(1, 5, 1),
)
NEWEST = RELEASES[-1]

UNKNOWN_IS_FATAL = Since(((Version(0), True), (Version(1, 0, 0, 94), False)))
"""Whether a name that it does not know ends it; since 1.0.0-rc94 (5fb831a0f) it only warns."""

LAST_CAP = Since(((Version(0), Cap.AUDIT_READ), (Version(1, 0, 0, 93), max(Cap))))
"""The last capability that it knows: 6dfbe9b80 brought those of Linux 5.8 and later."""

ID_MAPPED_MOUNTS = Since(((Version(0), False), (Version(1, 2), True)))
"""CHANGELOG.md of 1.2.0-rc.1; `runc features`, features.go mountExtensions."""

EXEC_ERROR = Since(
    (
        (Version(0), 'standard_init_linux.go:{line}: exec user process caused "{error}"'),
        (Version(1, 0, 0, 92), "standard_init_linux.go:{line}: exec user process caused: {error}"),
        (Version(1, 1), "exec {path}: {error}"),
    )
)
"""What the container's log gets where execve fails: libcontainer/standard_init_linux.go, since 1.1 an os.PathError of
libcontainer/system/linux.go Exec. The line number differs by release; 228 is that of 1.0."""


def caps_of(names: Iterable[str], version: Version = NEWEST) -> Caps:
    """The names that runc knows: exactly `CAP_` and the upper-case name (capSlice; measured with 1.1.5)."""
    last = LAST_CAP.at(version)
    return Caps.of(*(_KNOWN[name] for name in names if name in _KNOWN and _KNOWN[name] <= last))


def ignored(capabilities: LinuxCapabilities, version: Version = NEWEST) -> tuple[str, ...]:
    """The names that runc >= 1.0.0-rc94 leaves out with a warning, sorted."""
    every = (
        *capabilities.bounding,
        *capabilities.effective,
        *capabilities.inheritable,
        *capabilities.permitted,
        *capabilities.ambient,
    )
    if UNKNOWN_IS_FATAL.at(version):
        return ()
    return tuple(sorted({name for name in every if name not in _KNOWN}))


def warning(names: tuple[str, ...], _version: Version = NEWEST) -> str:
    """capabilities.go New."""
    return f"ignoring unknown or unavailable capabilities: [{' '.join(names)}]"


def _refused(capabilities: LinuxCapabilities, version: Version) -> Refused | None:
    """capabilities.go New of 1.0.0-rc93: the first unknown name, set by set."""
    if not UNKNOWN_IS_FATAL.at(version):
        return None
    for names in (
        capabilities.bounding,
        capabilities.effective,
        capabilities.inheritable,
        capabilities.permitted,
        capabilities.ambient,
    ):
        for name in names:
            if name not in _KNOWN or _KNOWN[name] > LAST_CAP.at(version):
                return Refused("runc", f'unknown capability "{name}"')
    return None


def system_calls(process: Process, available: Caps, version: Version = NEWEST) -> tuple[Syscall, ...]:
    """What runc calls, in its order, up to execve.

    `available`: the capabilities that runc itself may use. What the kernel does not have is left out of every set, as an
    unknown name is; what runc lacks is not, and capset(2) fails: `unable to apply caps: operation not permitted`.
    """
    sets = process.capabilities
    bounding = caps_of(sets.bounding, version)
    user = process.user
    supported = kernels(available)
    calls: list[Syscall] = []
    if process.no_new_privileges:
        calls.append(SetNoNewPrivs())
    calls += [CapbsetDrop(cap) for cap in available - bounding]
    calls += [
        SetKeepcaps(True),
        Setgroups(user.additional_gids),
        Setresgid(user.gid, user.gid, user.gid),
        Setresuid(user.uid, user.uid, user.uid),
        SetKeepcaps(False),
        Capset(
            effective=caps_of(sets.effective, version) & supported,
            permitted=caps_of(sets.permitted, version) & supported,
            inheritable=caps_of(sets.inheritable, version) & supported,
        ),
        AmbientClearAll(),
    ]
    calls += [AmbientRaise(cap) for cap in caps_of(sets.ambient, version) & supported & available]
    return tuple(calls)


def kernels(available: Caps) -> Caps:
    """What the kernel has, of what one process has: up to the last one, which cap_last_cap would tell."""
    return Caps((1 << available.mask.bit_length()) - 1)


def start(process: Process, available: Caps, version: Version) -> tuple[Syscall, ...] | Refused:
    """As `system_calls`, or why runc starts nothing."""
    return _refused(process.capabilities, version) or system_calls(process, available, version)


def exec_error(path: str, errno: int, version: Version = NEWEST) -> str:
    """As Go writes an errno: in lower case."""
    error = os.strerror(errno)
    return EXEC_ERROR.at(version).format(path=path, error=error[:1].lower() + error[1:], line=228)


def not_found(name: str, _cwd: str, _version: Version = NEWEST) -> str:
    """Go's os/exec LookPath, which standard_init_linux.go Init calls before it waits for the start (measured with 1.1.5)."""
    if "/" in name:
        return f'exec: "{name}": stat {name}: no such file or directory'
    return f'exec: "{name}": executable file not found in $PATH'


_KNOWN = {f"CAP_{cap.name}": cap for cap in Cap}

RUNTIME = OCIRuntime(
    name="runc",
    releases=RELEASES,
    caps_of=caps_of,
    system_calls=start,
    ignored=ignored,
    warning=warning,
    exec_error=exec_error,
    not_found=not_found,
    file_caps=lambda _no_new_privs, _version: "kernel",
    id_mapped_mounts=ID_MAPPED_MOUNTS,
)
