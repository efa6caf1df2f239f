# SPDX-License-Identifier: Apache-2.0
"""The system calls that change credentials, as values: `apply` says what the kernel makes of one.

`caplet.run.perform` does the same values for real. Arguments are as the calling process writes them: ids of its own user
namespace, -1 for "leave as it is". The rules are those of `kernel/sys.c`, `kernel/groups.c`, `kernel/capability.c`,
`kernel/user_namespace.c` and `security/commoncap.c`; each function names the one it follows.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, assert_never

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Denied, Securebits, ThreadCaps
from caplet.kernel.execve import Program, Unsafe, execve
from caplet.kernel.namespaces import NO_ID, UNMAPPED, IdMap, UserNamespace
from caplet.kernel.versions import EXEC_SECUREBITS, NEWEST, Kernel

if TYPE_CHECKING:
    from collections.abc import Iterable

KEEP = -1
"""(uid_t)-1: leave this id as it is."""

NGROUPS_MAX = 65536
"""`include/uapi/linux/limits.h`."""

MAX_USER_NAMESPACE_LEVEL = 32
"""create_user_ns() refuses a child of a namespace that is deeper."""

FS_CAPS = Caps.of(
    Cap.CHOWN,
    Cap.MKNOD,
    Cap.DAC_OVERRIDE,
    Cap.DAC_READ_SEARCH,
    Cap.FOWNER,
    Cap.FSETID,
    Cap.LINUX_IMMUTABLE,
    Cap.MAC_OVERRIDE,
)
"""CAP_FS_MASK with CAP_LINUX_IMMUTABLE, `include/linux/capability.h`: what setfsuid(2) drops and raises."""


@dataclass(frozen=True, slots=True)
class Setuid:
    uid: int


@dataclass(frozen=True, slots=True)
class Setgid:
    gid: int


@dataclass(frozen=True, slots=True)
class Setreuid:
    ruid: int
    euid: int


@dataclass(frozen=True, slots=True)
class Setregid:
    rgid: int
    egid: int


@dataclass(frozen=True, slots=True)
class Setresuid:
    ruid: int
    euid: int
    suid: int


@dataclass(frozen=True, slots=True)
class Setresgid:
    rgid: int
    egid: int
    sgid: int


@dataclass(frozen=True, slots=True)
class Setfsuid:
    """Never fails: the caller has to ask what became of it."""

    fsuid: int


@dataclass(frozen=True, slots=True)
class Setfsgid:
    fsgid: int


@dataclass(frozen=True, slots=True)
class Setgroups:
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Capset:
    permitted: Caps
    effective: Caps
    inheritable: Caps


@dataclass(frozen=True, slots=True)
class CapbsetDrop:
    """prctl(PR_CAPBSET_DROP)."""

    cap: int


@dataclass(frozen=True, slots=True)
class SetSecurebits:
    """prctl(PR_SET_SECUREBITS)."""

    bits: int


@dataclass(frozen=True, slots=True)
class SetKeepcaps:
    """prctl(PR_SET_KEEPCAPS)."""

    keep: bool


@dataclass(frozen=True, slots=True)
class AmbientRaise:
    """prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE)."""

    cap: int


@dataclass(frozen=True, slots=True)
class AmbientLower:
    """prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_LOWER)."""

    cap: int


@dataclass(frozen=True, slots=True)
class AmbientClearAll:
    """prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)."""


@dataclass(frozen=True, slots=True)
class SetNoNewPrivs:
    """prctl(PR_SET_NO_NEW_PRIVS)."""


@dataclass(frozen=True, slots=True)
class UnshareUser:
    """unshare(CLONE_NEWUSER), and then the maps, written from the parent namespace by someone who may.

    That is how container runtimes do it: themselves as root, or by newuidmap(1). Without maps the process has no ids.
    """

    uid_map: IdMap = UNMAPPED
    """Outer ids are those of the parent namespace, as in /proc/PID/uid_map."""
    gid_map: IdMap = UNMAPPED
    name: str = ""
    """Tells the new namespace from others that are made alike."""

    @property
    def has_maps(self) -> bool:
        return bool(self.uid_map or self.gid_map)


@dataclass(frozen=True, slots=True)
class SetnsUser:
    """setns(2) into a user namespace that exists."""

    user_ns: UserNamespace


@dataclass(frozen=True, slots=True)
class Execve:
    program: Program
    path: str = ""
    """Where the file is, for those that do the call: the model looks at `program` alone."""
    argv: tuple[str, ...] = ()
    """Arguments, the program's name first; empty: just the path."""
    unsafe: Unsafe = Unsafe.NONE


