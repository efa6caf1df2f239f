# SPDX-License-Identifier: Apache-2.0
"""A blob cannot be read to its end if it is not what its descriptor says; special files are not even opened."""

from __future__ import annotations

import hashlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from caplet.errors import ImageError
from caplet.image.blobs import (
    InMemory,
    Nothing,
    OpenFile,
    Overlay,
    Stored,
    chunks,
    open_blob,
    open_regular,
    read_blob,
)
from caplet.image.descriptor import Descriptor, Digest

if TYPE_CHECKING:
    from pathlib import Path

DATA = os.urandom(700_000)


def described(data: bytes, algorithm: str = "sha256") -> Descriptor:
    return Descriptor("a/b", Digest(algorithm, hashlib.new(algorithm, data).hexdigest()), len(data))


def source(descriptor: Descriptor, data: bytes) -> Overlay:
    return Overlay(Nothing("here"), descriptor, {descriptor.digest: InMemory(data)})


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "several chunks"])
def test_right(algorithm: str, data: bytes) -> None:
    descriptor = described(data, algorithm)
    assert b"".join(chunks(source(descriptor, data), descriptor)) == data
    with open_blob(source(descriptor, data), descriptor) as stream:
        assert stream.read() == data


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (DATA[:-1], "its descriptor says"),
        (DATA + b"x", "its descriptor says"),
        (DATA[:-1] + bytes([DATA[-1] ^ 1]), "does not match its digest"),
        (bytes([DATA[0] ^ 1]) + DATA[1:], "does not match its digest"),
    ],
    ids=["shorter", "longer", "last bit", "first bit"],
)
def test_wrong(stored: bytes, message: str) -> None:
    descriptor = described(DATA)
    where = source(descriptor, stored)
    with pytest.raises(ImageError, match=message):
        read_blob(where, descriptor, 1 << 20, "blob")
    with pytest.raises(ImageError, match=message):
        open_blob(where, descriptor).read()
    assert where.proofs == {}


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(DATA)
    opened = open_regular(str(tmp_path / "blob"))
    descriptor = described(DATA)
    where = Overlay(Nothing("here"), descriptor, {descriptor.digest: Stored(opened, 0, len(DATA))})
    reading = chunks(where, descriptor)
    next(reading)
    os.truncate(tmp_path / "blob", 1000)
    with pytest.raises(ImageError, match="bytes instead of"):
        list(reading)


def test_the_limit_is_on_what_is_claimed() -> None:
    huge = Descriptor("a/b", described(b"").digest, 1 << 40)
    with pytest.raises(ImageError, match="more than 4096 are refused"):
        read_blob(source(huge, b""), huge, 4096, "manifest")


def test_missing_and_foreign() -> None:
    descriptor = described(b"x")
    with pytest.raises(ImageError, match="missing"):
        Nothing("here").find(descriptor)
    foreign = Descriptor("a/b", descriptor.digest, 1, extra={"urls": ["https://example.com/layer"]})
    with pytest.raises(ImageError, match="foreign") as caught:
        Nothing("here").find(foreign)
    assert "https://example.com/layer" in caught.value.hint


def test_special_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name, kind in (("fifo", "a FIFO"), ("dir", "a directory"), ("socket", "a socket")):
            for within in (None, str(tmp_path)):
                with pytest.raises(ImageError, match=kind):
                    open_regular(str(tmp_path / name), within)
    with pytest.raises(ImageError, match="a character device"):
        open_regular("/dev/zero")


def test_links_stay_inside(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.write_bytes(b"secret")
    (inside / "real").write_bytes(b"mine")
    (inside / "good").symlink_to("real")
    (inside / "bad").symlink_to("../outside")
    (inside / "absolute").symlink_to(outside)
    (inside / "device").symlink_to("/dev/zero")
    (inside / "loop").symlink_to("loop")
    assert os.pread(open_regular(str(inside / "good"), str(inside)).fd, 9, 0) == b"mine"
    for name in ("bad", "absolute", "device"):
        with pytest.raises(ImageError, match="out of the image"):
            open_regular(str(inside / name), str(inside))
    with pytest.raises((OSError, ImageError)):
        open_regular(str(inside / "loop"), str(inside))


def test_files_are_closed_when_nobody_holds_them(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    opened = open_regular(str(tmp_path / "blob"))
    fd = opened.fd
    stored = Stored(opened, 0, 1)
    del opened
    assert os.fstat(fd)
    del stored
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    OpenFile(os.dup(0)).close()
