# SPDX-License-Identifier: Apache-2.0
"""Writers of compressed layers: the same content gives the same bytes, however it is fed and by how many processors."""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from typing import TYPE_CHECKING

from caplet.image.compression import GZIP_MAGIC, Compression, zstd_library

try:
    from isal.isal_zlib import crc32  # five times as fast
except ImportError:
    from zlib import crc32

if TYPE_CHECKING:
    from concurrent.futures import Future


class Compressor:
    """Takes a stream in pieces, gives the compressed stream in pieces. This one leaves it as it is."""

    def write(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def close(self) -> None:
        """Give back what it holds, finished or not."""


def compressor(kind: Compression) -> Compressor:
    return {
        Compression.STORED: StoredGzip,
        Compression.GZIP: ParallelGzip,
        Compression.ZSTD: Zstd,
        Compression.PLAIN: Compressor,
    }[kind]()


GZIP_HEADER = GZIP_MAGIC + b"\0" + b"\0\0\0\0" + b"\0\xff"
"""No flags, no time, no name, operating system 255 (unknown): nothing of this machine."""


def _trailer(checksum: int, length: int) -> bytes:
    return struct.pack("<LL", checksum, length & 0xFFFFFFFF)


class StoredGzip(Compressor):
    """gzip whose deflate blocks are all *stored* (RFC 1951, 3.2.4): a pure function of the content."""

    BLOCK = 65535
    """The longest stored block."""
    _FULL = struct.pack("<BHH", 0, BLOCK, 0)

    def __init__(self) -> None:
        self._held = bytearray()
        self._checksum = 0
        self._length = 0
        self._head = GZIP_HEADER

    def write(self, data: bytes) -> bytes:
        self._checksum = crc32(data, self._checksum)
        self._length += len(data)
        at = self.BLOCK - len(self._held)
        if len(data) < at:
            self._held += data
            return b""
        view = memoryview(data)
        parts: list[bytes | bytearray | memoryview] = [self._head, self._FULL, self._held, view[:at]]
        while at + self.BLOCK <= len(data):
            parts += (self._FULL, view[at : at + self.BLOCK])
            at += self.BLOCK
        self._head = b""
        self._held = bytearray(view[at:])
        return b"".join(parts)

    def finish(self) -> bytes:
        size = len(self._held)
        last = struct.pack("<BHH", 1, size, size ^ 0xFFFF)
        return self._head + last + bytes(self._held) + _trailer(self._checksum, self._length)


class ParallelGzip(Compressor):
    """gzip of zlib level 6 in independent blocks that all processors work on; their number does not change the bytes."""

    BLOCK = 1 << 20
    """Content of one block: large enough that beginning without history costs under 1 %."""
    LEVEL = 6

    def __init__(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # takes as long to load as reading a small image

        workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="caplet-gzip")
        self._pending: deque[Future[bytes]] = deque()
        self._most = workers + 1
        self._held = bytearray()
        self._checksum = 0
        self._length = 0
        self._head = GZIP_HEADER

    def write(self, data: bytes) -> bytes:
        self._checksum = crc32(data, self._checksum)
        self._length += len(data)
        self._held += data
        out = [self._head]
        self._head = b""
        while len(self._held) >= self.BLOCK:
            block = bytes(self._held[: self.BLOCK])
            del self._held[: self.BLOCK]
            self._pending.append(self._pool.submit(self._deflate, block, zlib.Z_FULL_FLUSH))
            if len(self._pending) > self._most:
                out.append(self._pending.popleft().result())
        return b"".join(out)

    def finish(self) -> bytes:
        out = [self._head, *(one.result() for one in self._pending)]
        out.append(self._deflate(bytes(self._held), zlib.Z_FINISH))
        return b"".join(out) + _trailer(self._checksum, self._length)

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    @classmethod
    def _deflate(cls, block: bytes, flush: int) -> bytes:
        encoder = zlib.compressobj(cls.LEVEL, zlib.DEFLATED, -15)
        return encoder.compress(block) + encoder.flush(flush)


class Zstd(Compressor):
    """zstd level 3 with a checksum, on one thread: a function of the content and the library's version."""

    LEVEL = 3

    def __init__(self) -> None:
        zstd = zstd_library()
        options = {
            zstd.CompressionParameter.compression_level: self.LEVEL,
            zstd.CompressionParameter.checksum_flag: 1,
        }
        self._encoder = zstd.ZstdCompressor(options=options)

    def write(self, data: bytes) -> bytes:
        packed: bytes = self._encoder.compress(data)
        return packed

    def finish(self) -> bytes:
        rest: bytes = self._encoder.flush()
        return rest
