# SPDX-License-Identifier: Apache-2.0
"""execve(2): what it makes of credentials, as the numbered steps of the kernel.

Each step is a function of the `Bprm`, the kernel's struct linux_binprm, named after the function of Linux 6.18 that does it;
those of one file are in `security/commoncap.c`, cap_bprm_creds_from_file(), unless said otherwise. capabilities(7)
"Transformation of capabilities during execve()" gives the sum of them:

    P'(ambient)     = (file is privileged) ? 0 : P(ambient)
    P'(permitted)   = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)
    P'(effective)   = F(effective) ? P'(permitted) : P'(ambient)
    P'(inheritable) = P(inheritable)
    P'(bounding)    = P(bounding)

and leaves out what no_new_privs does (step 6). `execve` gives the outcome, `steps` all on the way.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from enum import Flag, auto
from typing import TYPE_CHECKING, Any

from caplet.errors import InvalidInput
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Denied, Securebits
from caplet.kernel.filecaps import MAX_SIZE, FileCaps
from caplet.kernel.namespaces import INITIAL, IdMap, UserNamespace
from caplet.kernel.versions import ID_CHANGED, NEWEST, Kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

S_ISUID = 0o4000
S_ISGID = 0o2000
S_IXGRP = 0o0010
ANY_EXECUTE = 0o0111

MAX_INTERPRETERS = 5
"""exec_binprm() (`fs/exec.c`) gives up with ELOOP after so many changes of program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """An executable file as execve(2) sees it: the inode, and the mount through which it is reached."""

    caps: FileCaps | bytes | None = None
    """The attribute security.capability, decoded or as it is on disk; None where there is none."""
    mode: int = 0o755
    uid: int = 0
    """Owner of the inode, as the initial user namespace numbers users (kuid_t)."""
    gid: int = 0
    nosuid: bool = False
    """MS_NOSUID, or a mount of another mount namespace."""
    noexec: bool = False
    """MS_NOEXEC."""
    user_ns: UserNamespace = INITIAL
    """Who mounted the file system (s_user_ns)."""
    idmap: UserNamespace | None = None
    """The namespace whose maps an idmapped mount lays over the ids on disk (mount_setattr(2) MOUNT_ATTR_IDMAP)."""
    interpreter: Program | None = None
    """What its first line, `#!`, or binfmt_misc names."""

    @property
    def setuid(self) -> int | None:
        """The user that it would run as."""
        return self.owner if self.mode & S_ISUID else None

    @property
    def setgid(self) -> int | None:
        """The group that it would run as; S_ISGID without the group's execute bit is not set-group-ID."""
        return self.group if self.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP else None

    @property
    def owner(self) -> int | None:
        """i_uid_into_vfsuid(): the owner that the mount shows."""
        return self._shown(self.uid, self.user_ns.uid_map, self._mount_users)

    @property
    def group(self) -> int | None:
        """i_gid_into_vfsgid()."""
        return self._shown(self.gid, self.user_ns.gid_map, self.idmap.gid_map if self.idmap else None)

    def root(self, rootid: int) -> int | None:
        """Whose attribute it is, of revision 3, or of revision 2 with `rootid` 0, through the mount."""
        kuid = self.user_ns.uid_map.down(rootid)
        return None if kuid is None else self._shown(kuid, self.user_ns.uid_map, self._mount_users)

    @property
    def _mount_users(self) -> IdMap | None:
        return self.idmap.uid_map if self.idmap else None

    @staticmethod
    def _shown(kernel_id: int, filesystem: IdMap, mount: IdMap | None) -> int | None:
        """make_vfsuid(), `fs/mnt_idmapping.c`."""
        if mount is None:
            return kernel_id
        on_disk = filesystem.up(kernel_id)
        return None if on_disk is None else mount.down(on_disk)


class Unsafe(Flag):
    """bprm->unsafe: why a program may not gain privileges now. no_new_privs is the third reason."""

    NONE = 0
    SHARE = auto()
    """LSM_UNSAFE_SHARE: another process shares root and working directory (clone(2) CLONE_FS)."""
    PTRACE = auto()
    """LSM_UNSAFE_PTRACE, by a tracer that lacks CAP_SYS_PTRACE: ptracer_capable() says no."""


@dataclass(frozen=True, slots=True)
class Bprm:
    """What the kernel has made so far: struct linux_binprm with its proposed credentials."""

    old: Credentials
    """The caller's."""
    new: Credentials
    """Proposed; the program gets them when the last step is done."""
    program: Program
    """What the credentials are computed from: in the end the last interpreter."""
    kernel: Kernel = NEWEST
    unsafe: Unsafe = Unsafe.NONE
    has_fcap: bool = False
    """The file has an attribute that counts here, be it an empty one."""
    effective: bool = False
    """What becomes permitted becomes effective."""
    id_changed: bool = False
    """The program gets another user or group (is_setid before Linux 6.17)."""

    @property
    def root(self) -> int | None:
        return self.new.user_ns.root

    @property
    def gained(self) -> bool:
        """__cap_gained(permitted): more than the caller had."""
        return not self.new.caps.permitted <= self.old.caps.permitted

    def proposing(self, **changes: Any) -> Bprm:
        return replace(self, new=replace(self.new, **changes))

    def with_sets(self, **sets: Caps) -> Bprm:
        return self.proposing(caps=replace(self.new.caps, **sets))


