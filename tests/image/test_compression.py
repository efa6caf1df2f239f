# SPDX-License-Identifier: Apache-2.0
"""Streams are read as gzip(1), zstd(1) and Go's decoders read them, within bounds; what is written is one function of the content."""

from __future__ import annotations

import gzip
import io
import os
import resource
import struct
import subprocess
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest

from caplet.errors import ImageError
from caplet.image import compression
from caplet.image.blobs import CHUNK
from caplet.image.compression import Compression, decompressed, detect

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = bytes(range(256)) * 3000
SKIPPABLE = b"\x50\x2a\x4d\x18" + struct.pack("<L", 5) + b"extra"


def read(data: bytes) -> bytes:
    return b"".join(decompressed(io.BytesIO(data)))


@pytest.fixture(params=["isal", "zlib"])
def gzip_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast library, and the one that is used where there is no wheel of it."""
    if request.param == "zlib":
        monkeypatch.setattr(compression, "igzip", None)


def gz(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


GOOD = {
    "empty": (b"", b""),
    "plain": (CONTENT, CONTENT),
    "shorter than a magic number": (b"\x1f\x8b", b"\x1f\x8b"),
    "bzip2 is not known": (b"BZh91AY&SY" + bytes(20), b"BZh91AY&SY" + bytes(20)),
    "gzip": (gz(CONTENT), CONTENT),
    "gzip of nothing": (gz(b""), b""),
    "gzip with all header fields": (
        b"\x1f\x8b\x08\x1e" + bytes(4) + b"\0\xff" + b"\x03\0abc" + b"name\0" + b"comment\0",
        None,
    ),
    "gzip members": (gz(b"one") + gz(b"") + gz(CONTENT) + gz(b"two"), b"one" + CONTENT + b"two"),
    "zstd": (zstd.compress(CONTENT), CONTENT),
    "zstd frames": (zstd.compress(b"one") + zstd.compress(CONTENT), b"one" + CONTENT),
    "zstd, a skippable frame first": (SKIPPABLE + zstd.compress(b"one"), b"one"),
    "zstd, a skippable frame last": (zstd.compress(b"one") + SKIPPABLE, b"one"),
}


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize(("data", "content"), GOOD.values(), ids=GOOD)
def test_read(data: bytes, content: bytes | None) -> None:
    if content is None:
        header = data + struct.pack("<H", zlib.crc32(data) & 0xFFFF)
        body = zlib.compressobj(wbits=-15)
        data = header + body.compress(b"x") + body.flush() + struct.pack("<LL", zlib.crc32(b"x"), 1)
        content = b"x"
        assert gzip.decompress(data) == content
    assert read(data) == content


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at:][1:]


G, Z = gz(CONTENT), zstd.compress(CONTENT, options={zstd.CompressionParameter.checksum_flag: 1})
BAD = {
    "gzip, cut in the header": G[:9] + b"",
    "gzip, cut in the data": G[: len(G) // 2],
    "gzip, cut before the trailer": G[:-8],
    "gzip, cut in the trailer": G[:-1],
    "gzip, wrong checksum": flipped(G, len(G) - 8),
    "gzip, wrong length": flipped(G, len(G) - 1),
    "gzip, wrong data": flipped(G, len(G) // 2),
    "gzip, rubbish behind": G + b"rubbish rubbish rubbish",
    "gzip, one byte behind": G + b"x",
    "gzip, zeros behind": G + bytes(512),
    "gzip, another member that is cut": G + G[:-3],
    "gzip, block of the reserved type": gz(b"")[:10] + b"\x07" + bytes(8),
    "zstd, cut in the header": Z[:5],
    "zstd, cut in the data": Z[: len(Z) // 2],
    "zstd, cut in the checksum": Z[:-1],
    "zstd, wrong checksum": flipped(Z, len(Z) - 1),
    "zstd, rubbish behind": Z + b"rubbish",
    "zstd, zeros behind": Z + bytes(512),
    "zstd, cut skippable frame": Z + SKIPPABLE[:-1],
    "zstd, a dictionary is needed": b"\x28\xb5\x2f\xfd\x23\x01\x02\x03\x04\x05\x00\x00\x00",
}


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"a (gzip|zstd) stream"):
        read(data)


@pytest.mark.parametrize(
    "data", [BAD[name] for name in BAD if "reserved" not in name and "dictionary" not in name]
)
def test_gzip_and_zstd_refuse_it_too(tool: Callable[[str], str], data: bytes) -> None:
    """`gzip -t` and `zstd -t` on what we refuse; gzip only warns of rubbish and forgives zeros, Go does not."""
    program = tool("gzip" if data.startswith(compression.GZIP_MAGIC) else "zstd")
    done = subprocess.run([program, "-tq"], input=data, capture_output=True, check=False)
    assert done.returncode != 0 or data.endswith(bytes(512))


def test_plain_is_taken_at_its_word() -> None:
    with pytest.raises(ImageError, match=r"compressed \(gzip\)"):
        list(decompressed(io.BytesIO(G), sniff=False))
    assert b"".join(decompressed(io.BytesIO(CONTENT), sniff=False)) == CONTENT


def window(log: int, data: bytes) -> bytes:
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: log,
        zstd.CompressionParameter.content_size_flag: 0,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    writer = zstd.ZstdCompressor(options=options)
    return writer.compress(data) + writer.flush()


def test_zstd_window_is_bounded() -> None:
    assert read(window(27, b"x" * 100)) == b"x" * 100
    with pytest.raises(ImageError, match="zstd stream"):
        read(window(28, b"x" * 100))


def zeros(kind: Compression, size: int) -> bytes:
    """A bomb: zeros, compressed as far as the format goes."""
    piece = bytes(1 << 20)
    if kind is Compression.ZSTD:
        frame = zstd.compress(bytes(1 << 26), 19)
        return frame * (size >> 26)
    writer = zlib.compressobj(9, wbits=31)
    return b"".join([*(writer.compress(piece) for _ in range(size >> 20)), writer.flush()])


@pytest.mark.parametrize("kind", [Compression.GZIP, Compression.ZSTD])
def test_bombs_are_defused(kind: Compression, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard with a threshold of 64 MiB: gzip reaches 1030:1, so it is stopped in the second GiB of a real one."""
    monkeypatch.setattr(compression, "RATIO_GUARD_ABOVE", 1 << 26)
    data = zeros(kind, 1 << 27)
    tracemalloc.start()
    with pytest.raises(ImageError, match="a bomb"):
        sum(map(len, decompressed(io.BytesIO(data))))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20