Syscall: TypeAlias = (
    Setuid
    | Setgid
    | Setreuid
    | Setregid
    | Setresuid
    | Setresgid
    | Setfsuid
    | Setfsgid
    | Setgroups
    | Capset
    | CapbsetDrop
    | SetSecurebits
    | SetKeepcaps
    | AmbientRaise
    | AmbientLower
    | AmbientClearAll
    | SetNoNewPrivs
    | UnshareUser
    | SetnsUser
    | Execve
)


def apply(cred: Credentials, call: Syscall, kernel: Kernel = NEWEST) -> Credentials:
    """What a process with `cred` has after the call; Denied with the errno where the call fails and changes nothing."""
    match call:
        case Setuid(uid):
            return _setuid(cred, uid)
        case Setgid(gid):
            return _setgid(cred, gid)
        case Setreuid(ruid, euid):
            return _setreuid(cred, ruid, euid)
        case Setregid(rgid, egid):
            return _setregid(cred, rgid, egid)
        case Setresuid(ruid, euid, suid):
            return _setresuid(cred, ruid, euid, suid)
        case Setresgid(rgid, egid, sgid):
            return _setresgid(cred, rgid, egid, sgid)
        case Setfsuid(fsuid):
            return _setfsuid(cred, fsuid)
        case Setfsgid(fsgid):
            return _setfsgid(cred, fsgid)
        case Setgroups(groups):
            return _setgroups(cred, groups)
        case Capset():
            return _capset(cred, call, kernel)
        case CapbsetDrop(cap):
            return _capbset_drop(cred, cap, kernel)
        case SetSecurebits(bits):
            return _set_securebits(cred, bits, kernel)
        case SetKeepcaps(keep):
            return _set_keepcaps(cred, keep)
        case AmbientRaise(cap):
            return _ambient_raise(cred, cap, kernel)
        case AmbientLower(cap):
            return _with_sets(cred, ambient=cred.caps.ambient - _valid(cap, kernel))
        case AmbientClearAll():
            return _with_sets(cred, ambient=NO_CAPS)
        case SetNoNewPrivs():
            return replace(cred, no_new_privs=True)
        case UnshareUser():
            return _unshare_user(cred, call, kernel)
        case SetnsUser(user_ns):
            return _setns_user(cred, user_ns, kernel)
        case Execve(program):
            return execve(cred, program, kernel, call.unsafe)
        case _:
            assert_never(call)


def apply_all(cred: Credentials, calls: Iterable[Syscall], kernel: Kernel = NEWEST) -> Credentials:
    """One call after the other; the first Denied ends it."""
    for call in calls:
        cred = apply(cred, call, kernel)
    return cred


def _user(cred: Credentials, uid: int) -> int | None:
    """make_kuid(): the kernel's id of one that the process names; KEEP is none. EINVAL where it is not mapped."""
    return None if uid & NO_ID == NO_ID else _known(cred.user_ns.uid_map.down(uid & NO_ID), uid)


def _group(cred: Credentials, gid: int) -> int | None:
    return None if gid & NO_ID == NO_ID else _known(cred.user_ns.gid_map.down(gid & NO_ID), gid)


def _known(kernel_id: int | None, number: int) -> int:
    if kernel_id is None:
        raise Denied(errno.EINVAL, f"the user namespace does not map the id {number}")
    return kernel_id


def _not_keep(kernel_id: int | None) -> int:
    return _known(kernel_id, KEEP)


def _need(cred: Credentials, cap: Cap) -> None:
    if not cred.capable(cap):
        raise Denied(errno.EPERM, f"{cap} is not effective")


def _with_sets(cred: Credentials, **sets: Caps) -> Credentials:
    return replace(cred, caps=replace(cred.caps, **sets))


