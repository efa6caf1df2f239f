# SPDX-License-Identifier: Apache-2.0
"""runc: the system calls between config.json's `process` and its execve.

opencontainers/runc v1.5.1, the same order in 1.1 to 1.4: libcontainer/standard_init_linux.go
linuxStandardInit.Init, libcontainer/init_linux.go finalizeNamespace, setupUser,
libcontainer/capabilities/capabilities.go New, ApplyBoundingSet, ApplyCaps.
"""

from __future__ import annotations

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

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.runtimes.model import LinuxCapabilities, Process


def caps_of(names: Iterable[str]) -> Caps:
    """The names that runc knows: exactly `CAP_` and the upper-case name (capSlice; measured with 1.1.5)."""
    return Caps.of(*(_KNOWN[name] for name in names if name in _KNOWN))


def ignored(capabilities: LinuxCapabilities) -> tuple[str, ...]:
    """The names that runc >= 1.0.0-rc94 leaves out with a warning, sorted."""
    every = (
        *capabilities.bounding,
        *capabilities.effective,
        *capabilities.inheritable,
        *capabilities.permitted,
        *capabilities.ambient,
    )
    return tuple(sorted({name for name in every if name not in _KNOWN}))


def system_calls(process: Process, available: Caps) -> tuple[Syscall, ...]:
    """What runc calls, in its order, up to execve.

    `available`: the capabilities of this kernel that runc itself may use; the ones outside it are dropped from
    every set without an error, since the kernel would not grant them (libcontainer checks them at start).
    """
    sets = process.capabilities
    bounding = caps_of(sets.bounding)
    user = process.user
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
            effective=caps_of(sets.effective) & available,
            permitted=caps_of(sets.permitted) & available,
            inheritable=caps_of(sets.inheritable) & available,
        ),
        AmbientClearAll(),
    ]
    calls += [AmbientRaise(cap) for cap in caps_of(sets.ambient) & available]
    return tuple(calls)


_KNOWN = {f"CAP_{cap.name}": cap for cap in Cap}
