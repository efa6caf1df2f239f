"""Real files, mounts and user namespaces for random programs, none of which outlives the process that made them.

A `World` belongs to one worker process: everything is mounted in a mount namespace of its own, the processes that hold user
namespaces die with it, and so nothing is left whatever happens.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from caplet.errors import Unavailable
from caplet.kernel.execve import Program
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.namespaces import INITIAL, UserNamespace
from caplet.kernel.syscalls import Setresgid, Setresuid, UnshareUser
from caplet.programs import shipped
from caplet.run import linux
from caplet.run.calls import CLONE_NEWUSER, Raw, raw
from caplet.run.idmaps import write_maps
from caplet.run.perform import SCRIPT_ARGUMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SLOTS = 12
"""Programs, and as many scripts, on each file system."""

XATTR = "security.capability"

PLACES = ("/media", "/srv", "/mnt", "/opt")
"""Directories of the Filesystem Hierarchy Standard; an empty one is mounted over, unseen by the rest of the machine."""

OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
"""The same on every architecture since 5.2 and 5.12."""
OPEN_TREE_CLONE, AT_EMPTY_PATH, AT_FDCWD, MOVE_MOUNT_F_EMPTY_PATH = 1, 0x1000, -100, 4
MOUNT_ATTR_IDMAP = 0x100000
CLONE_FS = 0x200


@dataclass(frozen=True)
class Mount:
    """Where files of one file system can be run from, and what the mount does to them."""

    path: str
    """As the program's process sees it."""
    setup: str
    """As the worker reaches it, to prepare the files."""
    like: Program
    """Carries nosuid, noexec, user_ns, idmap."""
    fixed: tuple[tuple[str, Program], ...] = ()
    """Read-only: the files that there are."""


@dataclass
class World:
    """What a batch of programs can use."""

    mounts: dict[int, list[Mount]] = field(default_factory=dict)
    """By number of the mount namespace: 0 is the worker's own, others belong to `namespaces`."""
    namespaces: list[UserNamespace] = field(default_factory=list)
    user_fds: dict[UserNamespace, int] = field(default_factory=dict)
    mount_fds: dict[int, int] = field(default_factory=dict)
    holders: list[int] = field(default_factory=list)
    place: str = ""
    lacks: list[str] = field(default_factory=list)
    """What this machine cannot do, and why."""

    @contextlib.contextmanager
    def if_possible(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, subprocess.SubprocessError) as error:
            self.lacks.append(f"{what}: {error}")

    def enter(self, number: int) -> list[Raw]:
        """Into a mount namespace: what the child does first."""
        if not number:
            return []
        os.set_inheritable(self.mount_fds[number], True)
        return [Raw("setns", (self.mount_fds[number], linux.CLONE_NEWNS))]

    def close(self) -> None:
        for pid in self.holders:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for fd in (*self.user_fds.values(), *self.mount_fds.values()):
            os.close(fd)
        linux.umount(self.place)


def share_fs() -> None:
    """Make a process that shares root and working directory with this one, as long as this one lives.

    It waits for that on a descriptor: PR_SET_PDEATHSIG sends nothing if the one that ends may not signal the other by then.
    """
    parent = os.getpid()
    if Raw("clone", (CLONE_FS | signal.SIGCHLD,))() == 0:
        try:
            os.closerange(0, 1024)
            ends = select.poll()
            ends.register(os.pidfd_open(parent), select.POLLIN)
            ends.poll()
        finally:
            os._exit(0)


def enclose() -> str:
    """A private mount namespace for this process, and the directory in it that is ours."""
    if os.geteuid() != 0:
        raise Unavailable("the oracle makes mounts and user namespaces: it needs root")
    linux.unshare(linux.CLONE_NEWNS)
    linux.make_private("/")
    for place in PLACES:
        if os.path.isdir(place) and not os.path.islink(place) and not os.listdir(place):
            return place
    raise Unavailable(f"none of {', '.join(PLACES)} is an empty directory")


