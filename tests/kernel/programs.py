"""Random programs: system calls with executions among them, drawn so that much is allowed and much is denied.

The model itself leads: what a process holds, so far as the model says, decides which sets and ids are worth trying next. A
generator that ignored it would spend most calls on EPERM.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tests.kernel.worlds import SLOTS

from caplet.kernel import syscalls as k
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.credentials import Credentials, Denied, Securebits
from caplet.kernel.execve import Program, Unsafe
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.namespaces import NO_ID, Extent, IdMap, UserNamespace

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.kernel.worlds import Mount, World

    from caplet.kernel.versions import Kernel

USEFUL = (
    Cap.SETPCAP, Cap.SETUID, Cap.SETGID, Cap.SETFCAP, Cap.SYS_ADMIN, Cap.NET_BIND_SERVICE, Cap.NET_RAW, Cap.CHOWN,
    Cap.DAC_OVERRIDE, Cap.SYS_RESOURCE, Cap.CHECKPOINT_RESTORE, 41, 63,
)  # fmt: skip
"""Few, so that sets meet: those that the rules ask for, some others, one that this machine may lack, two unknown."""

FORKED = 0.2
"""A fork of this process costs ten times what the probe does."""

SHARED = 0.2
"""Of those that are forked. Such a process cannot change its user namespace."""

IDS = (0, 1, 1000, 1001, 5, 65534, 65535, 100000, 100001, 200000, 4294967294)
MODES = (
    0o755, 0o755, 0o755, 0o4755, 0o4755, 0o2755, 0o6755, 0o6755, 0o2745, 0o6745, 0o750, 0o4750, 0o700, 0o4711, 0o644, 0o4644,
    0o001, 0o010, 0o100, 0o6111, 0o1755, 0o077,
)  # fmt: skip


@dataclass
class File:
    """What to prepare before the program runs."""

    path: str
    program: Program
    script: str | None
    """The path of the interpreter, for a script."""


@dataclass
class Drawn:
    """A program: the mount namespace it starts in, its calls, its files."""

    world: int
    forked: bool
    """Done by our own code up to the first execve, as `caplet run` does; else by the probe from the start."""
    shared: bool
    """With another process that shares its root and working directory: then execve thinks it unsafe."""
    calls: list[k.Syscall] = field(default_factory=list)
    files: list[File] = field(default_factory=list)


def maps(random: Random) -> list[tuple[int, k.UnshareUser, int]]:
    """User namespaces for a world: of Kubernetes' and of rootless kind, with real root inside, without root, nested."""
    base, size = random.choice((100000, 65536, 1 << 20)), random.choice((65536, 70000, 10))
    rootless = random.choice((1000, 1, 65535))
    kinds = [
        (0, _maps(((0, base, size),)), random.choice((0, 0, 1000))),
        (0, _maps(((0, rootless, 1), (1, 200000, 65536))), rootless),
        (0, _maps(((0, 0, random.choice((1, 1002, 70000))),)), random.choice((0, 1000))),
        (0, _maps(((5, random.choice((0, 1000, 1005)), 10),)), 0),
        (0, _maps(((1, 0, 1), (0, 1000, 1), (2, 100000, 5))), 1000),
    ]
    first = random.sample(kinds, 2)
    nested = (1, _maps(((0, first[0][1].uid_map.extents[0].first, 1),)), first[0][1].uid_map.extents[0].lower)
    return [
        (parent, replace(call, name=f"world{number}"), owner)
        for number, (parent, call, owner) in enumerate([*first, nested], start=1)
    ]


def _maps(extents: tuple[tuple[int, int, int], ...]) -> k.UnshareUser:
    ids = IdMap.of(*extents)
    return k.UnshareUser(ids, ids)


def odd(random: Random) -> list[Program]:
    """Files that setxattr(2) cannot make: revision 1, unknown flags and revisions, wrong sizes."""
    values = [_odd_value(random) for _ in range(40)]
    return [
        Program(
            caps=value,
            mode=random.choice(MODES[:9]),
            uid=random.choice((0, 0, 1000)),
            gid=random.choice((0, 1000)),
        )
        for value in values
    ]


