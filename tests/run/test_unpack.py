# SPDX-License-Identifier: Apache-2.0
"""Unpacking: the files are containerd's to the last attribute, and nothing outside the target can be reached."""

from __future__ import annotations

import os
import random
import shutil
import tarfile
import time
from typing import TYPE_CHECKING

import pytest
from tests.conftest import missing
from tests.engines import Containerd, tree
from tests.layouts import NET_BIND_SERVICE, Item, Layout, directory, file, hardlink, symlink, tar, whiteout

from caplet.errors import CapletError
from caplet.image.image import Image, open_image
from caplet.image.layer import Entry, Kind, TarWriter
from caplet.image.rootfs import Rootfs
from caplet.run import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

CAPS = {"security.capability": NET_BIND_SERVICE}


def extract(archive: Callable[[int], None], root: str) -> str:
    """What the unpacker says; empty where it made the files."""
    reader, writer = os.pipe()
    answer, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        try:
            unpack.confine(root)
            unpack.extract(reader)
        except CapletError as error:
            os.write(theirs, error.message.encode())
        except BaseException as error:  # noqa: BLE001
            os.write(theirs, repr(error).encode())
        os._exit(0)
    os.close(reader)
    os.close(theirs)
    try:
        archive(writer)
    except BrokenPipeError:
        pass
    finally:
        os.close(writer)
    with open(answer, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(pid, 0)
    return said


def unpacked(rootfs: Rootfs, root: str) -> None:
    def send(fd: int) -> None:
        with open(fd, "wb", closefd=False) as pipe:
            unpack.write_archive(rootfs, pipe.write)

    os.mkdir(root)
    assert extract(send, root) == ""


LAYERS: list[list[Item]] = [
    [
        directory("usr", 0o755, mtime=1_500_000_000.5),
        directory("usr/bin", 0o2775, uid=3, gid=4),
        file("usr/bin/app", b"program" * 9000, 0o4755, uid=5, gid=6, xattrs=CAPS),
        hardlink("usr/bin/app2", "usr/bin/app", mode=0o4755, uid=5, gid=6, xattrs=CAPS),
        symlink("bin", "usr/bin", uid=7),
        file("usr/bin/tool", b"1", 0o755, mtime=1.25),
        directory("var", 0o1777),
        directory("var/lib"),
        file("var/lib/data", b"old"),
        file("gone", b"x"),
        directory("opaque"),
        file("opaque/lower", b"x"),
        Item("null", tarfile.CHRTYPE, mode=0o666, device=(1, 3)),
        Item("pipe", tarfile.FIFOTYPE, mode=0o640),
    ],
    [
        whiteout("gone"),
        file("var/lib/data", b"new", 0o600, xattrs=CAPS),
        directory("opaque"),
        whiteout("opaque/.opq"),
        file("opaque/upper", b"y"),
        file("empty", b"", 0o444),
        file("caf\u00e9", b"z"),
        symlink("dangling", "/nowhere/else"),
    ],
]


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    for name in ("containerd", "ctr", "skopeo"):
        if shutil.which(name) is None:
            missing(name)
    with Containerd.started(str(tmp_path_factory.mktemp("containerd"))) as engine:
        yield engine


def _same_as_containerd(layers: Sequence[Sequence[Item]], engine: Containerd, work: Path) -> None:
    began = time.time_ns()
    layout = Layout(str(work / "layout"))
    layout.image([tar(items) for items in layers])
    image = open_image(f"oci:{layout.path}")
    assert isinstance(image, Image)
    unpacked(Rootfs(image.layers), str(work / "root"))
    with engine.mounted(layout.path, "latest") as root:
        expected = tree(root)
    found = tree(str(work / "root"))
    assert found.keys() == expected.keys()
    for path, node in found.items():
        # containerd's unpacking itself dates the root and directories that a layer names no entry for.
        theirs = expected[path]
        dated = theirs.mtime > began
        assert node == (theirs._replace(mtime=node.mtime) if dated else theirs), path


def test_the_files_are_containerds(containerd: Containerd, tmp_path: Path) -> None:
    _same_as_containerd(LAYERS, containerd, tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_random_layers_are_containerds(containerd: Containerd, tmp_path: Path, seed: int) -> None:
    _same_as_containerd(list(random_layers(random.Random(seed))), containerd, tmp_path)


def random_layers(rnd: random.Random) -> Iterator[list[Item]]:
    """Layers over a small tree: files of many modes and owners, links, whiteouts; each directory by an entry of its own."""
    for number in range(rnd.randint(2, 4)):
        items: list[Item] = []
        for name in "abc":
            if number and rnd.random() < 0.3:
                items.append(whiteout(name))
                continue
            items.append(
                directory(
                    name,
                    rnd.choice((0o755, 0o1777, 0o2750)),
                    uid=rnd.randint(0, 3),
                    mtime=rnd.randint(0, 2**31),
                )
            )
            items.extend(_random_item(rnd, f"{name}/{inner}", lowest=not number) for inner in "xyz")
        yield items


def _random_item(rnd: random.Random, name: str, *, lowest: bool) -> Item:
    owner = {"uid": rnd.randint(0, 70000), "gid": rnd.randint(0, 70000), "mtime": rnd.randint(0, 2**31)}
    choice = rnd.random()
    if choice < 0.2:
        return symlink(name, rnd.choice(("../b/x", "/a/y", "x")), **owner)
    if choice < 0.3 and not lowest:
        return whiteout(name)
    data = rnd.randbytes(rnd.choice((0, 1, 511, 512, 4097, 100_000)))
    return file(
        name,
        data,
        rnd.choice((0o644, 0o755, 0o4711, 0o2755)),
        xattrs=CAPS if rnd.random() < 0.3 else {},
        **owner,
    )


def archive_of(*entries: tuple[Entry, bytes]) -> Callable[[int], None]:
    def send(fd: int) -> None:
        with open(fd, "wb", closefd=False) as pipe:
            writer = TarWriter(pipe.write)
            for entry, content in entries:
                writer.add(entry, [content])
            writer.close()

    return send


@pytest.mark.parametrize(
    "entries",
    [
        [(Entry(b"../escaped", size=1), b"x")],
        [(Entry(b"link", Kind.SYMLINK, linkname=b"../.."), b""), (Entry(b"link/escaped", size=1), b"x")],
        [(Entry(b"link", Kind.SYMLINK, linkname=b"/"), b""), (Entry(b"link/escaped", size=1), b"x")],
        [(Entry(b"escaped", Kind.HARDLINK, linkname=b"../outside"), b"")],
        [(Entry(b"outside", Kind.SYMLINK, linkname=b"../outside"), b""), (Entry(b"outside", size=1), b"x")],
        [(Entry(b"proc", Kind.DIRECTORY, 0o755), b""), (Entry(b"proc/self/root/escaped", size=1), b"x")],
    ],
    ids=["dotdot", "through-link", "through-root-link", "hard-link", "over-link", "through-proc"],
)
def test_even_a_hostile_archive_stays_inside(entries: list[tuple[Entry, bytes]], tmp_path: Path) -> None:
    """The merge sends no such archive; should it ever, the unpacker's root is the target."""
    (tmp_path / "outside").write_bytes(b"untouched")
    (tmp_path / "root").mkdir()
    extract(archive_of(*entries), str(tmp_path / "root"))
    assert sorted(os.listdir(tmp_path)) == ["outside", "root"]
    assert (tmp_path / "outside").read_bytes() == b"untouched"
    assert not os.path.lexists("/escaped")


def test_the_unpacker_holds_only_what_it_needs(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    with open("/proc/self/status", encoding="ascii") as _:
        pass
    pid = os.fork()
    if pid == 0:
        status = os.open("/proc/self/status", os.O_RDONLY)
        try:
            unpack.confine(str(tmp_path))
            os.write(writer, os.pread(status, 65536, 0))
            os.chroot("/")
        except PermissionError:
            os.write(writer, b"no chroot")
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as stream:
        said = stream.read().decode()
    os.waitpid(pid, 0)
    assert f"CapPrm:\t{unpack.NEEDED.mask:016x}" in said
    assert "NoNewPrivs:\t1" in said
    assert said.endswith("no chroot")


def test_a_full_file_system_is_said(tmp_path: Path) -> None:
    from caplet.run import linux

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            linux.unshare(linux.CLONE_NEWNS)
            linux.make_private("/")
            linux.mount("small", str(tmp_path), "tmpfs", 0, "size=64k")
            said = extract(archive_of((Entry(b"big", size=1 << 20), b"x" * (1 << 20))), str(tmp_path))
            code = 0 if said == "the image does not fit into memory: /big: No space left on device" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_size_is_an_upper_bound(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([tar(items) for items in LAYERS])
    image = open_image(f"oci:{layout.path}")
    assert isinstance(image, Image)
    rootfs = Rootfs(image.layers)
    unpacked(rootfs, str(tmp_path / "root"))
    used = sum(
        os.lstat(os.path.join(at, name)).st_blocks * 512
        for at, _, names in os.walk(tmp_path / "root")
        for name in set(names)
    )
    assert used <= unpack.size_of(rootfs)