def build(place: str, maps: Sequence[tuple[int, UnshareUser, int]], odd: Sequence[Program] = ()) -> World:
    """`maps`: for each user namespace its parent's number (0: the initial one), its maps, and the effective user who makes it."""
    world = World(place=place)
    linux.mount("tmpfs", place, "tmpfs", 0, "mode=755")
    plain = f"{place}/plain"
    for name in ("plain", "nosuid", "noexec", "own", "ownnosuid", "idmap", "odd"):
        os.mkdir(f"{place}/{name}", 0o755)
    for name, flags in (("plain", 0), ("nosuid", linux.MS_NOSUID), ("noexec", linux.MS_NOEXEC)):
        linux.mount("tmpfs", f"{place}/{name}", "tmpfs", flags, "mode=755")
        fill(f"{place}/{name}")
    everywhere = [
        Mount(plain, plain, Program()),
        Mount(f"{place}/nosuid", f"{place}/nosuid", Program(nosuid=True)),
        Mount(f"{place}/noexec", f"{place}/noexec", Program(noexec=True)),
    ]
    if odd:
        with world.if_possible("attributes that setxattr(2) refuses"):
            everywhere.append(odd_files(f"{place}/odd", odd))
    _hold_namespaces(world, maps)
    if world.namespaces:
        with world.if_possible("idmapped mounts"):
            idmap(plain, f"{place}/idmap", world.user_fds[world.namespaces[0]])
            everywhere.append(Mount(f"{place}/idmap", plain, Program(idmap=world.namespaces[0])))
    world.mounts[0] = everywhere
    for number, (holder, namespace) in enumerate(zip(world.holders, world.namespaces, strict=True), start=1):
        # Made before the idmapped mount, the mount namespace lacks it.
        mounts = [mount for mount in everywhere if mount.like.idmap is None]
        for name, like in (
            ("own", Program(user_ns=namespace)),
            ("ownnosuid", Program(user_ns=namespace, nosuid=True)),
        ):
            mounts.append(Mount(f"{place}/{name}", f"/proc/{holder}/root{place}/{name}", like))
        world.mounts[number] = mounts
    return world


def fill(directory: str) -> None:
    for number in range(SLOTS):
        shutil.copyfile(shipped.path("probe"), f"{directory}/program{number}")
        with open(f"{directory}/script{number}", "wb"):
            pass


def _hold_namespaces(world: World, maps: Sequence[tuple[int, UnshareUser, int]]) -> None:
    for number, (parent, call, owner) in enumerate(maps, start=1):
        outer = world.namespaces[parent - 1] if parent else INITIAL
        uid_map, gid_map = outer.uid_map.below(call.uid_map), outer.gid_map.below(call.gid_map)
        assert uid_map is not None
        assert gid_map is not None
        namespace = UserNamespace(outer, owner, uid_map, gid_map, name=call.name)
        pid = _hold(
            world, world.user_fds.get(outer), call, outer.uid_map.up(owner), outer.gid_map.extents[0].first
        )
        world.holders.append(pid)
        world.namespaces.append(namespace)
        world.user_fds[namespace] = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        world.mount_fds[number] = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def _hold(world: World, parent: int | None, call: UnshareUser, owner: int | None, group: int) -> int:
    """Fork the process that keeps a user namespace and its mount namespace, with file systems of its own in it."""
    said, say = os.pipe()
    hear, tell = os.pipe()
    worker, pid = os.getpid(), os.fork()
    if pid:
        os.close(say)
        os.close(hear)
        answer = os.read(said, 1)
        write_maps(pid, call)
        os.write(tell, b".")
        answer += os.read(said, 1)
        os.close(said)
        os.close(tell)
        if answer != b"um":
            raise Unavailable("the user namespaces of the oracle cannot be made on this machine")
        return pid
    try:
        if parent is not None:
            Raw("setns", (parent, CLONE_NEWUSER))()
        assert owner is not None
        raw(Setresgid(group, group, group))()
        raw(Setresuid(-1, owner, -1))()
        linux.unshare(CLONE_NEWUSER)
        os.write(say, b"u")
        os.read(hear, 1)
        # Its root where it has one: another user would lose the capabilities.
        user, group = (
            0 if ids.down(0) is not None else ids.extents[0].first for ids in (call.uid_map, call.gid_map)
        )
        raw(Setresgid(group, group, group))()
        raw(Setresuid(user, user, user))()
        linux.unshare(linux.CLONE_NEWNS)
        for name, flags in (("own", 0), ("ownnosuid", linux.MS_NOSUID)):
            linux.mount("tmpfs", f"{world.place}/{name}", "tmpfs", flags, "mode=755")
            fill(f"{world.place}/{name}")
        linux.die_with_parent(worker)
        os.write(say, b"m")
        while True:
            signal.pause()
    except OSError:
        traceback.print_exc()
    finally:
        os._exit(1)