def _odd_value(random: Random) -> bytes:
    whole = FileCaps(
        caps_like(random),
        caps_like(random),
        random.random() < 0.5,
        random.choice((None, None, 0, 1000, 100000)),
    ).encode()
    flags = random.choice((0, 1, 1, 2, 0x800000, 0xFFFFFF))
    revision = random.choice((1, 1, 1, 1, 2, 3, 0, 4, 0xFF))
    body = whole[4:12] if revision == 1 else whole[4:]
    value = flags.to_bytes(3, "little") + bytes([revision]) + body
    return random.choice(
        (
            value,
            value,
            value,
            value[: random.randrange(1, len(value))],
            value + b"\0" * random.choice((1, 4, 8)),
        )
    )


def caps_like(random: Random, *near: Caps) -> Caps:
    """A set: often one of `near` or close to one of them."""
    if near and random.random() < 0.75:
        base = random.choice(near)
        kind = random.random()
        if kind < 0.4:
            return base
        if kind < 0.75:
            return base & Caps(random.getrandbits(64) | random.getrandbits(64))
        return base ^ Caps.of(random.choice(USEFUL))
    kind = random.random()
    if kind < 0.15:
        return Caps()
    if kind < 0.3:
        return Caps.all()
    if kind < 0.9:
        return Caps.of(*random.sample(USEFUL, random.choice((1, 1, 1, 2, 3, 5))))
    return Caps(random.getrandbits(64))


def draw(random: Random, world: World, start: Credentials, kernel: Kernel) -> Drawn:
    """One program, 1 to some 40 calls long, nearly always with an execve."""
    return _Drawing(random, world, start, kernel).draw()


