# SPDX-License-Identifier: Apache-2.0
"""crun: the system calls between config.json's `process` and its execve. Its names are libcap's, its order is its own.

containers/crun ba38286 (1.29.1): src/libcrun/linux.c libcrun_set_caps, read_caps, set_required_caps; src/libcrun/container.c.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

from caplet.kernel.caps import MAX_BITS, Cap, Caps
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
from caplet.runtimes.runc import kernels

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.runtimes.model import Process

RELEASES = (
    Version(0, 17),
    Version(0, 21),
    *(Version(1, minor, patch) for minor, patch in (
        (0, 0), (1, 0), (2, 0), (3, 0), (4, 5), (5, 0), (6, 0), (7, 2), (8, 7), (9, 2), (10, 0), (11, 2), (12, 0), (13, 0),
        (14, 4), (15, 0), (16, 1), (17, 0), (18, 2), (19, 1), (20, 0), (21, 0), (22, 0), (23, 1), (24, 0), (25, 1),
        (26, 0), (27, 1), (28, 0), (29, 1),
    )),
)  # fmt: skip
NEWEST = RELEASES[-1]

UNKNOWN = Since(
    (
        (Version(0), "unknown cap: `{}`"),
        (Version(0, 19), None),
        (Version(1, 29), "unknown capability `{}`"),
    )
)
"""The error about a name that it does not know; None: it only warns. 78aeac9f (0.19), 2e822523 (1.29)."""


NAMES_THE_FILE = Since(((Version(0), False), (Version(1, 21), True)))
"""Whether what it says of a path that is not there is without `in $PATH`: bb56343c (1.21) src/libcrun/utils.c find_executable."""

ID_MAPPED_MOUNTS = Since(((Version(0), False), (Version(1, 9), True)))
"""`crun features` mountExtensions, since 1.9."""


def caps_of(names: Iterable[str], _version: Version = NEWEST) -> Caps:
    """The names that cap_from_name(3) knows: `cap_chown` in any case, and numbers (measured with 1.8.1)."""
    return Caps.of(*(cap for cap in map(_cap, names) if cap is not None))


def _cap(name: str) -> int | None:
    if re.fullmatch(r"[0-9]{1,2}", name) and int(name) < MAX_BITS:
        return int(name)
    bare = name.upper().removeprefix("CAP_")
    return Cap[bare] if name.upper().startswith("CAP_") and bare in Cap.__members__ else None


def _sets(capabilities: LinuxCapabilities) -> tuple[tuple[str, ...], ...]:
    """In the order in which they are read."""
    return (
        capabilities.effective,
        capabilities.inheritable,
        capabilities.ambient,
        capabilities.bounding,
        capabilities.permitted,
    )


def _unknown(capabilities: LinuxCapabilities) -> list[str]:
    return [name for names in _sets(capabilities) for name in names if _cap(name) is None]


def ignored(capabilities: LinuxCapabilities, version: Version = NEWEST) -> tuple[str, ...]:
    """The names that are left out with a warning each, sorted."""
    return () if UNKNOWN.at(version) else tuple(sorted(set(_unknown(capabilities))))


def warning(names: tuple[str, ...], _version: Version = NEWEST) -> str:
    return "\n".join(f"unknown cap: `{name}`" for name in names)


def system_calls(
    process: Process, available: Caps, version: Version = NEWEST
) -> tuple[Syscall, ...] | Refused:
    """set_required_caps, and the setgroups(2) before it: no_new_privs comes last."""
    sets = process.capabilities
    refusal = UNKNOWN.at(version)
    unknown = _unknown(sets)
    if refusal and unknown:
        return Refused("crun", refusal.format(unknown[0]))
    user = process.user
    supported = kernels(available)
    calls: list[Syscall] = [Setgroups(user.additional_gids)]
    calls += [CapbsetDrop(cap) for cap in available - caps_of(sets.bounding)]
    calls += [
        SetKeepcaps(True),
        Setresgid(user.gid, user.gid, user.gid),
        Setresuid(user.uid, user.uid, user.uid),
        Capset(
            effective=caps_of(sets.effective) & supported,
            permitted=caps_of(sets.permitted) & supported,
            inheritable=caps_of(sets.inheritable) & supported,
        ),
        AmbientClearAll(),
    ]
    calls += [AmbientRaise(cap) for cap in caps_of(sets.ambient) & supported & available]
    if process.no_new_privileges:
        calls.append(SetNoNewPrivs())
    return tuple(calls)


def exec_error(path: str, number: int, _version: Version = NEWEST) -> str:
    """container.c container_init, and error.c crun_error_write_warning_and_release: the errno as strerror(3) has it."""
    return f"exec container process `{path}`: {os.strerror(number)}"


def not_found(name: str, cwd: str, version: Version = NEWEST) -> str:
    """find_executable and its callers in container.c, before the start (measured with 1.8.1)."""
    where = " in $PATH"
    if "/" in name and NAMES_THE_FILE.at(version):
        name, where = os.path.join(cwd, name), ""
    return f"executable file `{name}` not found{where}: {os.strerror(errno.ENOENT)}"


RUNTIME = OCIRuntime(
    name="crun",
    releases=RELEASES,
    caps_of=caps_of,
    system_calls=system_calls,
    ignored=ignored,
    warning=warning,
    exec_error=exec_error,
    not_found=not_found,
    file_caps=lambda _no_new_privs, _version: "kernel",
    id_mapped_mounts=ID_MAPPED_MOUNTS,
)
