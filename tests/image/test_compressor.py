# SPDX-License-Identifier: Apache-2.0
"""What is written is read again by others, and is one function of the content."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caplet.image.compression import Compression, decompressed
from caplet.image.compressor import compressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CONTENT = bytes(range(256)) * 3000


def read(data: bytes) -> bytes:
    return b"".join(decompressed(io.BytesIO(data)))


def pack(kind: Compression, pieces: Iterable[bytes]) -> bytes:
    writer = compressor(kind)
    out = b"".join([*map(writer.write, pieces), writer.finish()])
    writer.close()
    return out


def split(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    yield data


@pytest.mark.parametrize("kind", Compression)
@settings(max_examples=25, deadline=None)
@given(
    size=st.integers(0, 200_000), cuts=st.lists(st.integers(0, 70_000), max_size=5), seed=st.integers(0, 9)
)
def test_written_is_read(kind: Compression, size: int, cuts: list[int], seed: int) -> None:
    """decompressed(compress(x)) == x, and how the writer is fed does not matter."""
    data = (CONTENT + bytes(seed))[seed : size + seed]
    packed = pack(kind, split(data, cuts))
    assert read(packed) == data
    if (
        kind is not Compression.ZSTD
    ):  # zstd ends a block where it is told to wait: pieces of LayerWriter are the tar's
        assert packed == pack(kind, [data])


@pytest.mark.parametrize("size", [0, 1, 65534, 65535, 65536, 131070, (1 << 20) - 1, 1 << 20, (1 << 21) + 7])
@pytest.mark.parametrize("kind", [Compression.STORED, Compression.GZIP])
def test_gzip_reads_what_is_written(tool: Callable[[str], str], kind: Compression, size: int) -> None:
    data = (CONTENT * 3)[:size]
    packed = pack(kind, [data])
    assert subprocess.run([tool("gzip"), "-dc"], input=packed, capture_output=True, check=True).stdout == data
    assert gzip.decompress(packed) == data


def test_stored_is_pinned() -> None:
    """The bytes are a promise: no library is asked."""
    assert pack(Compression.STORED, [b"hello"]).hex() == (
        "1f8b08000000000000ff010500faff68656c6c6f86a6103605000000"
    )
    assert len(pack(Compression.STORED, [bytes(65535 * 2)])) == 10 + 2 * (5 + 65535) + 5 + 8


def test_the_number_of_processors_does_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    data = CONTENT * 6
    found = set()
    for processors in (1, 2, 7):
        monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
        found.add(pack(Compression.GZIP, [data]))
    assert len(found) == 1


def test_parallel_gzip_loses_little() -> None:
    with open(sys.executable, "rb") as program:
        data = program.read(8 << 20)
    assert len(pack(Compression.GZIP, [data])) < 1.02 * len(gzip.compress(data, 6))
