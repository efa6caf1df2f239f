# SPDX-License-Identifier: Apache-2.0
"""The engines' default seccomp profiles: which system calls they deny unless a capability is in the bounding set.

A process that has the capability still fails with EPERM where the profile does not know that it unlocks the call: CAP_BPF was
no key to bpf(2) before containerd 1.6.9 and Docker 23.0 (moby/moby#43374). All look at the bounding set alone, so the file's
capabilities and the user do not matter here. Tables were read from each tag of containerd (contrib/seccomp/seccomp_default.go),
moby (profiles/seccomp/default.json), and containers/common (pkg/seccomp/seccomp.json, as Podman and CRI-O vendor it).

Kubernetes applies the profile where `seccompProfile: RuntimeDefault` or the kubelet's --seccomp-default asks for it; Docker and
Podman always, but for privileged containers.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeAlias

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes.model import Since, Version

if TYPE_CHECKING:
    from collections.abc import Mapping

Table: TypeAlias = "dict[Cap, frozenset[str]]"

PURPOSE: Mapping[Cap, frozenset[str]] = {
    Cap.BPF: frozenset({"bpf"}),
    Cap.PERFMON: frozenset({"perf_event_open"}),
    Cap.SYSLOG: frozenset({"syslog"}),
    Cap.SYS_NICE: frozenset({"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}),
    Cap.SYS_TIME: frozenset({"clock_settime", "clock_settime64", "settimeofday"}),
    Cap.DAC_READ_SEARCH: frozenset({"open_by_handle_at"}),
    Cap.SYS_PTRACE: frozenset({"kcmp", "pidfd_getfd", "process_madvise"}),
    Cap.SYS_ADMIN: frozenset(
        {"bpf", "fanotify_init", "fsmount", "fsopen", "mount", "mount_setattr", "move_mount", "open_tree",
         "perf_event_open", "quotactl", "quotactl_fd", "setdomainname", "sethostname", "setns", "umount2", "unshare"}
    ),
    Cap.SYS_MODULE: frozenset({"delete_module", "finit_module", "init_module"}),
    Cap.SYS_CHROOT: frozenset({"chroot"}),
    Cap.SYS_BOOT: frozenset({"reboot"}),
    Cap.SYS_PACCT: frozenset({"acct"}),
    Cap.SYS_RAWIO: frozenset({"ioperm", "iopl"}),
    Cap.SYS_TTY_CONFIG: frozenset({"vhangup"}),
}  # fmt: skip
"""The system calls that people want a capability for, of those that any profile gates: capabilities(7). ptrace(2) and
process_vm_readv(2) are not among them: since Linux 4.8 the profiles let everyone call them."""


def _table(text: str) -> Table:
    """A capability and what it unlocks, a line each."""
    rows = (line.split() for line in text.split("\n") if line.strip())
    return {Cap[row[0]]: frozenset(row[1:]) for row in rows}


def _history(first: str, *changes: tuple[str, str, str]) -> Since[Table]:
    """`changes`: a version, the lines that it adds, the lines that it takes away."""
    current = _table(first)
    steps = [(Version(1, 0), current)]
    for version, added, removed in changes:
        gone, come = _table(removed), _table(added)
        current = {
            cap: (current.get(cap, frozenset()) - gone.get(cap, frozenset())) | come.get(cap, frozenset())
            for cap in {*current, *come}
        }
        steps.append((Version.parse(version), current))
    return Since(tuple(steps))


_FIRST = """
DAC_READ_SEARCH open_by_handle_at
SYS_ADMIN bpf clone fanotify_init lookup_dcookie mount name_to_handle_at perf_event_open quotactl setdomainname sethostname setns umount umount2 unshare
SYS_BOOT reboot
SYS_CHROOT chroot
SYS_MODULE delete_module finit_module init_module query_module
SYS_PACCT acct
SYS_PTRACE kcmp process_vm_readv process_vm_writev ptrace
SYS_RAWIO ioperm iopl
SYS_TIME clock_settime settimeofday stime
SYS_TTY_CONFIG vhangup
"""
"""Docker 17.12; containerd and containers/common began with nearly the same."""

_MOUNT_API = "SYS_ADMIN fsconfig fsmount fsopen fspick move_mount open_tree\nSYS_PTRACE process_madvise"
_NUMA = "SYS_NICE get_mempolicy mbind set_mempolicy"
_HANDLE = "SYS_ADMIN name_to_handle_at"
_SPLIT = "BPF bpf\nPERFMON perf_event_open"

DOCKER = _history(
    _FIRST,
    ("18.9.0", f"SYSLOG syslog\nSYS_ADMIN syslog\n{_NUMA}", ""),
    ("20.10.0", "SYS_PTRACE pidfd_getfd", "SYS_MODULE query_module"),
    ("20.10.4", _MOUNT_API, ""),
    ("20.10.10", "SYS_ADMIN clone3", ""),
    ("20.10.18", "SYS_ADMIN mount_setattr quotactl_fd", ""),
    ("20.10.26", "", _HANDLE),
    ("23.0.0", f"{_SPLIT}\nSYS_TIME clock_settime64\n{_HANDLE}", ""),
    ("23.0.7", "", _HANDLE),
    ("23.0.10", "SYS_NICE set_mempolicy_home_node", ""),
    ("24.0.0", _HANDLE, "SYS_NICE set_mempolicy_home_node"),
    ("24.0.3", "", _HANDLE),
    ("25.0.3", "SYS_NICE set_mempolicy_home_node", ""),
    ("28.2.0", "SYS_ADMIN lsm_get_self_attr lsm_list_modules lsm_set_self_attr", ""),
)

CONTAINERD = _history(
    _FIRST,
    ("1.4.1", "SYSLOG syslog\nSYS_ADMIN syslog", "SYS_MODULE query_module"),
    ("1.4.2", "SYS_PTRACE pidfd_getfd", ""),
    ("1.4.10", "SYS_ADMIN clone3", ""),
    ("1.5.0", _MOUNT_API, "SYS_ADMIN clone3"),
    ("1.5.6", "SYS_ADMIN clone3", ""),
    ("1.6.0", "SYS_ADMIN mount_setattr quotactl_fd", ""),
    ("1.6.7", "SYS_TIME clock_settime64", ""),
    ("1.6.9", _SPLIT, ""),
    ("1.6.16", _NUMA, ""),
    ("1.6.22", "", _HANDLE),
    ("1.6.28", "SYS_NICE set_mempolicy_home_node", ""),
    ("1.7.0", _HANDLE, "SYS_NICE set_mempolicy_home_node"),
    ("1.7.3", "", _HANDLE),
    ("1.7.13", "SYS_NICE set_mempolicy_home_node", ""),
)

PODMAN = _history(
    _FIRST,
    (
        "3.0.0",
        f"AUDIT_WRITE socket\n{_NUMA} name_to_handle_at\nSYS_PTRACE process_madvise\nSYS_TIME clock_settime64",
        "",
    ),
    (
        "3.1.0",
        "",
        "SYS_ADMIN clone mount name_to_handle_at umount umount2 unshare\nSYS_BOOT reboot\nSYS_NICE name_to_handle_at",
    ),
    ("3.3.0", "", _NUMA),
    ("4.1.0", "", "SYS_PTRACE process_vm_readv process_vm_writev ptrace"),
    ("5.2.0", "BPF bpf\nSYS_ADMIN quotactl_fd", ""),
    ("5.5.0", "", "SYS_ADMIN fanotify_init"),
)
"""containers/common lets everyone mount, unshare and reboot since 3.1: the kernel asks for the capability anyway. What it takes off
a list here it allows to all. From 5.2 on its rules about perf_event_open contradict each other."""

CRIO = _history(
    _FIRST,
    ("1.17.0", f"{_NUMA} name_to_handle_at", ""),
    ("1.19.2", "AUDIT_WRITE socket", ""),
    ("1.20.3", "SYS_TIME clock_settime64", ""),
    (
        "1.21.0",
        "SYS_PTRACE process_madvise",
        "SYS_ADMIN clone mount name_to_handle_at umount umount2 unshare\nSYS_BOOT reboot\nSYS_NICE name_to_handle_at",
    ),
    ("1.22.0", "", _NUMA),
    ("1.25.0", "", "SYS_PTRACE process_vm_readv process_vm_writev ptrace"),
    ("1.31.0", "BPF bpf\nSYS_ADMIN quotactl_fd", ""),
    ("1.33.0", "", "SYS_ADMIN fanotify_init"),
    ("1.35.1", "PERFMON perf_event_open", ""),
)

PROFILES: Mapping[str, Since[Table]] = {
    "docker": DOCKER,
    "containerd": CONTAINERD,
    "podman": PODMAN,
    "crio": CRIO,
}
"""By the engine's name."""

