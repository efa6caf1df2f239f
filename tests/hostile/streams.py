# SPDX-License-Identifier: Apache-2.0
"""Compressed layers that end early, go on too long, lie about their sums, or grow without end.

RFC 1952 (gzip), RFC 8878 (zstd). containerd tells them apart by their first bytes, whatever the media type says, except
that a plain one must be plain (core/images/mediatypes.go, DiffCompression).
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import zlib
from typing import TYPE_CHECKING

from tests.hostile.blocks import RAW, file, tar
from tests.hostile.case import Blob, Case, Refused, Seen, stack
from tests.layouts import OCI, digest

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from backports import zstd

PLAIN = f"{OCI}.layer.v1.tar"
GZIP = f"{PLAIN}+gzip"
ZSTD = f"{PLAIN}+zstd"
DOCKER = "application/vnd.docker.image.rootfs.diff.tar"

X = {"/x": "cap_net_raw=ep"}
GIB = 1 << 30


def one(
    name: str,
    pack: Callable[[bytes], bytes],
    expected: Refused | Seen | dict[str, str],
    media_type: str = GZIP,
    content: bytes | None = None,
    apart: str = "",
) -> Case:
    """A layer made by `pack`. Each has a content of its own: an engine unpacks what it knows by its diff_id only once."""
    archive = tar(file("x", f"content of {name} ".encode() * 500, cap=RAW))
    return stack(
        name,
        Blob(pack(archive), media_type, digest(archive if content is None else content)),
        expected,
        apart=apart,
    )


def packed(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)


def framed(data: bytes) -> bytes:
    return bytes(zstd.compress(data, 3))


def member(
    data: bytes,
    flags: int = 0,
    extra: bytes = b"",
    method: int = 8,
    crc: int | None = None,
    size: int | None = None,
) -> bytes:
    """A gzip member; `extra` is what the flags announce."""
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    body = packer.compress(data) + packer.flush()
    crc = zlib.crc32(data) if crc is None else crc
    size = len(data) if size is None else size
    return (
        b"\x1f\x8b"
        + bytes((method, flags))
        + bytes(4)
        + b"\0\xff"
        + extra
        + body
        + struct.pack("<II", crc, size & 0xFFFFFFFF)
    )


def head_crc(extra: bytes) -> bytes:
    return struct.pack(
        "<H",
        zlib.crc32(b"\x1f\x8b\x08" + bytes((2 | (4 if extra else 0),)) + bytes(4) + b"\0\xff" + extra)
        & 0xFFFF,
    )


def frame(window: int, content: bytes, checksum: bytes = b"") -> bytes:
    """A zstd frame with this window descriptor and one raw block."""
    descriptor = 0x04 if checksum else 0
    block = (len(content) << 3 | 1).to_bytes(3, "little") + content
    return b"\x28\xb5\x2f\xfd" + bytes((descriptor, window)) + block + checksum


# fmt: off
CASES: tuple[Case, ...] = (
    one("gzip", packed, X),
    one("gzip-cut", lambda data: packed(data)[:-20], Refused("truncated")),
    one("gzip-cut-in-the-trailer", lambda data: packed(data)[:-3], Refused("truncated")),
    one("gzip-cut-in-the-header", lambda data: packed(data)[:7], Refused("truncated")),
    one("gzip-wrong-crc", lambda data: member(data, crc=1), Refused("gzip")),
    one("gzip-wrong-length", lambda data: member(data, size=1), Refused("gzip")),
    one("gzip-trailing-zeros", lambda data: packed(data) + bytes(512), Refused("gzip")),
    one("gzip-trailing-rubbish", lambda data: packed(data) + b"rubbish", Refused("gzip")),
    one("gzip-trailing-byte", lambda data: packed(data) + b"\x1f", Refused("gzip")),
    one("gzip-two-members", lambda data: member(data[:5000]) + member(data[5000:]), X),
    one("gzip-empty-members", lambda data: member(b"") + member(data) + member(b"") * 3, X),
    one("gzip-second-member-broken", lambda data: member(data[:5000]) + member(data[5000:])[:-9] + bytes(9), Refused("gzip")),
    one("gzip-with-name", lambda data: member(data, 8, b"layer.tar\0"), X),
    one("gzip-with-comment", lambda data: member(data, 16, b"a comment\0"), X),
    one("gzip-with-extra", lambda data: member(data, 4, b"\x04\0ABCD"), X),
    one("gzip-with-header-crc", lambda data: member(data, 2, head_crc(b"")), X),
    one("gzip-with-wrong-header-crc", lambda data: member(data, 2, b"\0\0"), Refused("gzip")),
    one("gzip-with-endless-name", lambda _: b"\x1f\x8b\x08\x08" + bytes(5) + b"\xff" + b"n" * 100_000, Refused("gzip")),
    one("gzip-other-method", lambda data: member(data, method=7), Refused("diff_id")),
    one("gzip-of-a-gzip", lambda data: gzip.compress(packed(data), mtime=0), Refused("diff_id"), content=b"not known"),
    one("gzip-of-nothing", lambda _: gzip.compress(b"", mtime=0), {}, content=b""),
    one("gzip-bad-block", lambda data: packed(data)[:10] + b"\xff" * 100, Refused("gzip")),
    one("gzip-without-content", lambda data: packed(data)[:10], Refused("truncated")),
    one("no-bytes", lambda _: b"", {}, content=b""),
    one("zstd", framed, X, ZSTD),
    one("zstd-two-frames", lambda data: zstd.compress(data[:5000]) + zstd.compress(data[5000:]), X, ZSTD),
    one("zstd-skippable-first", lambda data: b"\x50\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip" + framed(data), X, ZSTD),
    one("zstd-skippable-last", lambda data: framed(data) + b"\x5f\x2a\x4d\x18" + struct.pack("<I", 4) + b"skip", X, ZSTD),
    one("zstd-cut", lambda data: framed(data)[:-5], Refused("truncated"), ZSTD),
    one("zstd-trailing-rubbish", lambda data: framed(data) + b"rubbish!", Refused("zstd"), ZSTD),
    one("zstd-wrong-checksum", lambda data: frame(0x38, data, b"\0\0\0\0"), Refused("zstd"), ZSTD),
    one("zstd-window-of-128-mib", lambda data: frame(17 << 3, data), X, ZSTD),
    one("zstd-window-of-256-mib", lambda data: frame(18 << 3, data), Refused("zstd"), ZSTD, apart="its decoder has no such limit"),
    one("zstd-window-of-2-tib", lambda data: frame(31 << 3, data), Refused("zstd"), ZSTD),
    one("zstd-dictionary", lambda data: b"\x28\xb5\x2f\xfd\x01\x38\x07" + framed(data)[6:], Refused("zstd"), ZSTD),
    one("zstd-reserved-bit", lambda data: b"\x28\xb5\x2f\xfd\x08\x38" + frame(0x38, data)[6:], Refused("zstd"), ZSTD),
    one("zstd-reserved-block", lambda _: b"\x28\xb5\x2f\xfd\x00\x38" + b"\x07\0\0", Refused("zstd"), ZSTD),
    # What the media type says
    one("gzip-called-zstd", packed, X, ZSTD),
    one("zstd-called-gzip", framed, X, GZIP),
    one("plain-called-gzip", lambda data: data, X, GZIP),
    one("gzip-called-plain", packed, Refused("plain"), PLAIN),
    one("zstd-called-plain", framed, Refused("plain"), PLAIN),
    one("docker-gzip", packed, X, f"{DOCKER}.gzip"),
    one("docker-plain", lambda data: data, X, DOCKER),
    one("docker-plain-is-gzip", packed, X, DOCKER),
    one("docker-zstd", framed, X, f"{DOCKER}.zstd", apart="it does not know BuildKit's name for this"),
    one("nondistributable", packed, X, f"{OCI}.layer.nondistributable.v1.tar+gzip"),
    one("docker-foreign", packed, X, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
    one("xz", lzma.compress, Refused("diff_id"), GZIP),
    one("bzip2", bz2.compress, Refused("diff_id"), GZIP),
    one("lz4", lambda _: b"\x04\x22\x4d\x18" + bytes(600), Refused("checksum"), GZIP),
    one("compress", lambda _: b"\x1f\x9d\x90" + bytes(600), Refused("checksum"), GZIP),
)
# fmt: on