def execve(
    cred: Credentials, program: Program, kernel: Kernel = NEWEST, unsafe: Unsafe = Unsafe.NONE
) -> Credentials:
    """Give what `program` starts with; raises Denied where the call fails, and then the caller keeps its own."""
    bprm = Bprm(cred, cred, program, kernel, unsafe)
    for step in STEPS:
        bprm = step(bprm)
    return bprm.new


def steps(
    cred: Credentials, program: Program, kernel: Kernel = NEWEST, unsafe: Unsafe = Unsafe.NONE
) -> Iterator[tuple[Callable[[Bprm], Bprm], Bprm]]:
    """Each step with what it left; raises Denied in the one that says no. A step's name and text are its function's."""
    bprm = Bprm(cred, cred, program, kernel, unsafe)
    for step in STEPS:
        bprm = step(bprm)
        yield step, bprm


def find_interpreter(bprm: Bprm) -> Bprm:
    """1. The program and each `#!` interpreter in turn must be executable; the last one's attribute and mode count.

    do_open_execat(), exec_binprm() of `fs/exec.c`.
    """
    program = bprm.program
    _may_execute(bprm.old, program)
    for _ in range(MAX_INTERPRETERS):
        if program.interpreter is None:
            return replace(bprm, program=program)
        program = program.interpreter
        _may_execute(bprm.old, program)
    if program.interpreter is None:
        return replace(bprm, program=program)
    _may_execute(bprm.old, program.interpreter)
    raise Denied(errno.ELOOP, f"more than {MAX_INTERPRETERS} interpreters, one for the other")


def fill_uid(bprm: Bprm) -> Bprm:
    """2. Set-user-ID and set-group-ID, where the mount allows it and both owners exist in the user namespace.

    bprm_fill_uid() of `fs/exec.c`.
    """
    program, namespace = bprm.program, bprm.new.user_ns
    if not _may_suid(bprm) or bprm.old.no_new_privs:
        return bprm
    if not _mapped(program.owner, namespace.uid_map) or not _mapped(program.group, namespace.gid_map):
        return bprm
    if program.setuid is not None:
        bprm = bprm.proposing(euid=program.setuid)
    if program.setgid is not None:
        bprm = bprm.proposing(egid=program.setgid)
    return bprm


def get_file_caps(bprm: Bprm) -> Bprm:
    """3. pP' = (X & fP) | (pI & fI). EPERM for an effective file that would not get all of fP.

    get_vfs_caps_from_disk(), bprm_caps_from_vfs_caps().
    """
    bprm = bprm.with_sets(permitted=NO_CAPS)
    file = _caps_that_count(bprm)
    if file is None:
        return bprm
    valid = Caps.all(bprm.kernel.last_cap)
    forced, inheritable = file.permitted & valid, file.inheritable & valid
    sets = bprm.new.caps
    permitted = (sets.bounding & forced) | (sets.inheritable & inheritable)
    if file.effective and not forced <= permitted:
        missing = forced - permitted
        raise Denied(errno.EPERM, f"the file demands {missing}, which the bounding set lacks")
    return replace(bprm.with_sets(permitted=permitted), has_fcap=True, effective=file.effective)


def handle_privileged_root(bprm: Bprm) -> Bprm:
    """4. root, real or effective, gets pP' = X | pI, and effective as well where it is the effective user.

    Not with SECBIT_NOROOT, nor where a file that has capabilities made the caller root: then the file's count.
    """
    new, root = bprm.new, bprm.root
    if bprm.old.has(Securebits.NOROOT) or root is None:
        return bprm
    if bprm.has_fcap and new.euid == root and new.uid != root:
        return bprm
    if root in (new.uid, new.euid):
        bprm = bprm.with_sets(permitted=bprm.old.caps.bounding | bprm.old.caps.inheritable)
    return replace(bprm, effective=bprm.effective or new.euid == root)


def compare_ids(bprm: Bprm) -> Bprm:
    """5. Does the program change the user or the group? Since Linux 6.17 against the effective user and all groups."""
    old, new = bprm.old, bprm.new
    if bprm.kernel >= ID_CHANGED:
        changed = new.euid != old.euid or not old.in_group(new.egid)
    else:
        changed = new.euid != old.uid or new.egid != old.gid
    return replace(bprm, id_changed=changed)


