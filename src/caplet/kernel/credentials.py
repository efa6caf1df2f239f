# SPDX-License-Identifier: Apache-2.0
"""What a process holds: user and group ids, five capability sets, securebits, no_new_privs, a user namespace.

`struct cred` of `include/linux/cred.h`, in the words of credentials(7) and capabilities(7). As in the kernel, all ids are
kept as the initial user namespace numbers them (kuid_t); a system call takes them, and a process sees them, as its own
namespace numbers them: `seen()`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.namespaces import INITIAL, OVERFLOW_ID, UserNamespace


class Denied(OSError):
    """The kernel says no: `errno` as the call returns it, `strerror` why."""


class Securebits(IntFlag):
    """SECBIT_*, `include/uapi/linux/securebits.h`. A LOCKED bit keeps the one before it as it is, for ever."""

    NOROOT = 1 << 0
    NOROOT_LOCKED = 1 << 1
    NO_SETUID_FIXUP = 1 << 2
    NO_SETUID_FIXUP_LOCKED = 1 << 3
    KEEP_CAPS = 1 << 4
    KEEP_CAPS_LOCKED = 1 << 5
    NO_CAP_AMBIENT_RAISE = 1 << 6
    NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7
    EXEC_RESTRICT_FILE = 1 << 8
    EXEC_RESTRICT_FILE_LOCKED = 1 << 9
    EXEC_DENY_INTERACTIVE = 1 << 10
    EXEC_DENY_INTERACTIVE_LOCKED = 1 << 11


@dataclass(frozen=True, slots=True)
class ThreadCaps:
    """The five sets of a thread, capabilities(7) "Thread capability sets"."""

    permitted: Caps = NO_CAPS
    """What may be made effective: pP."""
    effective: Caps = NO_CAPS
    """What the kernel's checks look at: pE."""
    inheritable: Caps = NO_CAPS
    """What the inheritable set of a file can raise at execve: pI."""
    bounding: Caps = NO_CAPS
    """What the permitted set of a file can raise at execve: X."""
    ambient: Caps = NO_CAPS
    """What stays through an execve without file capabilities: pA, within pP and pI."""

    @classmethod
    def root(cls, bounding: Caps) -> ThreadCaps:
        """What root has where the bounding set is this."""
        return cls(permitted=bounding, effective=bounding, bounding=bounding)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """All that decides what a process may do and what the next execve makes of it."""

    uid: int = 0
    """Real."""
    euid: int = 0
    """Effective."""
    suid: int = 0
    """Saved."""
    fsuid: int = 0
    """For access to files: follows `euid` unless setfsuid(2) says otherwise."""
    gid: int = 0
    egid: int = 0
    sgid: int = 0
    fsgid: int = 0
    groups: tuple[int, ...] = ()
    """Supplementary, in ascending order, as the kernel keeps them."""
    caps: ThreadCaps = ThreadCaps()
    securebits: int = 0
    no_new_privs: bool = False
    user_ns: UserNamespace = INITIAL
    at_secure: bool = False
    """AT_SECURE of the program that runs: whether execve thought it more privileged than its caller."""

    @classmethod
    def of_user(
        cls,
        uid: int,
        gid: int,
        groups: tuple[int, ...] = (),
        caps: ThreadCaps = ThreadCaps(),
    ) -> Credentials:
        """One user and one group in all their kinds."""
        return cls(
            uid=uid, euid=uid, suid=uid, fsuid=uid, gid=gid, egid=gid, sgid=gid, fsgid=gid,
            groups=tuple(sorted(groups)), caps=caps,
        )  # fmt: skip

    def capable(self, cap: Cap, target: UserNamespace | None = None) -> bool:
        """cap_capable(): whether the capability is effective in the user namespace `target`, by default the process's own."""
        namespace = self.user_ns if target is None else target
        while namespace != self.user_ns:
            if namespace.parent is None or namespace.level <= self.user_ns.level:
                return False
            # Whoever made a namespace has, from just outside it, every capability in it.
            if namespace.parent == self.user_ns and namespace.owner == self.euid:
                return True
            namespace = namespace.parent
        return cap in self.caps.effective

    def in_group(self, gid: int) -> bool:
        """in_group_p()."""
        return gid == self.fsgid or gid in self.groups

    def has(self, securebit: Securebits) -> bool:
        """issecure()."""
        return bool(self.securebits & securebit)

    def seen(self) -> Credentials:
        """With the ids that the process itself reads: 65534 for those that its namespace does not map."""
        users, groups = self.user_ns.uid_map, self.user_ns.gid_map

        def user(uid: int) -> int:
            return OVERFLOW_ID if (inside := users.up(uid)) is None else inside

        def group(gid: int) -> int:
            return OVERFLOW_ID if (inside := groups.up(gid)) is None else inside

        return replace(
            self,
            uid=user(self.uid), euid=user(self.euid), suid=user(self.suid), fsuid=user(self.fsuid),
            gid=group(self.gid), egid=group(self.egid), sgid=group(self.sgid), fsgid=group(self.fsgid),
            groups=tuple(map(group, self.groups)),
        )  # fmt: skip