def idmap(source: str, target: str, user_fd: int) -> None:
    """`source` again at `target`, with the ids that the user namespace's maps give."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    tree = _checked(syscall(OPEN_TREE, AT_FDCWD, source.encode(), OPEN_TREE_CLONE))
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_IDMAP, 0, 0, user_fd)
    _checked(
        syscall(MOUNT_SETATTR, tree, b"", AT_EMPTY_PATH, ctypes.byref(attributes), ctypes.sizeof(attributes))
    )
    _checked(syscall(MOVE_MOUNT, tree, b"", AT_FDCWD, target.encode(), MOVE_MOUNT_F_EMPTY_PATH))
    os.close(tree)


def _checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def odd_files(directory: str, programs: Sequence[Program]) -> Mount:
    """Attributes that setxattr(2) refuses, put on an ext4 image by debugfs(8): revision 1, unknown flags, wrong sizes."""
    # Its loop device shows the name: of which session it is.
    image = f"{directory}-{os.getsid(0)}.ext4"
    with open(image, "wb") as file:
        file.truncate(4 << 20)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-I", "256", "-N", "512", image], check=True
    )
    lines = []
    for number, program in enumerate(programs):
        assert isinstance(program.caps, bytes)
        with open(f"{directory}/value{number}", "wb") as value:
            value.write(program.caps)
        lines += [
            f"write {shipped.path('probe')} file{number}",
            f"set_inode_field file{number} mode 0{0o100000 | program.mode:o}",
            f"set_inode_field file{number} uid {program.uid}",
            f"set_inode_field file{number} gid {program.gid}",
            f"ea_set -f {directory}/value{number} file{number} {XATTR}",
        ]
    with open(f"{directory}/commands", "w", encoding="ascii") as commands:
        commands.write("\n".join(lines) + "\n")
    subprocess.run(["debugfs", "-w", "-f", f"{directory}/commands", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop,ro", image, directory], check=True, capture_output=True)
    os.unlink(image)
    fixed = tuple((f"{directory}/file{number}", program) for number, program in enumerate(programs))
    return Mount(directory, directory, Program(), fixed)


def prepare(path: str, program: Program, script: str | None) -> None:
    """Make the file at `path` the program's inode. In this order: chown(2) and write(2) take the attribute away."""
    if script is not None:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!{script} {SCRIPT_ARGUMENT}\n")
    os.chown(path, program.uid, program.gid)
    os.chmod(path, program.mode)
    if program.caps is None:
        with contextlib.suppress(OSError):
            os.removexattr(path, XATTR)
        return
    os.setxattr(path, XATTR, _as_written(program))


def _as_written(program: Program) -> bytes:
    """The value on disk has the rootid of the file system's user namespace; the one written has the writer's."""
    caps = program.caps
    if isinstance(caps, FileCaps) and caps.rootid is not None:
        caps = replace(caps, rootid=program.user_ns.uid_map.down(caps.rootid))
    return caps.encode() if isinstance(caps, FileCaps) else caps or b""