def downgrade(bprm: Bprm) -> Bprm:
    """6. Where no privileges may be gained: back to the real ids, and pP' = pP' & pP. No error, no message."""
    old = bprm.old
    if not (bprm.id_changed or bprm.gained):
        return bprm
    if not (old.no_new_privs or bprm.unsafe):
        return bprm
    if old.no_new_privs or not old.capable(Cap.SETUID):
        bprm = bprm.proposing(euid=bprm.new.uid, egid=bprm.new.gid)
    return bprm.with_sets(permitted=bprm.new.caps.permitted & old.caps.permitted)


def save_ids(bprm: Bprm) -> Bprm:
    """7. The saved ids and those for files follow the effective ones."""
    euid, egid = bprm.new.euid, bprm.new.egid
    return bprm.proposing(suid=euid, fsuid=euid, sgid=egid, fsgid=egid)


def clear_ambient(bprm: Bprm) -> Bprm:
    """8. pA' = 0 if the file has capabilities or changes an id, else pA; then pP' = pP' | pA'."""
    ambient = NO_CAPS if bprm.has_fcap or bprm.id_changed else bprm.old.caps.ambient
    return bprm.with_sets(ambient=ambient, permitted=bprm.new.caps.permitted | ambient)


def set_effective(bprm: Bprm) -> Bprm:
    """9. pE' = fE ? pP' : pA'."""
    sets = bprm.new.caps
    return bprm.with_sets(effective=sets.permitted if bprm.effective else sets.ambient)


def clear_keep_caps(bprm: Bprm) -> Bprm:
    """10. SECBIT_KEEP_CAPS ends here; the other securebits stay."""
    return bprm.proposing(securebits=bprm.new.securebits & ~int(Securebits.KEEP_CAPS))


def secureexec(bprm: Bprm) -> Bprm:
    """11. AT_SECURE: ids changed or differ, or someone but root has more than ambient capabilities."""
    old, new = bprm.old, bprm.new
    secure = bprm.id_changed
    if bprm.kernel >= ID_CHANGED:
        secure = secure or new.euid != old.uid or new.egid != old.gid
    if new.uid != bprm.root:
        secure = secure or bprm.effective or not new.caps.permitted <= new.caps.ambient
    return bprm.proposing(at_secure=secure)


STEPS: tuple[Callable[[Bprm], Bprm], ...] = (
    find_interpreter,
    fill_uid,
    get_file_caps,
    handle_privileged_root,
    compare_ids,
    downgrade,
    save_ids,
    clear_ambient,
    set_effective,
    clear_keep_caps,
    secureexec,
)


def _may_execute(cred: Credentials, program: Program) -> None:
    """inode_permission() with MAY_EXEC, `fs/namei.c`, acl_permission_check(); without POSIX ACLs."""
    if program.noexec:
        raise Denied(errno.EACCES, "the file is on a noexec mount")
    if cred.fsuid == program.owner:
        execute = program.mode >> 6
    elif program.group is not None and cred.in_group(program.group):
        execute = program.mode >> 3
    else:
        execute = program.mode
    if execute & 1:
        return
    if program.mode & ANY_EXECUTE and _override(cred, program):
        return
    raise Denied(
        errno.EACCES, f"mode {program.mode & 0o7777:04o} does not let user {cred.fsuid} execute the file"
    )


def _override(cred: Credentials, program: Program) -> bool:
    """capable_wrt_inode_uidgid(CAP_DAC_OVERRIDE), `kernel/capability.c`."""
    namespace = cred.user_ns
    mapped = _mapped(program.owner, namespace.uid_map) and _mapped(program.group, namespace.gid_map)
    return mapped and cred.capable(Cap.DAC_OVERRIDE)


def _mapped(kernel_id: int | None, ids: IdMap) -> bool:
    return kernel_id is not None and ids.up(kernel_id) is not None


def _may_suid(bprm: Bprm) -> bool:
    """mnt_may_suid(), `fs/namespace.c`."""
    return not bprm.program.nosuid and bprm.old.user_ns.within(bprm.program.user_ns)


def _caps_that_count(bprm: Bprm) -> FileCaps | None:
    """get_file_caps() and get_vfs_caps_from_disk() up to rootid_owns_currentns()."""
    program = bprm.program
    if program.caps is None or not _may_suid(bprm):
        return None
    file = program.caps
    if isinstance(file, bytes):
        file = _decoded(file)
    root = program.root(file.rootid or 0)
    if root is None or not bprm.old.user_ns.is_root(root):
        return None
    return file


def _decoded(value: bytes) -> FileCaps:
    """The errors of get_vfs_caps_from_disk(), which reads into a buffer of the largest size that there is."""
    if len(value) > MAX_SIZE:
        raise Denied(
            errno.ERANGE, f"the security.capability attribute has {len(value)} bytes, more than {MAX_SIZE}"
        )
    try:
        return FileCaps.decode(value)
    except InvalidInput as error:
        raise Denied(errno.EINVAL, error.message) from None
