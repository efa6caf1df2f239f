# SPDX-License-Identifier: Apache-2.0
"""Random stacks of layers, and what containerd makes of them, to compare `Rootfs` with.

    python -m tests.image.stacks --count 10000 --seed 1

Each stack has one to five layers over a handful of names, so that entries meet: files over directories and the reverse,
links to links, whiteouts, opaque markers, duplicates, attributes, set-id bits, and now and then something hostile.
containerd unpacks it, the kernel mounts the overlay, and every path is compared by lstat(2) and listxattr(2). A stack
that containerd refuses must be refused here, and no other.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.image.unpacking import Containerd, Seen, Tree
from tests.layouts import Item, tar

from caplet.errors import CapletError
from caplet.image.apply import Upper
from caplet.image.entry import Entry, Kind
from caplet.image.node import Directory, Node
from caplet.image.rootfs import Rootfs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMES = ("a", "b", "c", "d")
PING = bytes.fromhex("0100000200200000000000000000000000000000")
BIND = bytes.fromhex("0100000200040000000000000000000000000000")
ROOTID = bytes.fromhex("010000030004000000000000000000000000000000000100")
REFUSED_ATTRIBUTES = (
    bytes.fromhex("010000010004000000000000"),
    BIND[:-1],
    BIND + b"\0",
    bytes.fromhex("0100000400040000000000000000000000000000"),
    bytes.fromhex("0300000200040000000000000000000000000000"),
    b"x",
)


# Stacks


@dataclass(slots=True)
class Maker:
    """Makes one stack from a seed. Most entries are ones that can be unpacked; some are left to chance."""

    random: random.Random
    hostile: float = 0.02
    """How often an entry is one that most archives never have."""
    below: dict[str, bytes] = field(default_factory=dict)
    """Names of lower layers, and their types."""
    here: dict[str, bytes] = field(default_factory=dict)
    """Names of this layer."""
    lower: list[Directory] = field(default_factory=list)
    """The layers so far, unpacked, the nearest first."""

    def stack(self) -> list[bytes]:
        return [self.layer(number) for number in range(self.random.choice((1, 2, 2, 3, 3, 4, 5)))]

    def layer(self, number: int) -> bytes:
        self.below |= self.here
        self.here = {}
        items: list[Item] = []
        for _ in range(self.random.randint(1, 9)):
            item = self.item()
            if self.random.random() < 0.02 or self.unpacks([*items, item]) is not None:
                items.append(item)
        self.lower.insert(0, (self.unpacks(items) or Upper(number)).root)
        return tar(items)

    def unpacks(self, items: Sequence[Item]) -> Upper | None:
        """A guess whether the layer can be unpacked, so that most can: two stacks in three would be refused."""
        upper = Upper(len(self.lower))
        try:
            upper.apply([_entry(item) for item in items])
            upper.inherit(self.lower)
        except CapletError:
            return None
        return upper

    def path(self) -> str:
        depth = self.random.choice((1, 1, 2, 2, 2, 3))
        return "/".join(self.random.choice(NAMES) for _ in range(depth))

    def name(self, carefully: float = 0.85) -> str:
        """A new name, or one that was used; seldom below something that is no directory."""
        name = self.path()
        for _ in range(9):
            used = [*self.here, *self.below]
            name = self.random.choice(used) if used and self.random.random() < 0.4 else self.path()
            if used and self.random.random() < 0.3:
                name = f"{self.random.choice(used)}/{self.random.choice(NAMES)}"
            parts = name.split("/")
            above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
            if all(
                self.here.get(one, tarfile.DIRTYPE) in (tarfile.DIRTYPE, tarfile.SYMTYPE) for one in above
            ):
                break
            if self.random.random() > carefully:
                break
        return name

    def of_type(self, names: dict[str, bytes], *types: bytes) -> str:
        """One of these names with such a type; by chance, or for want of any, another name."""
        fitting = [name for name, type_ in names.items() if not types or type_ in types]
        return self.random.choice(fitting) if fitting and self.random.random() < 0.9 else self.name()

    def item(self) -> Item:
        if self.random.random() < self.hostile:
            return self.odd()
        name = self.name()
        kind = self.random.random()
        if kind < 0.32:
            item = Item(name, data=b"x" * self.random.randint(0, 600), mode=self.mode(), **self.owner())
        elif kind < 0.58:
            item = Item(name, tarfile.DIRTYPE, mode=self.mode(), **self.owner())
        elif kind < 0.70:
            item = Item(name, tarfile.SYMTYPE, link=self.target(), mode=0o777, **self.owner())
        elif kind < 0.82:
            others = self.of_type(self.here, tarfile.REGTYPE, tarfile.SYMTYPE)
            item = Item(name, tarfile.LNKTYPE, link=others, mode=self.mode(), **self.owner())
        elif kind < 0.93:
            free = {name: type_ for name, type_ in self.below.items() if name not in self.here}
            gone = self.of_type(free)
            self.here[gone] = tarfile.CHRTYPE
            return Item(self.marked(gone, ".wh."), mode=0o644)
        elif kind < 0.97:
            return Item(f"{self.of_type(self.below, tarfile.DIRTYPE)}/.wh..wh..opq")
        else:
            type_, device = self.random.choice(
                (
                    (tarfile.FIFOTYPE, (0, 0)),
                    (tarfile.CHRTYPE, (1, 3)),
                    (tarfile.CHRTYPE, (0, 0)),
                    (tarfile.BLKTYPE, (7, 0)),
                )
            )
            item = Item(name, type_, device=device, mode=self.mode(), **self.owner())
        self.here[name] = item.type
        if self.random.random() < 0.3:
            return replace(item, xattrs=self.xattrs())
        return item

    def marked(self, name: str, mark: str) -> str:
        head, _, tail = name.rpartition("/")
        return f"{head}/{mark}{tail}" if head else f"{mark}{tail}"

    def target(self) -> str:
        plain = self.name()
        return self.random.choice(
            (plain, plain, f"/{plain}", f"../{plain}", "..", ".", f"{plain}/../{self.path()}")
        )

    def mode(self) -> int:
        return self.random.choice((0o755, 0o644, 0o755, 0o700, 0o4755, 0o2755, 0o6711, 0o1777, 0o2644, 0))

    def owner(self) -> dict[str, Any]:
        return {
            "uid": self.random.choice((0, 0, 1000, 65534)),
            "gid": self.random.choice((0, 0, 5, 1000)),
            "mtime": self.random.choice((0, 1_600_000_000, 1_700_000_001)),
        }

    def xattrs(self) -> dict[str, bytes]:
        value = self.random.choice((PING, BIND, BIND, ROOTID, b""))
        if self.random.random() < self.hostile:
            value = self.random.choice(REFUSED_ATTRIBUTES)
        choices = (
            {"security.capability": value},
            {"security.capability": value},
            {"security.capability": value, "user.note": b"\xff\0\n"},
            {"user.note": b"text"},
            {"trusted.overlay.opaque": b"y"},
            {"trusted.overlay.whiteout": b"y"},
            {"com.apple.quarantine": b"1", "security.test": b"2"},
        )
        return dict(self.random.choice(choices))

    def odd(self) -> Item:
        """What breaks readers."""
        plain, other = self.name(), self.path()
        names = (
            f"../{plain}",
            f"/{plain}",
            f"./{plain}",
            f"{plain}//{other}",
            f"{plain}/../{other}",
            f"{plain}/.",
            f"../../{other}",
            ".",
            "..",
            "./",
            "/",
            f"{plain}/..",
            f"{plain}/.wh..",
            f"{plain}/.wh...",
            f"{plain}/.wh.",
            f"{plain}/.wh..wh.plnk",
            f"{plain}/.wh.{other}",
            ".wh..wh..opq",
            f"{plain}/\udcff\n\x1b[31m",
            f"{plain}/{'n' * 255}",
            f"{plain}/{'n' * 256}",
        )
        name = self.random.choice(names)
        type_ = self.random.choice(
            (tarfile.REGTYPE, tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, b"7", b"S", b"Z")
        )
        link = (
            self.random.choice((other, f"/{other}", f"../../{other}", "/etc", "x" * 300))
            if type_ == tarfile.SYMTYPE
            else ""
        )
        kind = self.random.random()
        if kind < 0.15:
            return Item(
                name,
                tarfile.LNKTYPE,
                link=self.random.choice((f"../{other}", f"/{other}", f"{other}/", ".", other)),
            )
        if kind < 0.25:
            return Item(name, uid=self.random.choice((2**32 - 1, 2**31, 2**32 + 5)), gid=2**32 - 1)
        if kind < 0.35:
            return Item(name, mtime=self.random.choice((-5, 2**40, 1_600_000_000.25)))
        return Item(name, type_, link=link)


def _entry(item: Item) -> Entry:
    kinds = {kind.value: kind for kind in Kind}
    return Entry(
        os.fsencode(item.name),
        linkname=os.fsencode(item.link),
        kind=kinds.get(item.type, Kind.OTHER),
        mode=item.mode,
        uid=item.uid,
        gid=item.gid,
        size=len(item.data),
        devmajor=item.device[0],
        devminor=item.device[1],
        xattrs={os.fsencode(name): value for name, value in item.xattrs.items()},
    )


# What caplet says


def ours(layers: Sequence[bytes]) -> Tree | str:
    """Every path, or why not."""
    try:
        rootfs = Rootfs([_Tar(layer) for layer in layers], workers=1)
    except CapletError as error:
        return error.message
    first: dict[Node, bytes] = {}
    tree: Tree = {}
    for path, node in sorted(rootfs.walk()):
        tree[path] = _described(node, first.setdefault(node, path))
    return tree


def _described(node: Node, first: bytes) -> Seen:
    timeless = isinstance(node, Directory) and node.implied
    return (
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.size if node.kind is Kind.FILE else 0,
        None if timeless else node.mtime,
        node.linkname,
        (node.devmajor, node.devminor),
        tuple(sorted((name, _as_read(name, value)) for name, value in node.xattrs.items())),
        first if node.kind is not Kind.DIRECTORY else b"",
    )


def _as_read(name: bytes, value: bytes) -> bytes:
    """getxattr(2) shows revision 3 with the reader's own root as revision 2 (cap_inode_getsecurity)."""
    if name == b"security.capability" and len(value) == 24 and not any(value[20:]):
        return value[:3] + b"\x02" + value[4:20]
    return value