def test_total_size_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_DECOMPRESSED", 1 << 20)
    for data in (os.urandom((1 << 20) + 1), gz(os.urandom((1 << 20) + 1))):
        with pytest.raises(ImageError, match=r"larger than|grows beyond"):
            read(data)


@pytest.mark.usefixtures("gzip_library")
def test_many_members_take_linear_time() -> None:
    """40,000 members of one byte: copying what each leaves over would move 5 GB."""
    start = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    assert read(gz(b"x") * 40_000) == b"x" * 40_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - start < 3


def test_members_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_MEMBERS", 10)
    assert read(gz(b"x") * 10) == b"x" * 10
    with pytest.raises(ImageError, match="members"):
        read(gz(b"") * 11)


def test_pieces_are_small() -> None:
    assert max(map(len, decompressed(io.BytesIO(gz(bytes(5 << 20)))))) <= CHUNK


class Drip(io.BytesIO):
    """A stream that gives what it has byte by byte, as a pipe may."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(1 if size else 0)


@pytest.mark.parametrize("data", [gz(b"hello") + gz(b"!"), zstd.compress(b"hello!"), b"hello!"])
def test_short_reads(data: bytes) -> None:
    assert b"".join(decompressed(Drip(data))) == b"hello!"


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x1f\x8b\x08", Compression.GZIP),
        (b"\x1f\x8b\x07", Compression.PLAIN),
        (b"\x28\xb5\x2f\xfd", Compression.ZSTD),
        (b"\x5f\x2a\x4d\x18\0\0\0\0", Compression.ZSTD),
        (b"\x60\x2a\x4d\x18\0\0\0\0", Compression.PLAIN),
        (b"", Compression.PLAIN),
    ],
)
def test_detect(head: bytes, kind: Compression) -> None:
    assert detect(head) is kind
