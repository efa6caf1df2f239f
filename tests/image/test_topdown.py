# SPDX-License-Identifier: Apache-2.0
"""Lookups from the top layer down agree with the merged file system, and read no layer too many."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.image.stacks import Maker
from tests.layouts import ELF, directory, file, hardlink, opaque, symlink, tar, whiteout

from caplet.errors import CapletError, InvalidInput
from caplet.image.entry import Entry, Kind
from caplet.image.node import Directory, Node
from caplet.image.rootfs import NotFound, Rootfs
from caplet.image.topdown import TopDown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.layouts import Item


@dataclass
class Layer:
    """An archive that counts how often it is read."""

    data: bytes
    reads: int = field(default=0)

    def chunks(self) -> Iterator[bytes]:
        self.reads += 1
        for start in range(0, len(self.data), 700):
            yield self.data[start : start + 700]


def layers(*stack: Sequence[Item]) -> list[Layer]:
    return [Layer(tar(items)) for items in stack]


def everything(entry: Entry) -> bool:
    del entry
    return True


def nothing(entry: Entry) -> bool:
    del entry
    return False


def facts(node: Node) -> tuple[object, ...]:
    """What is to agree; a directory's implied time is nobody's."""
    time = 0 if isinstance(node, Directory) and node.implied else node.mtime
    return (
        node.kind,
        node.mode,
        node.uid,
        node.gid,
        node.size,
        time,
        node.layer,
        node.entry,
        node.xattrs,
        node.linkname,
    )


@pytest.mark.parametrize("seed", range(0, 240, 60))
def test_agrees_with_the_merged_file_system(seed: int) -> None:
    """On random stacks every path shows the same node, with the same names, parents and content."""
    for number in range(seed, seed + 60):
        stack = Maker(random.Random(number)).stack()
        try:
            rootfs = Rootfs([Layer(one) for one in stack])
        except CapletError:
            continue
        files = TopDown([Layer(one) for one in stack], random.Random(number).choice((everything, nothing)))
        paths = list(rootfs.walk())
        random.Random(number).shuffle(paths)
        for path, node in paths:
            found = files.lookup(path)
            assert found is not None, (number, path)
            if isinstance(node, Directory):
                assert facts(found)[:5] == facts(node)[:5], (number, path)
                assert found.xattrs == node.xattrs, (number, path)
            else:
                assert facts(found) == facts(node), (number, path)
                assert files.names(path) == (rootfs.names(node) if node.links > 1 else (path,)), (
                    number,
                    path,
                )
            if node.kind is Kind.FILE:
                assert files.read(found) == rootfs.read(node), (number, path)
        assert resolutions(files, number) == resolutions(rootfs, number), number


def resolutions(files: TopDown | Rootfs, seed: int) -> list[object]:
    """What random paths lead to, or that they lead nowhere."""
    made = Maker(random.Random(seed))
    paths = [f"{made.target()}/{made.path()}/{made.target()}" for _ in range(30)]
    return [_resolution(files, path.encode()) for path in paths]


def _resolution(files: TopDown | Rootfs, path: bytes) -> object:
    try:
        found = files.resolve(path)
    except InvalidInput as error:
        return (type(error), error.message)
    return (found.path, found.node.kind, found.node.mode)


BASE = (directory("usr"), directory("usr/bin", mode=0o750), file("usr/bin/app", ELF), file("usr/bin/other"))


@pytest.mark.parametrize(
    ("upper", "read"),
    [
        ([directory("usr"), directory("usr/bin"), file("usr/bin/app")], {1}),
        ([directory("usr"), directory("usr/bin"), file("usr/bin/else")], {0, 1}),
        ([file("usr/bin/app")], {0, 1}),
        ([directory("usr"), directory("usr/bin"), opaque("usr/bin"), file("usr/bin/app")], {1}),
        ([symlink("usr", "opt"), directory("opt"), file("opt/bin/app")], {0, 1}),
    ],
    ids=["whole", "file-below", "parents-implied", "opaque", "link-decides-parents-do-not"],
)
def test_reads_only_the_layers_that_decide(upper: Sequence[Item], read: set[int]) -> None:
    files = TopDown(layers(BASE, upper), nothing)
    found = files.resolve(b"/usr/bin/app")
    files.parents(found.path)
    files.names(found.path)
    assert files.layers_read == read


def test_stops_at_a_whiteout() -> None:
    files = TopDown(layers(BASE, [directory("usr"), whiteout("usr/bin")]), nothing)
    with pytest.raises(NotFound, match="/usr/bin/app: not in the image"):
        files.resolve(b"/usr/bin/app")
    assert files.layers_read == {1}


def test_a_layer_is_read_once_when_its_content_is_wanted() -> None:
    stack = layers(BASE)
    files = TopDown(stack, lambda entry: entry.name.endswith(b"/app"))
    found = files.resolve(b"/usr/bin/app")
    assert files.read(found.node) == ELF
    assert files.read(found.node, 4) == ELF[:4]
    assert stack[0].reads == 1
    assert files.read(files.resolve(b"/usr/bin/other").node) == b""
    assert stack[0].reads == 2


def test_the_first_page_of_a_program_is_kept() -> None:
    stack = layers([file("program", ELF + bytes(10_000), mode=0o755), file("data", ELF, mode=0o644)])
    files = TopDown(stack, nothing, heads=4096)
    program = files.resolve(b"/program").node
    assert files.read(program, 4096) == (ELF + bytes(10_000))[:4096]
    assert stack[0].reads == 1
    assert files.read(program, 5000) == (ELF + bytes(10_000))[:5000]
    assert files.read(files.resolve(b"/data").node) == ELF
    assert stack[0].reads == 3


def test_large_content_is_kept_on_disk() -> None:
    data = bytes(range(256)) * 20_000
    stack = layers([file("a", data), file("b", data[::-1])])
    files = TopDown(stack, everything)
    assert files.read(files.resolve(b"/b").node) == data[::-1]
    assert files.read(files.resolve(b"/a").node) == data
    assert stack[0].reads == 1


def test_entries_of_a_file_are_its_own_and_its_links() -> None:
    stack = layers(
        [directory("d"), file("d/a", b"1"), hardlink("d/b", "d/a"), file("c"), hardlink("e", "d/b")]
    )
    files = TopDown(stack, nothing)
    found = files.resolve(b"/e")
    assert files.entries_of(found.node) == (1, 2, 4)
    assert files.names(b"/e") == (b"/d/a", b"/d/b", b"/e")


def test_an_implied_directory_takes_what_a_lower_layer_says() -> None:
    files = TopDown(layers(BASE, [file("usr/bin/new")], [file("etc/new")]), nothing)
    (_, usr), (_, bin_) = files.parents(b"/usr/bin/new")
    assert (usr.mode, bin_.mode) == (0o755, 0o750)
    assert files.is_named(bin_)
    ((_, etc),) = files.parents(b"/etc/new")
    assert not files.is_named(etc)
