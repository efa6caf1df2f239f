# SPDX-License-Identifier: Apache-2.0
"""gVisor's runsc: config.json's `process` as the credentials of a process in its own kernel, and what that kernel's execve differs in.

google/gvisor 3c5eee17d (release-20260817.0): runsc/specutils/specutils.go Capabilities, capsFromNames;
pkg/sentry/kernel/auth/capability_set.go ComputeCredsForExec; pkg/sentry/kernel/auth/credentials.go NewUserCredentials. Releases are
dates.
"""

from __future__ import annotations

import os
from dataclasses import replace
from errno import EPERM
from typing import TYPE_CHECKING

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import runc
from caplet.runtimes.engine import OCIRuntime
from caplet.runtimes.model import LinuxCapabilities, Refused, Since, Version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.kernel.syscalls import Syscall
    from caplet.runtimes.engine import FileCapsRule
    from caplet.runtimes.model import Process

RELEASES = (Version(20240325), Version(20250820), Version(20260615), Version(20260817))
NEWEST = RELEASES[-1]

STRIPPED = Caps.of(Cap.NET_RAW)
"""What no process gets, whatever config.json says, unless runsc runs with --net-raw."""

FILE_CAPS: Since[FileCapsRule | None] = Since(
    (
        (Version(0), "discarded"),
        (Version(20240325), None),
        (Version(20250820), "kernel"),
    )
)
"""File capabilities at execve: ignored at first (google/gvisor#212); from 586c38d70 on for the container's first program only, with
bugs (a178e09bb): not modelled; since 436301196 by Linux's rules."""

UNDER_NO_NEW_PRIVS: Since[FileCapsRule | None] = Since((*FILE_CAPS.changes, (Version(20260615), "discarded")))
"""4886c6690 throws them away under no_new_privs, where Linux only intersects (google/gvisor#14878, which names a later release)."""

AMBIENT = Since(((Version(0), False), (Version(20260615), True)))
"""4886c6690."""


def caps_of(names: Iterable[str], _version: Version = NEWEST) -> Caps:
    """Exactly `CAP_` and the upper-case name, without what is stripped."""
    return runc.caps_of(names) - STRIPPED


def system_calls(
    process: Process, available: Caps, version: Version = NEWEST
) -> tuple[Syscall, ...] | Refused:
    """Runsc sets the credentials at once; in system calls, it is what runc's come to."""
    sets = process.capabilities
    for names in (sets.bounding, sets.effective, sets.inheritable, sets.permitted, sets.ambient):
        for name in names:
            if not runc.caps_of((name,)):
                return Refused("runsc", f'unknown capability "{name}"')
    kept = replace(
        sets,
        **{
            field: _without(getattr(sets, field))
            for field in ("bounding", "effective", "inheritable", "permitted")
        },
        ambient=_without(sets.ambient) if AMBIENT.at(version) else (),
    )
    return runc.system_calls(replace(process, capabilities=kept), available)


def _without(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if not runc.caps_of((name,)) <= STRIPPED)


def ignored(_capabilities: LinuxCapabilities, _version: Version = NEWEST) -> tuple[str, ...]:
    """None: an unknown name is an error."""
    return ()


def exec_error(path: str, errno: int, _version: Version = NEWEST) -> str:
    """runsc/boot/loader.go, pkg/sentry/loader/loader.go Load: EPERM comes of ComputeCredsForExec. Go writes an errno in lower case."""
    error = os.strerror(errno)
    error = error[:1].lower() + error[1:]
    if errno == EPERM:
        return f"creating process: failed to update creds with file privileges: {error}"
    return f"creating process: failed to load {path}: {error}"


def file_caps(no_new_privs: bool, version: Version = NEWEST) -> FileCapsRule | None:
    return (UNDER_NO_NEW_PRIVS if no_new_privs else FILE_CAPS).at(version)


RUNTIME = OCIRuntime(
    name="runsc",
    releases=RELEASES,
    caps_of=caps_of,
    system_calls=system_calls,
    ignored=ignored,
    warning=lambda _names, _version: "",
    exec_error=exec_error,
    file_caps=file_caps,
    set_id=False,
    dated=True,
)
