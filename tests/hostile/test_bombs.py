# SPDX-License-Identifier: Apache-2.0
"""Images that grow without end, scanned in a process of their own: an answer in time, and in bounded memory."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import BLOCK, CAPABILITY, RAW, directory, file, header, long_name, pax, symlink, tar
from tests.hostile.case import Blob, write_image
from tests.hostile.watched import watched
from tests.layouts import OCI, Layout, digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAIN, GZIP, ZSTD = (f"{OCI}.layer.v1.tar{end}" for end in ("", "+gzip", "+zstd"))
GIB = 1 << 30
MEGABYTES = 256
PING = "/x cap_net_raw=ep\n"


@dataclass(frozen=True, slots=True)
class Bomb:
    layer: Callable[[], Blob]
    says: str
    """The whole output, or a part of the refusal."""
    megabytes: int = MEGABYTES


def zeros_gzip(size: int) -> bytes:
    """A member of zeros, its deflate blocks repeated instead of computed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(1 << 24)) + packer.flush(zlib.Z_FULL_FLUSH)
    end = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    trailer = struct.pack("<II", 0, size & 0xFFFFFFFF)
    return b"\x1f\x8b\x08" + bytes(6) + b"\xff" + piece * (size >> 24) + end + trailer


def zeros_zstd(size: int, window: int) -> bytes:
    """A frame of RLE blocks: 4 bytes for each 128 KiB of zeros."""
    block = ((1 << 17) << 3 | 1 << 1).to_bytes(3, "little") + b"\0"
    last = (1 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"\0"
    return b"\x28\xb5\x2f\xfd" + bytes((0, window << 3)) + block * (size >> 17) + last


def packed(archive: bytes) -> Blob:
    return Blob(gzip.compress(archive, 1, mtime=0), GZIP, digest(archive))


def plain(archive: bytes) -> Blob:
    return Blob(archive, PLAIN, digest(archive))


def many_files(count: int) -> bytes:
    """Empty files. Headers differ in name and checksum alone."""
    head, tail = header("")[:148], header("")[156:]
    rest = sum(header("", checksum=b" " * 8))
    parts: list[bytes] = []
    for number in range(count):
        name = b"d%d/%07d" % (number % 1000, number)
        parts += (name.ljust(100, b"\0"), head[100:], b"%06o\0 " % (rest + sum(name)), tail)
    return b"".join(parts) + file("x", cap=RAW) + bytes(2 * BLOCK)


def many(make: Callable[[int], bytes], count: int) -> bytes:
    return tar(*(make(number) for number in range(count)), file("x", cap=RAW))


SPARSE = pax(
    {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "x",
        "GNU.sparse.realsize": str(1 << 50),
        CAPABILITY: RAW,
    }
)

# fmt: off
BOMBS: dict[str, Bomb] = {
    "gzip-of-4-gib": Bomb(lambda: Blob(zeros_gzip(4 * GIB), GZIP), "1000:1"),
    "zstd-of-64-gib": Bomb(lambda: Blob(zeros_zstd(64 * GIB, 7), ZSTD), "1000:1"),
    "zstd-with-the-largest-window": Bomb(lambda: Blob(zeros_zstd(2 * GIB, 17), ZSTD), "1000:1", 400),
    "gzip-in-gzip": Bomb(lambda: packed(zeros_gzip(GIB)), "checksum"),
    "pax-header-of-64-mib": Bomb(lambda: packed(pax({"comment": b"c" * (64 << 20)}) + tar(file("x"))), "extended header"),
    "long-name-of-64-mib": Bomb(lambda: packed(long_name(b"n" * (64 << 20)) + tar(file("x"))), "extended header"),
    "many-extended-headers": Bomb(lambda: packed(pax({"comment": b"c" * (1 << 19)}) * 200 + tar(file("x", cap=RAW))), PING),
    "sparse-file-of-a-pebibyte": Bomb(lambda: plain(tar(SPARSE + header("x", size=BLOCK), b"0\n".ljust(BLOCK, b"\0"))), PING),
    "20000-attributes": Bomb(lambda: plain(tar(pax({f"SCHILY.xattr.user.{number}": b"" for number in range(20_000)} | {CAPABILITY: RAW}), header("x"))), PING),
    "300000-files": Bomb(lambda: packed(many_files(300_000)), PING, 400),
    "100000-whiteouts": Bomb(lambda: packed(many(lambda number: header(f".wh.{number}"), 100_000)), PING),
    "50000-names-that-climb": Bomb(lambda: packed(many(lambda number: header(f"../{number}"), 50_000)), PING),
    "20000-links-in-a-chain": Bomb(lambda: packed(many(lambda number: symlink(f"l{number}", f"l{number + 1}"), 20_000)), PING),
    "30000-files-behind-250-links": Bomb(lambda: packed(many(lambda number: symlink(f"l{number}", f"l{number + 1}") if number < 250 else file(f"l0/{number}"), 30_000)), PING),
    "2000-directories-deep-again-and-again": Bomb(lambda: packed(many(lambda number: directory("d/" * 2000 + str(number)), 1000)), PING),
    "directory-removed-again-and-again": Bomb(lambda: packed(many(lambda number: directory("a") + file("a/b/c") if number % 2 else file("a"), 30_000)), PING),
}
# fmt: on


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_goes_off_in_bounded_time_and_memory(name: str, tmp_path: Path) -> None:
    bomb = BOMBS[name]
    layout = Layout(str(tmp_path / "image"))
    write_image(layout, [bomb.layer()], "latest")
    found = watched(str(tmp_path), "scan", f"oci:{layout.path}")
    assert found.megabytes <= bomb.megabytes
    assert "Traceback" not in found.err
    if bomb.says == PING:
        assert (found.code, found.out) == (0, PING), found.err
        return
    assert (found.code, found.out) == (2, "")
    assert bomb.says in found.err
