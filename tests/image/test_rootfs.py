# SPDX-License-Identifier: Apache-2.0
"""The final file system: looking up, following links, hard links, and the rules of the layers one by one.

`test_stacks` and `tests/hostile` judge by containerd; here each rule has a name.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.layouts import (
    NET_BIND_SERVICE,
    Item,
    directory,
    file,
    hardlink,
    opaque,
    symlink,
    tar,
    whiteout,
)

from caplet.errors import ImageError, InvalidInput
from caplet.image.entry import Kind
from caplet.image.node import CAPABILITY
from caplet.image.rootfs import File, NotFound, Rootfs

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPS = {"security.capability": NET_BIND_SERVICE}


@dataclass(frozen=True, slots=True)
class Chunks:
    data: bytes

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), 777):
            yield self.data[start : start + 777]


def rootfs(*layers: list[Item]) -> Rootfs:
    return Rootfs([Chunks(tar(layer)) for layer in layers])


def paths(found: Rootfs) -> list[str]:
    return [path.decode() for path, _ in found.walk()]


USR_MERGED = [
    directory("usr"),
    directory("usr/bin", 0o711, uid=3),
    symlink("bin", "usr/bin"),
    file("usr/bin/ping", b"ping", xattrs=CAPS),
    symlink("usr/bin/sh", "busybox"),
    file("usr/bin/busybox", b"busybox"),
    symlink("a", "b"),
    symlink("b", "a"),
    symlink("out", "../../../etc"),
    directory("etc"),
    file("etc/passwd", b"root"),
]


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (b"/usr/bin/ping", b"/usr/bin/ping"),
        (b"usr/bin/ping", b"/usr/bin/ping"),
        (b"/bin/ping", b"/usr/bin/ping"),
        (b"//bin/./ping", b"/usr/bin/ping"),
        (b"/bin/sh", b"/usr/bin/busybox"),
        (b"/bin/../bin/ping", b"/usr/bin/ping"),
        (b"/out/passwd", b"/etc/passwd"),
        (b"/../../etc/passwd", b"/etc/passwd"),
        (b"/bin/", b"/usr/bin"),
        (b"/", b"/"),
    ],
)
def test_links_are_followed_as_the_kernel_does_in_the_container(asked: bytes, path: bytes) -> None:
    found = rootfs(USR_MERGED)
    resolved = found.resolve(asked)
    assert resolved.path == path
    assert resolved.node is (found.lookup(path) if path != b"/" else found.root)


def test_the_last_link_stays_on_request_and_lookup_follows_none() -> None:
    found = rootfs(USR_MERGED)
    assert found.resolve(b"/bin/sh", follow=False).path == b"/usr/bin/sh"
    assert found.resolve(b"/bin/sh", follow=False).node.linkname == b"busybox"
    assert found.lookup(b"/bin/ping") is None


@pytest.mark.parametrize(
    ("asked", "error", "hint"),
    [
        (b"/bin/pinh", "/bin/pinh: not in the image", "Did you mean /usr/bin/ping?"),
        (b"/sbin/ping", "/sbin/ping: not in the image", ""),
        (b"/etc/busybox", "/etc/busybox: not in the image", "Did you mean /usr/bin/busybox?"),
        (b"/a", "/a: too many levels of symbolic links", ""),
        (b"/bin/ping/x", "/bin/ping/x: /usr/bin/ping is not a directory", ""),
        (b"/bin/ping/", "/bin/ping/: /usr/bin/ping is not a directory", ""),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(asked: bytes, error: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        rootfs(USR_MERGED).resolve(asked)
    assert raised.value.message == error
    if hint:
        assert raised.value.hint == hint


def test_only_what_is_missing_is_not_found() -> None:
    found = rootfs(USR_MERGED)
    with pytest.raises(NotFound):
        found.resolve(b"/nothing")
    with pytest.raises(InvalidInput) as raised:
        found.resolve(b"/a")
    assert not isinstance(raised.value, NotFound)


def test_parents_come_with_their_own_metadata_from_the_root_down() -> None:
    found = rootfs(USR_MERGED).parents(b"/usr/bin/ping")
    assert [(path, node.mode, node.uid) for path, node in found] == [
        (b"/usr", 0o755, 0),
        (b"/usr/bin", 0o711, 3),
    ]


def test_content_is_read_again_from_its_layer() -> None:
    found = rootfs(USR_MERGED, [file("usr/bin/ping", b"p" * 5000)])
    assert found.read(found.resolve(b"/bin/ping").node) == b"p" * 5000
    assert found.read(found.resolve(b"/bin/ping").node, 3) == b"ppp"
    assert found.read(found.resolve(b"/bin/sh").node) == b"busybox"
    with pytest.raises(InvalidInput, match="regular file"):
        found.read(found.root)


def test_hard_linked_names_share_a_node_and_its_last_entry_counts() -> None:
    found = rootfs([file("a", b"x", xattrs=CAPS), hardlink("b", "a", 0o4711, uid=5, xattrs=CAPS)])
    node = found.resolve(b"/a").node
    assert found.resolve(b"/b").node is node
    assert found.names(node) == (b"/a", b"/b")
    assert (node.mode, node.uid, node.links) == (0o4711, 5, 2)


def test_names_of_a_plain_file_are_its_one_name() -> None:
    found = rootfs([file("d/a", b"x")])
    assert found.names(found.resolve(b"/d/a").node) == (b"/d/a",)


def test_a_link_without_the_attribute_takes_the_capability_away_and_engines_differ() -> None:
    """chown(2) of the link kills it on the inode; umoci and containers/storage do not chown links."""
    found = rootfs([file("a", b"x", xattrs=CAPS), hardlink("b", "a")])
    assert not found.resolve(b"/a").node.xattrs
    assert any({"umoci", "podman"} <= set(note.engines) for note in found.divergent)


RULES: dict[str, tuple[list[list[Item]], list[str]]] = {
    "a whiteout removes": ([[file("d/a"), file("d/b")], [whiteout("d/a")]], ["/d", "/d/b"]),
    "a whiteout of a directory removes all below": (
        [[file("d/e/a"), file("b")], [whiteout("d")]],
        ["/b"],
    ),
    "a whiteout of nothing is no error": ([[file("a")], [whiteout("b")]], ["/a"]),
    "an opaque directory hides the lower layers": (
        [[file("d/a")], [file("d/b"), opaque("d"), file("d/c")]],
        ["/d", "/d/b", "/d/c"],
    ),
    "an opaque root counts for nothing": ([[file("a")], [Item(".wh..wh..opq"), file("b")]], ["/a", "/b"]),
    "removed and made again merges with the lower one": (
        [[file("d/a")], [whiteout("d"), directory("d"), file("d/b")]],
        ["/d", "/d/a", "/d/b"],
    ),
    "a file replaces a directory": ([[file("d/a")], [file("d")]], ["/d"]),
    "a directory replaces a file": ([[file("d")], [file("d/a")]], ["/d", "/d/a"]),
    "a real directory hides a link and what is behind it": (
        [[file("usr/bin/sh"), symlink("bin", "usr/bin")], [file("bin/x")]],
        ["/bin", "/bin/x", "/usr", "/usr/bin", "/usr/bin/sh"],
    ),
    "a link of the same layer is followed": (
        [[symlink("bin", "usr/bin"), file("bin/x")]],
        ["/bin", "/usr", "/usr/bin", "/usr/bin/x"],
    ),
    "a later duplicate replaces": ([[symlink("a", "b"), file("a"), file("b")]], ["/a", "/b"]),
    "climbing names stay inside": ([[file("../../a"), file("/b"), file("c/../d")]], ["/a", "/b", "/d"]),
    "a character device 0/0 is a whiteout": ([[file("a")], [Item("a", b"3", device=(0, 0))]], []),
    "in the lowest layer a whiteout removes at once": ([[file("a"), file("b"), whiteout("a")]], ["/b"]),
    "in the lowest layer an opaque marker spares what entries named": (
        [[file("d/a"), file("d/e/x"), opaque("d")]],
        ["/d", "/d/a"],
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    layers, expected = RULES[name]
    assert paths(rootfs(*layers)) == expected


REFUSED: dict[str, tuple[list[list[Item]], str]] = {
    "added and removed in one layer": (
        [[file("x")], [file("a"), whiteout("a")]],
        "adds a file and then removes",
    ),
    "whiteout of the parent": ([[file("x")], [file("d/.wh...")]], "parent directory"),
    "below a file": ([[file("a"), file("a/b")]], "not a directory"),
    "below a whiteout": ([[file("a/b")], [whiteout("a"), file("a/b")]], "not a directory"),
    "hard link to nothing": ([[hardlink("a", "b")]], "not in the layer"),
    "hard link to itself": ([[file("a"), hardlink("a", "a")]], "not in the layer"),
    "hard link to a lower layer": ([[file("a")], [hardlink("b", "a")]], "not in the layer"),
    "hard link to a directory": ([[directory("d"), hardlink("a", "d")]], "is a directory"),
    "symbolic link to nowhere": ([[symlink("a", "")]], "target of 1 to 4095 bytes"),
    "contiguous file": ([[Item("a", b"7")]], "type flag"),
    "name too long": ([[file("n" * 256)]], "too long"),
    "revision 1": (
        [[file("a", xattrs={"security.capability": bytes.fromhex("010000010004000000000000")})]],
        "revision 1",
    ),
    "short attribute": ([[file("a", xattrs={"security.capability": b"\1"})]], "1 bytes"),
    "loop of links": ([[symlink("a", "b"), symlink("b", "a"), file("a/x")]], "too many"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_containerd_cannot_unpack_is_refused(name: str) -> None:
    layers, message = REFUSED[name]
    with pytest.raises(InvalidInput, match=message) as raised:
        rootfs(*layers)
    assert raised.value.message.startswith(f"layer {len(layers) - 1}: ")


def test_an_implied_directory_has_what_the_nearest_lower_one_has() -> None:
    found = rootfs([directory("d", 0o1777, uid=7, gid=8)], [file("d/a")])
    node = found.resolve(b"/d").node
    assert (node.mode, node.uid, node.gid) == (0o1777, 7, 8)


def test_the_upper_directory_s_metadata_shows() -> None:
    found = rootfs([directory("d", 0o700), file("d/a")], [directory("d", 0o755, uid=9)])
    assert (found.resolve(b"/d").node.mode, found.resolve(b"/d").node.uid) == (0o755, 9)
    assert found.resolve(b"/d/a").node.layer == 0


def test_attributes_that_no_file_system_stores_are_dropped() -> None:
    xattrs = {"trusted.overlay.opaque": b"y", "com.apple.x": b"1", "user.note": b"n", "security.x": b"s"}
    found = rootfs([file("a", xattrs=xattrs)])
    assert found.resolve(b"/a").node.xattrs == {b"user.note": b"n", b"security.x": b"s"}


def test_a_file_system_in_memory() -> None:
    found = Rootfs.of(
        {"/bin": File(link=b"usr/bin"), "/usr/bin/app": File(b"x", 0o755, caps=NET_BIND_SERVICE)}
    )
    assert found.resolve(b"/bin/app").node.xattrs == {CAPABILITY: NET_BIND_SERVICE}
    assert found.resolve(b"/bin/app").node.kind is Kind.FILE


@dataclass(slots=True)
class Broken:
    """A layer whose blob turns out to be wrong, while others are being read."""

    started: threading.Event

    def chunks(self) -> Iterator[bytes]:
        yield bytes(1024)
        self.started.set()
        raise ImageError("the blob is damaged", "pull it again")


@dataclass(slots=True)
class Endless:
    broken: threading.Event

    def chunks(self) -> Iterator[bytes]:
        entry = tar([file("a")])[:-1024].rstrip(b"\0").ljust(512, b"\0")
        while True:
            yield entry


def test_one_broken_layer_ends_the_reading_of_all() -> None:
    started = threading.Event()
    with pytest.raises(ImageError) as raised:
        Rootfs([Endless(started), Broken(started), Endless(started)])
    assert raised.value.message == "layer 1: the blob is damaged"
    assert raised.value.hint == "pull it again"


def test_too_many_entries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caplet.image.rootfs.MAX_ENTRIES", 5)
    with pytest.raises(InvalidInput, match="more than 5 entries"):
        rootfs([file(f"f{number}") for number in range(4)], [file("a"), file("b")])


BOMBS = {
    "deep names": [file(f"{number}/" + "d/" * 1900 + "f") for number in range(3)],
    "attributes": [file("a", xattrs={f"user.{number}": b"x" * 60_000 for number in range(10)})] * 3,
    "link targets": [symlink(f"l{number}", "x" * 4000) for number in range(200)],
    "directories": [directory(f"d{number}") for number in range(1500)],
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_takes_too_much_memory_is_refused_in_one_short_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caplet.image.apply.MAX_METADATA", 800_000)
    with pytest.raises(InvalidInput, match="MiB of memory") as raised:
        rootfs(BOMBS[name])
    assert len(raised.value.message) < 400


def test_links_that_take_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caplet.image.rootpath.MAX_STEPS", 2000)
    chain = [symlink(f"l{number}", f"l{number + 1}") for number in range(30)]
    with pytest.raises(InvalidInput, match="too long to follow"):
        rootfs([*chain, directory("l30"), *(file(f"l0/d{number}/f") for number in range(60))])