def _setuid(cred: Credentials, uid: int) -> Credentials:
    """__sys_setuid()."""
    kuid = _not_keep(_user(cred, uid))
    if cred.capable(Cap.SETUID):
        return _fix_setuid(cred, replace(cred, uid=kuid, euid=kuid, suid=kuid, fsuid=kuid))
    if kuid not in (cred.uid, cred.suid):
        _need(cred, Cap.SETUID)
    return _fix_setuid(cred, replace(cred, euid=kuid, fsuid=kuid))


def _setgid(cred: Credentials, gid: int) -> Credentials:
    """__sys_setgid()."""
    kgid = _not_keep(_group(cred, gid))
    if cred.capable(Cap.SETGID):
        return replace(cred, gid=kgid, egid=kgid, sgid=kgid, fsgid=kgid)
    if kgid not in (cred.gid, cred.sgid):
        _need(cred, Cap.SETGID)
    return replace(cred, egid=kgid, fsgid=kgid)


def _setreuid(cred: Credentials, ruid: int, euid: int) -> Credentials:
    """__sys_setreuid()."""
    real, effective = _user(cred, ruid), _user(cred, euid)
    if real not in (None, cred.uid, cred.euid) or effective not in (None, cred.uid, cred.euid, cred.suid):
        _need(cred, Cap.SETUID)
    new_euid = cred.euid if effective is None else effective
    saved = real is not None or effective not in (None, cred.uid)
    new = replace(
        cred,
        uid=cred.uid if real is None else real,
        euid=new_euid,
        suid=new_euid if saved else cred.suid,
        fsuid=new_euid,
    )
    return _fix_setuid(cred, new)


def _setregid(cred: Credentials, rgid: int, egid: int) -> Credentials:
    """__sys_setregid()."""
    real, effective = _group(cred, rgid), _group(cred, egid)
    if real not in (None, cred.gid, cred.egid) or effective not in (None, cred.gid, cred.egid, cred.sgid):
        _need(cred, Cap.SETGID)
    new_egid = cred.egid if effective is None else effective
    saved = real is not None or effective not in (None, cred.gid)
    return replace(
        cred,
        gid=cred.gid if real is None else real,
        egid=new_egid,
        sgid=new_egid if saved else cred.sgid,
        fsgid=new_egid,
    )


def _setresuid(cred: Credentials, ruid: int, euid: int, suid: int) -> Credentials:
    """__sys_setresuid()."""
    real, effective, saved = _user(cred, ruid), _user(cred, euid), _user(cred, suid)
    unchanged = real in (None, cred.uid) and saved in (None, cred.suid)
    if unchanged and (effective is None or effective == cred.euid == cred.fsuid):
        return cred
    if {real, effective, saved} - {None, cred.uid, cred.euid, cred.suid}:
        _need(cred, Cap.SETUID)
    new_euid = cred.euid if effective is None else effective
    new = replace(
        cred,
        uid=cred.uid if real is None else real,
        euid=new_euid,
        suid=cred.suid if saved is None else saved,
        fsuid=new_euid,
    )
    return _fix_setuid(cred, new)


def _setresgid(cred: Credentials, rgid: int, egid: int, sgid: int) -> Credentials:
    """__sys_setresgid()."""
    real, effective, saved = _group(cred, rgid), _group(cred, egid), _group(cred, sgid)
    unchanged = real in (None, cred.gid) and saved in (None, cred.sgid)
    if unchanged and (effective is None or effective == cred.egid == cred.fsgid):
        return cred
    if {real, effective, saved} - {None, cred.gid, cred.egid, cred.sgid}:
        _need(cred, Cap.SETGID)
    new_egid = cred.egid if effective is None else effective
    return replace(
        cred,
        gid=cred.gid if real is None else real,
        egid=new_egid,
        sgid=cred.sgid if saved is None else saved,
        fsgid=new_egid,
    )