class _Drawing:
    def __init__(self, random: Random, world: World, start: Credentials, kernel: Kernel) -> None:
        self._random = random
        self._world = world
        self._kernel = kernel
        self._cred = start
        forked = random.random() < FORKED
        self._drawn = Drawn(
            random.choice((0, 0, *world.mounts)), forked, shared=forked and random.random() < SHARED
        )
        self._unsafe = Unsafe.SHARE if self._drawn.shared else Unsafe.NONE
        self._slots: dict[str, int] = {}

    def draw(self) -> Drawn:
        random = self._random
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            random.choice(
                (
                    self._runtime,
                    self._noise,
                    self._noise,
                    *(() if self._drawn.shared else (self._user_namespace,)),
                )
            )()
            self._add(self._execve())
        if random.random() < 0.1:
            self._noise()
        return self._drawn

    def _add(self, call: k.Syscall) -> None:
        self._drawn.calls.append(call)
        with contextlib.suppress(Denied):
            self._cred = k.apply(self._cred, call, self._kernel)

    def _noise(self) -> None:
        for _ in range(self._random.choice((0, 1, 2, 3, 4, 5, 6))):
            self._add(self._call())

    def _user_namespace(self) -> None:
        self._noise()
        self._add(self._namespace(0.7))
        self._noise()

    def _runtime(self) -> None:
        """As a container runtime starts its process, now and then with a step left out."""
        random = self._random
        granted = caps_like(random, self._cred.caps.permitted)
        user, group = self._user(), self._group()
        calls: list[k.Syscall] = []
        dropped = USEFUL if random.random() < 0.8 else range(41)
        calls += [k.CapbsetDrop(cap) for cap in dropped if cap not in granted and random.random() < 0.9]
        calls += [
            k.SetKeepcaps(True),
            k.Setgroups(tuple(self._group() for _ in range(random.choice((0, 0, 1, 2))))),
            k.Setresgid(group, group, group),
            k.Setresuid(user, user, user),
            k.SetKeepcaps(False),
            k.Capset(granted, granted, random.choice((Caps(), granted))),
        ]
        if random.random() < 0.4:
            calls += [k.AmbientRaise(cap) for cap in granted & Caps.of(*USEFUL)]
        if random.random() < 0.5:
            calls.insert(random.randrange(len(calls)), k.SetNoNewPrivs())
        for call in calls:
            if random.random() < 0.95:
                self._add(call)

    def _call(self) -> k.Syscall:
        random, sets = self._random, self._cred.caps
        match random.choices(range(18), (5, 2, 1, 1, 1, 1, 1, 1, 2, 6, 3, 4, 2, 4, 1, 1, 1, 1))[0]:
            case 0:
                return k.Setresuid(*self._three(self._user))
            case 1:
                return k.Setresgid(*self._three(self._group))
            case 2:
                return k.Setuid(self._user())
            case 3:
                return k.Setgid(self._group())
            case 4:
                return k.Setreuid(self._user(), self._user())
            case 5:
                return k.Setregid(self._group(), self._group())
            case 6:
                return k.Setfsuid(self._user())
            case 7:
                return k.Setfsgid(self._group())
            case 8:
                return k.Setgroups(tuple(self._group() for _ in range(random.choice((0, 1, 2, 3)))))
            case 9:
                permitted = caps_like(random, sets.permitted)
                effective = caps_like(random, permitted, sets.effective)
                return k.Capset(
                    permitted, effective, caps_like(random, sets.inheritable, sets.permitted, sets.bounding)
                )
            case 10:
                return k.CapbsetDrop(random.choice((*USEFUL, 64, 99)))
            case 11:
                return k.SetSecurebits(self._securebits())
            case 12:
                return k.SetKeepcaps(random.random() < 0.7)
            case 13:
                both = tuple(sets.permitted & sets.inheritable)
                return k.AmbientRaise(
                    random.choice(both if both and random.random() < 0.7 else (*USEFUL, 64))
                )
            case 14:
                return k.AmbientLower(random.choice(USEFUL))
            case 15:
                return k.AmbientClearAll()
            case 16:
                return k.SetNoNewPrivs()
            case _:
                return self._namespace(0.5)

    def _three(self, one: Callable[[], int]) -> tuple[int, int, int]:
        same = one()
        return (same, same, same) if self._random.random() < 0.4 else (one(), one(), one())

    def _user(self) -> int:
        cred = self._cred
        return self._id(cred.user_ns.uid_map, (cred.uid, cred.euid, cred.suid))

    def _group(self) -> int:
        cred = self._cred
        return self._id(cred.user_ns.gid_map, (cred.gid, cred.egid, cred.sgid, *cred.groups))

    def _id(self, ids: IdMap, own: tuple[int, ...]) -> int:
        """As the process numbers them: its own, those of its namespace's map, or any."""
        kind = self._random.random()
        if kind < 0.15:
            return -1
        if kind < 0.35 and (inside := ids.up(self._random.choice(own))) is not None:
            return inside
        if kind < 0.7 and ids:
            extent = self._random.choice(ids.extents)
            return extent.first + self._random.choice((0, 0, 1, extent.count - 1)) % extent.count
        return self._random.choice(IDS)

    def _securebits(self) -> int:
        bits = 0
        for _ in range(self._random.choice((0, 1, 1, 2, 3))):
            bits |= self._random.choice([int(bit) for bit in Securebits])
        if self._random.random() < 0.05:
            bits |= 1 << self._random.choice((12, 15, 30))
        return bits | (self._cred.securebits if self._random.random() < 0.5 else 0)

    def _namespace(self, entered: float) -> k.Syscall:
        if self._drawn.shared:
            return k.SetNoNewPrivs()
        if self._random.random() < entered:
            return k.SetnsUser(self._random.choice(self._world.namespaces))
        return self._unshare()

    def _unshare(self) -> k.Syscall:
        """Maps within the parent's; none where the parent has none, since then nobody could write them."""
        ours, name = self._cred.user_ns, f"own{len(self._drawn.calls)}"
        if not ours.uid_map or not ours.gid_map or self._random.random() < 0.15:
            return k.UnshareUser(name=name)
        return k.UnshareUser(self._part(ours.uid_map), self._part(ours.gid_map), name)

    def _part(self, ids: IdMap) -> IdMap:
        random, extents, first = self._random, [], random_first(self._random)
        for extent in random.sample(ids.extents, min(len(ids.extents), random.choice((1, 1, 2)))):
            lower = extent.first + random.choice((0, 0, 1, 1000)) % extent.count
            count = min(random.choice((1, 2, 1000, 65536)), extent.first + extent.count - lower)
            extents.append(Extent(first, lower, count))
            first += count
        return IdMap(tuple(extents))

    def _execve(self) -> k.Execve:
        random = self._random
        usable = self._world.mounts[self._drawn.world]
        mount = random.choices(usable, [_weight(mount) for mount in usable])[0]
        if mount.fixed:
            path, program = random.choice(mount.fixed)
            return k.Execve(program, path, unsafe=self._unsafe)
        length = random.choice((1, 1, 1, 2)) if random.random() < 0.2 else 0
        if random.random() < 0.01:
            length = 5 + random.choice((0, 1))
        path, program = self._file(mount, None, None)
        for _ in range(length):
            outer = random.choices(usable, [0 if mount.fixed else _weight(mount) for mount in usable])[0]
            path, program = self._file(outer, path, program)
        return k.Execve(program, path, unsafe=self._unsafe)

    def _file(self, mount: Mount, interpreter: str | None, inner: Program | None) -> tuple[str, Program]:
        kind = "program" if interpreter is None else "script"
        slot = self._slots.get(mount.setup + kind, 0)
        assert slot < SLOTS
        self._slots[mount.setup + kind] = slot + 1
        program = self._program(mount, inner)
        self._drawn.files.append(File(f"{mount.setup}/{kind}{slot}", program, interpreter))
        return f"{mount.path}/{kind}{slot}", program

    def _program(self, mount: Mount, interpreter: Program | None) -> Program:
        random = self._random
        mode = random.choice(MODES[:3]) if random.random() < 0.4 else random.choice(MODES)
        return replace(
            mount.like,
            caps=self._file_caps(mount.like.user_ns),
            mode=mode,
            uid=self._owner(mount.like.user_ns.uid_map, self._cred.uid),
            gid=self._owner(mount.like.user_ns.gid_map, self._cred.gid),
            interpreter=interpreter,
        )

    def _owner(self, ids: IdMap, own: int) -> int:
        """Of those that the file system can store."""
        choice = self._random.choice((0, 0, own, *IDS))
        if ids.up(choice) is not None:
            return choice
        extent = self._random.choice(ids.extents)
        return extent.lower + self._random.choice((0, 1, extent.count - 1)) % extent.count

    def _file_caps(self, namespace: UserNamespace) -> FileCaps | bytes | None:
        random, sets = self._random, self._cred.caps
        kind = random.random()
        if kind < 0.25:
            return None
        if kind < 0.27:
            return b""
        permitted = caps_like(random, sets.bounding, sets.permitted, Caps.of(random.choice(USEFUL)))
        inheritable = caps_like(random, sets.inheritable, Caps(), Caps())
        return FileCaps(permitted, inheritable, random.random() < 0.5, self._rootid(namespace))

    def _rootid(self, namespace: UserNamespace) -> int | None:
        """On disk, hence as the file system's namespace numbers users."""
        random = self._random
        if random.random() < 0.65:
            return None
        roots = [
            root
            for root in (n.root for n in (self._cred.user_ns, *self._world.namespaces))
            if root is not None
        ]
        choice = namespace.uid_map.up(random.choice((0, *roots, *IDS)))
        if choice is None:
            choice = random.choice(namespace.uid_map.extents).first
        return choice if choice < NO_ID else None


def random_first(random: Random) -> int:
    return random.choice((0, 0, 0, 1, 5))


def _weight(mount: Mount) -> int:
    if mount.fixed:
        return 6
    like = mount.like
    if like.noexec:
        return 2
    if like.nosuid:
        return 5
    return 15 if like.idmap or like.user_ns.level else 50