CONTRADICTORY: Mapping[str, tuple[Version, Version]] = {
    "podman": (Version(5, 2), Version(99)),
    "crio": (Version(1, 31), Version(1, 35, 1)),
}
"""From one version to before another containers/common denies perf_event_open to who lacks SYS_ADMIN and then allows it to who has
PERFMON. The first rule counts (measured with runc 1.1.5 and crun 1.8.1), so that it takes both."""


def unlocked(engine: str, version: Version) -> Mapping[Cap, frozenset[str]]:
    """What each capability unlocks in the engine's own profile."""
    return PROFILES[engine].at(version)


@functools.lru_cache(maxsize=256)
def gated(engine: str, version: Version, caps: Caps) -> Mapping[str, Caps]:
    """The system calls that the profile denies with these capabilities in the bounding set, and any one of which would unlock it.

    None where it takes two.
    """
    keys: dict[str, Caps] = {}
    for cap, calls in unlocked(engine, version).items():
        for call in calls:
            keys[call] = keys.get(call, Caps()) | Caps.of(cap)
    found = {call: unlocking for call, unlocking in keys.items() if not unlocking & caps}
    if _contradicts(engine, version):
        found.pop("perf_event_open", None)
        if not Caps.of(Cap.SYS_ADMIN, Cap.PERFMON) <= caps:
            found["perf_event_open"] = Caps()
    return dict(sorted(found.items()))


def denied(engine: str, version: Version, cap: Cap, caps: Caps) -> Mapping[str, Caps]:
    """Of what the capability is wanted for, what the profile denies all the same; and which other capability would unlock it."""
    purpose = PURPOSE.get(cap, frozenset())
    return {call: keys for call, keys in gated(engine, version, caps).items() if call in purpose}


def _contradicts(engine: str, version: Version) -> bool:
    first, end = CONTRADICTORY.get(engine, (Version(1), Version(0)))
    return first <= version < end