@dataclass(frozen=True, slots=True)
class _Tar:
    data: bytes

    def chunks(self) -> Iterator[bytes]:
        step = 1000  # no multiple of a block: headers straddle chunks
        for start in range(0, len(self.data), step):
            yield self.data[start : start + step]


def difference(mine: Tree | str, theirs: Tree | str) -> str:
    """What differs first; empty where nothing does."""
    if isinstance(mine, str) or isinstance(theirs, str):
        if isinstance(mine, str) and isinstance(theirs, str):
            return ""
        return f"caplet: {_short(mine)}\n  other: {_short(theirs)}"
    for path in sorted({*mine, *theirs}):
        one, two = mine.get(path), theirs.get(path)
        if one is not None and two is not None and one[5] is None:
            one, two = (*one[:5], *one[6:]), (*two[:5], *two[6:])
        if one != two:
            return f"{path!r}\n  caplet: {one}\n  other:  {two}"
    return ""


def _short(tree: Tree | str) -> str:
    return f"refused: {tree}" if isinstance(tree, str) else f"{len(tree)} paths"


# The comparison


@dataclass(slots=True)
class Tally:
    """How a comparison went."""

    same: int = 0
    refused: int = 0
    different: list[tuple[int, str]] = field(default_factory=list)


def compare(engine: Containerd, seeds: Sequence[int], hostile: float = 0.02) -> Tally:
    """One stack a seed."""
    tally = Tally()
    stacks = [Maker(random.Random(seed), hostile).stack() for seed in seeds]
    for seed, stack, theirs in zip(seeds, stacks, engine.unpacked(stacks), strict=True):
        mine = ours(stack)
        found = difference(mine, theirs)
        if found:
            tally.different.append((seed, found))
        else:
            tally.same += 1
            tally.refused += isinstance(mine, str)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=100)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that containerd ends with us
    total = Tally()
    for start in range(given.seed, given.seed + given.count, given.batch):
        seeds = range(start, min(start + given.batch, given.seed + given.count))
        with tempfile.TemporaryDirectory(prefix="stacks") as work, Containerd.started(work) as engine:
            tally = compare(engine, seeds)
        total.same += tally.same
        total.refused += tally.refused
        for seed, text in tally.different:
            total.different.append((seed, text))
            print(f"seed {seed}: {text}")
        print(
            f"{total.same} the same ({total.refused} refused by both), {len(total.different)} different",
            file=sys.stderr,
        )
    return 1 if total.different else 0


if __name__ == "__main__":
    sys.exit(main())
