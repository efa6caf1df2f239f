# SPDX-License-Identifier: Apache-2.0
"""Compressed layers: gzip (RFC 1952), zstd (RFC 8878) or plain, as containerd tells them apart: by their first bytes.

Reading is bounded: a stream that ends early, has rubbish behind it, fails its checksum, asks for a huge window or
grows beyond reason is an ImageError. `compressor` has the writers.
"""

from __future__ import annotations

import sys
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from caplet.errors import ImageError
from caplet.image.blobs import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

igzip: ModuleType | None = None
try:
    from isal import igzip_lib
except ImportError:  # no wheel for this machine: zlib does the same at 0.4 of the speed
    pass
else:
    igzip = igzip_lib


class Compression(Enum):
    """How a layer is written."""

    STORED = "stored"
    """gzip without compression: the same bytes on every machine and with every zlib, and nearly free."""
    GZIP = "gzip"
    """zlib level 6. Other builds of zlib (zlib-ng, zlib-chromium) write other bytes for the same content."""
    ZSTD = "zstd"
    PLAIN = "plain"


MAX_DECOMPRESSED = 64 << 30
"""64 GiB: more than any image that a node could start."""
MAX_RATIO = 1000
RATIO_GUARD_ABOVE = 1 << 30
"""Beyond 1 GiB a stream that has grown by more than MAX_RATIO is a bomb: deflate cannot do more than 1032, and a real
layer of that size has files in it."""
ZSTD_WINDOW_LOG = 27
"""128 MiB: what zstd decodes without being told to (ZSTD_WINDOWLOG_LIMIT_DEFAULT, zstd 1.5 lib/zstd.h)."""
MAX_MEMBERS = 1 << 20
"""gzip members or zstd frames of a layer: eStargz and zstd:chunked begin one for each file."""
FIRST_BITE = 1 << 12
"""Input a member gets first: what it leaves is copied, so a member of 20 bytes must not cost a copy of 256 KiB."""

GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_MAGIC_LENGTH = 10
"""containerd looks at ten bytes (pkg/archive/compression/compression.go, DecompressStream)."""


def zstd_library() -> ModuleType:
    """The library, where a zstd layer is met: loading it takes as long as reading a small image."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Decoder(Protocol):
    """The interface of bz2.BZ2Decompressor, which isal and zstd have too."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes: ...


class _Zlib:
    """zlib's gzip decoder with that interface: the fall-back for a machine without isal."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self.eof = False
        self.needs_input = True
        self.unused_data = b""

    def decompress(self, data: bytes, max_length: int = -1, /) -> bytes:
        out = self._decoder.decompress(self._decoder.unconsumed_tail + data, max(max_length, 0))
        self.eof = self._decoder.eof
        self.unused_data = self._decoder.unused_data
        self.needs_input = not self.eof and not self._decoder.unconsumed_tail and len(out) != max_length
        return out


@dataclass(frozen=True, slots=True)
class _Format:
    """How the members of a stream are decoded, and what a decoder raises on a broken one."""

    name: str
    new: Callable[[], _Decoder]
    errors: tuple[type[Exception], ...]


def _gzip_format() -> _Format:
    if igzip is None:
        return _Format("gzip", _Zlib, (zlib.error,))
    library = igzip
    return _Format("gzip", lambda: library.IgzipDecompressor(flag=library.DECOMP_GZIP), (library.IsalError,))


def _zstd_format() -> _Format:
    zstd = zstd_library()
    options = {zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}
    return _Format("zstd", lambda: zstd.ZstdDecompressor(options=options), (zstd.ZstdError,))


def detect(head: bytes) -> Compression:
    """As containerd's DetectCompression: by magic number; everything else is a plain tar."""
    if head.startswith(GZIP_MAGIC):
        return Compression.GZIP
    if head.startswith(ZSTD_MAGIC) or (
        len(head) >= 8 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50
    ):
        return Compression.ZSTD  # the second: a skippable frame first (pzstd)
    return Compression.PLAIN


def decompressed(stream: Readable, *, sniff: bool = True) -> Iterator[bytes]:
    """The content of a compressed or plain stream, in pieces of at most CHUNK bytes. It is read to its end.

    Without `sniff` it must be plain: what looks compressed is an ImageError.
    """
    head = _read_head(stream)
    found = detect(head)
    if found is not Compression.PLAIN and not sniff:
        raise ImageError(f"a layer is compressed ({found.value}) where its media type says a plain tar")
    if found is Compression.PLAIN:
        yield from _plain(stream, head)
        return
    yield from _members(stream, head, _gzip_format() if found is Compression.GZIP else _zstd_format())


def _read_head(stream: Readable) -> bytes:
    head = b""
    while len(head) < _MAGIC_LENGTH:
        piece = stream.read(CHUNK)
        if not piece:
            break
        head += piece
    return head


def _plain(stream: Readable, piece: bytes) -> Iterator[bytes]:
    total = 0
    while piece:
        total += len(piece)
        if total > MAX_DECOMPRESSED:
            raise ImageError(f"a layer is larger than {MAX_DECOMPRESSED >> 30} GiB")
        yield piece
        piece = stream.read(CHUNK)


def _members(stream: Readable, buffer: bytes, form: _Format) -> Iterator[bytes]:
    """Members (gzip) or frames (zstd) one after the other until the stream ends.

    What follows the last one must be another: Go's compress/gzip (Reader.Read, "Read the next header") and klauspost's
    zstd, which containerd uses, refuse trailing bytes, also zeros that gzip(1) forgives.
    """
    at = members = fed = spent = given = 0
    decoder: _Decoder | None = None
    bite = FIRST_BITE
    while True:
        if at == len(buffer) and (decoder is None or decoder.needs_input):
            buffer, at = stream.read(CHUNK), 0
            if not buffer and decoder is not None:
                raise ImageError(f"a {form.name} stream is truncated")
            if not buffer:
                return
        if decoder is None:
            decoder, bite, members = form.new(), FIRST_BITE, members + 1
            if members > MAX_MEMBERS:
                raise ImageError(f"a {form.name} stream has more than {MAX_MEMBERS} members")
        data = b""
        if decoder.needs_input:
            spent = fed  # all that it got before
            data = buffer[at : at + bite]
            at, fed, bite = at + len(data), fed + len(data), min(bite * 4, CHUNK)
        piece = _decode(decoder, data, form)
        if decoder.eof:
            at, fed = at - len(decoder.unused_data), fed - len(decoder.unused_data)
            decoder, spent = None, fed
        if piece:
            given += len(piece)
            _guard(spent, given, form.name)
            yield piece


def _decode(decoder: _Decoder, data: bytes, form: _Format) -> bytes:
    try:
        return decoder.decompress(data, CHUNK)
    except form.errors as error:
        raise ImageError(f"a {form.name} stream is broken: {error}") from None
    except MemoryError:
        raise ImageError(f"a {form.name} stream needs more memory than there is") from None


def _guard(spent: int, given: int, name: str) -> None:
    if given > MAX_DECOMPRESSED:
        raise ImageError(f"a {name} stream grows beyond {MAX_DECOMPRESSED >> 30} GiB")
    if given > RATIO_GUARD_ABOVE and given > spent * MAX_RATIO:
        raise ImageError(
            f"a {name} stream grows by more than {MAX_RATIO}:1, to over {given >> 30} GiB: a bomb"
        )
