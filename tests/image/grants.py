# SPDX-License-Identifier: Apache-2.0
"""Random grants in random stacks, unpacked by containerd before and after: nothing but the capability may differ.

    python -m tests.image.grants --count 2000 --seed 1

Each stack of `stacks` gets a grant on one of its files, once by a layer more and once by a layer rewritten. containerd
unpacks all three, the kernel mounts them, and every path is compared by lstat(2), listxattr(2) and its content.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.image.stacks import Maker
from tests.image.unpacking import Containerd, Tree
from tests.layouts import Layout

from caplet.errors import CapletError
from caplet.grant import Grant, grant
from caplet.image.change import Change, Manner, Way
from caplet.image.entry import Kind
from caplet.image.image import Image, open_image
from caplet.image.rootfs import Rootfs
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CAPABILITY = b"security.capability"
NOW = 1_750_000_000_000_000_000
"""Later times come from unpacking: of directories without an entry."""


@dataclass(frozen=True, slots=True)
class Case:
    """One stack and what is granted there."""

    seed: int
    image: Image
    path: bytes
    names: tuple[bytes, ...]
    caps: FileCaps

    def granted(self, way: Way) -> Change:
        return grant(self.image, [Grant(self.caps, self.path)], Manner("grant", way))


def cases(work: str, seeds: Sequence[int]) -> Iterator[Case]:
    """Those of the stacks that can be unpacked and have a file."""
    layout = Layout(os.path.join(work, "stacks"))
    for seed in seeds:
        made = Maker(random.Random(seed), hostile=0.01)
        layout.image(made.stack(), f"s{seed}", compression="none")
        image = open_image(f"oci:{layout.path}:s{seed}")
        assert isinstance(image, Image)
        try:
            rootfs = Rootfs(image.layers)
        except CapletError:
            continue
        files = [(path, node) for path, node in rootfs.walk() if node.kind is Kind.FILE]
        if files:
            path, node = made.random.choice(files)
            names = rootfs.names(node) if node.links > 1 else (path,)
            yield Case(seed, image, path, names, random_caps(made.random))


def random_caps(source: random.Random) -> FileCaps:
    caps = Caps.of(*source.sample(list(Cap), source.randint(1, 3)))
    inheritable = caps if source.random() < 0.3 else Caps()
    return FileCaps(caps, inheritable, effective=source.random() < 0.7)


def archives(image: Image) -> list[bytes]:
    return [b"".join(layer.chunks()) for layer in image.layers]


def expected(before: Tree, case: Case) -> Tree:
    """The tree with the capability on every name of the file."""
    after = dict(before)
    for name in case.names:
        (*head, attributes, last) = before[name]
        changed = dict(attributes) | {CAPABILITY: case.caps.encode()}  # type: ignore[call-overload]
        after[name] = (*head, tuple(sorted(changed.items())), last)
    return after


def difference(before: Tree, after: Tree) -> str:
    """The first path that differs. A time that came from unpacking counts for nothing before, and for a difference after."""
    for path in sorted({*before, *after}):
        one, two = before.get(path), after.get(path)
        if one is not None and two is not None and isinstance(one[5], int) and one[5] > NOW:
            one, two = (*one[:5], *one[6:]), (*two[:5], *two[6:])
        if one != two:
            return f"{path!r}\n  expected {one}\n  found    {two}"
    return ""


def compare(engine: Containerd, work: str, seeds: Sequence[int]) -> tuple[int, list[str]]:
    """How many grants were compared, and what was wrong."""
    chosen = list(cases(work, seeds))
    stacks = [archives(image) for case in chosen for image in _three(case)]
    seen = list(engine.unpacked(stacks))
    wrong = []
    for place, case in enumerate(chosen):
        before, *after = seen[3 * place : 3 * place + 3]
        if isinstance(before, str):
            wrong.append(f"seed {case.seed}: containerd refuses what caplet reads: {before}")
            continue
        for way, tree in zip(Way, after, strict=True):
            found = tree if isinstance(tree, str) else difference(expected(before, case), tree)
            if found:
                wrong.append(f"seed {case.seed}, {way.value}, {case.path!r}: {found}")
    return len(chosen), wrong


def _three(case: Case) -> Iterator[Image]:
    yield case.image
    for way in Way:
        after = case.granted(way).after
        assert isinstance(after, Image)
        yield after


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50)
    given = parser.parse_args()
    compared, failed = 0, 0
    for start in range(given.seed, given.seed + given.count, given.batch):
        seeds = range(start, min(start + given.batch, given.seed + given.count))
        with tempfile.TemporaryDirectory(prefix="grants") as work, Containerd.started(work) as engine:
            count, wrong = compare(engine, work, seeds)
        compared += count
        failed += len(wrong)
        for text in wrong:
            print(text)
        print(f"{compared} stacks with a grant by either way, {failed} differ", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