def _setfsuid(cred: Credentials, fsuid: int) -> Credentials:
    """__sys_setfsuid(), and cap_task_fix_setuid() for LSM_SETID_FS."""
    kuid = None if fsuid & NO_ID == NO_ID else cred.user_ns.uid_map.down(fsuid & NO_ID)
    ours = (cred.uid, cred.euid, cred.suid, cred.fsuid)
    if kuid is None or kuid == cred.fsuid or (kuid not in ours and not cred.capable(Cap.SETUID)):
        return cred
    new, root = replace(cred, fsuid=kuid), cred.user_ns.root
    if cred.has(Securebits.NO_SETUID_FIXUP) or root is None:
        return new
    effective = cred.caps.effective
    if cred.fsuid == root:
        effective -= FS_CAPS
    elif kuid == root:
        effective |= cred.caps.permitted & FS_CAPS
    return _with_sets(new, effective=effective)


def _setfsgid(cred: Credentials, fsgid: int) -> Credentials:
    """__sys_setfsgid()."""
    kgid = None if fsgid & NO_ID == NO_ID else cred.user_ns.gid_map.down(fsgid & NO_ID)
    ours = (cred.gid, cred.egid, cred.sgid, cred.fsgid)
    if kgid is None or (kgid not in ours and not cred.capable(Cap.SETGID)):
        return cred
    return replace(cred, fsgid=kgid)


def _fix_setuid(old: Credentials, new: Credentials) -> Credentials:
    """cap_task_fix_setuid() and cap_emulate_setxuid(): root that gives up its last uid 0 gives up its capabilities."""
    root = old.user_ns.root
    if old.has(Securebits.NO_SETUID_FIXUP) or root is None:
        return new
    sets = new.caps
    if root in (old.uid, old.euid, old.suid) and root not in (new.uid, new.euid, new.suid):
        sets = replace(sets, ambient=NO_CAPS)
        if not old.has(Securebits.KEEP_CAPS):
            sets = replace(sets, permitted=NO_CAPS, effective=NO_CAPS)
    if old.euid == root != new.euid:
        sets = replace(sets, effective=NO_CAPS)
    if old.euid != root == new.euid:
        sets = replace(sets, effective=sets.permitted)
    return replace(new, caps=sets)


def _setgroups(cred: Credentials, groups: tuple[int, ...]) -> Credentials:
    """sys_setgroups(), may_setgroups()."""
    _need(cred, Cap.SETGID)
    if not cred.user_ns.gid_map or not cred.user_ns.setgroups:
        raise Denied(errno.EPERM, "the user namespace does not allow setgroups")
    if len(groups) > NGROUPS_MAX:
        raise Denied(errno.EINVAL, f"more than {NGROUPS_MAX} groups")
    return replace(cred, groups=tuple(sorted(_not_keep(_group(cred, gid)) for gid in groups)))


def _capset(cred: Credentials, call: Capset, kernel: Kernel) -> Credentials:
    """sys_capset(), cap_capset(). Bits of capabilities that the kernel does not know are dropped."""
    valid, old = Caps.all(kernel.last_cap), cred.caps
    permitted, effective = call.permitted & valid, call.effective & valid
    inheritable = call.inheritable & valid
    if not inheritable <= old.inheritable | old.permitted:
        _need(cred, Cap.SETPCAP)
    if not inheritable <= old.inheritable | old.bounding:
        raise Denied(
            errno.EPERM,
            f"inheritable {inheritable - old.inheritable - old.bounding} is not in the bounding set",
        )
    if not permitted <= old.permitted:
        raise Denied(errno.EPERM, f"permitted {permitted - old.permitted} cannot be raised")
    if not effective <= permitted:
        raise Denied(errno.EPERM, f"effective {effective - permitted} would not be permitted")
    ambient = old.ambient & permitted & inheritable
    return replace(cred, caps=ThreadCaps(permitted, effective, inheritable, old.bounding, ambient))


def _valid(cap: int, kernel: Kernel) -> Caps:
    """cap_valid()."""
    if not 0 <= cap <= kernel.last_cap:
        raise Denied(errno.EINVAL, f"the kernel knows no capability {cap}")
    return Caps.of(cap)


def _capbset_drop(cred: Credentials, cap: int, kernel: Kernel) -> Credentials:
    """cap_prctl_drop()."""
    _need(cred, Cap.SETPCAP)
    return _with_sets(cred, bounding=cred.caps.bounding - _valid(cap, kernel))


def _ambient_raise(cred: Credentials, cap: int, kernel: Kernel) -> Credentials:
    """cap_task_prctl(), PR_CAP_AMBIENT."""
    raised, sets = _valid(cap, kernel), cred.caps
    if not raised <= sets.permitted & sets.inheritable:
        raise Denied(errno.EPERM, f"{raised} is not both permitted and inheritable")
    if cred.has(Securebits.NO_CAP_AMBIENT_RAISE):
        raise Denied(errno.EPERM, "SECBIT_NO_CAP_AMBIENT_RAISE is set")
    return _with_sets(cred, ambient=sets.ambient | raised)


_LOCKABLE = (
    Securebits.NOROOT | Securebits.NO_SETUID_FIXUP | Securebits.KEEP_CAPS | Securebits.NO_CAP_AMBIENT_RAISE
)
_UNPRIVILEGED = Securebits.EXEC_RESTRICT_FILE | Securebits.EXEC_DENY_INTERACTIVE


def _set_securebits(cred: Credentials, bits: int, kernel: Kernel) -> Credentials:
    """cap_task_prctl(), PR_SET_SECUREBITS."""
    unprivileged = int(_UNPRIVILEGED) if kernel >= EXEC_SECUREBITS else 0
    known = int(_LOCKABLE) | unprivileged
    locks, changed = cred.securebits & known << 1, cred.securebits ^ bits
    if locks >> 1 & changed:
        raise Denied(errno.EPERM, "a locked securebit cannot be changed")
    if locks & ~bits:
        raise Denied(errno.EPERM, "a securebit cannot be unlocked")
    if bits & ~(known | known << 1):
        raise Denied(errno.EPERM, "the kernel does not know such securebits")
    if not changed or changed & ~(unprivileged | unprivileged << 1):
        _need(cred, Cap.SETPCAP)
    return replace(cred, securebits=bits)


def _set_keepcaps(cred: Credentials, keep: bool) -> Credentials:
    """cap_task_prctl(), PR_SET_KEEPCAPS."""
    if cred.has(Securebits.KEEP_CAPS_LOCKED):
        raise Denied(errno.EPERM, "SECBIT_KEEP_CAPS is locked")
    bit = int(Securebits.KEEP_CAPS)
    return replace(cred, securebits=cred.securebits | bit if keep else cred.securebits & ~bit)


def _unshare_user(cred: Credentials, call: UnshareUser, kernel: Kernel) -> Credentials:
    """create_user_ns(); map_write() for the maps."""
    parent = cred.user_ns
    if parent.level > MAX_USER_NAMESPACE_LEVEL:
        raise Denied(errno.ENOSPC, "user namespaces are nested too deep")
    if parent.uid_map.up(cred.euid) is None or parent.gid_map.up(cred.egid) is None:
        raise Denied(errno.EPERM, "the caller's own user or group is not mapped in its user namespace")
    users, groups = parent.uid_map.below(call.uid_map), parent.gid_map.below(call.gid_map)
    if users is None or groups is None:
        raise Denied(errno.EPERM, "the map names ids that the parent namespace does not have")
    child = UserNamespace(parent, cred.euid, users, groups, parent.setgroups, call.name)
    return _in_user_ns(cred, child, kernel)


def _setns_user(cred: Credentials, namespace: UserNamespace, kernel: Kernel) -> Credentials:
    """userns_install()."""
    if namespace == cred.user_ns:
        raise Denied(errno.EINVAL, "the process is in this user namespace already")
    if not cred.capable(Cap.SYS_ADMIN, namespace):
        raise Denied(errno.EPERM, "SYS_ADMIN is not effective in that user namespace")
    return _in_user_ns(cred, namespace, kernel)


def _in_user_ns(cred: Credentials, namespace: UserNamespace, kernel: Kernel) -> Credentials:
    """set_cred_user_ns(): all capabilities, but over the new namespace only; the ids stay who they are."""
    every = Caps.all(kernel.last_cap)
    return replace(cred, user_ns=namespace, caps=ThreadCaps.root(every), securebits=0)
