# SPDX-License-Identifier: Apache-2.0
"""Sparse files in tar: the map that says where the stored bytes belong, in GNU's four forms.

Old GNU keeps the map in the header block and in blocks after it; PAX formats 0.0 and 0.1 in the extended header;
PAX format 1.0 in front of the content. Go 1.27, src/archive/tar/reader.go: readOldGNUSparseMap,
readGNUSparsePAXHeaders, readGNUSparseMap0x1, readGNUSparseMap1x0; common.go: validateSparseEntries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from caplet.errors import InvalidInput
from caplet.image.header import BLOCK, GNU, MAX_INT64, format_of, parse_number
from caplet.image.pax import SPARSE_MAP, parse_int

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

SparseMap: TypeAlias = list[tuple[int, int]]
"""(offset, length) of each piece that is stored, in order."""

MAX_MAP = 1 << 20
"""Bytes of map; Go's maxSpecialFileSize, a guard against maps that eat the memory (CVE-2025-58183)."""

_HOLE = bytes(1 << 20)


def old_gnu_map(block: bytes, read_block: Callable[[], bytes]) -> tuple[int, SparseMap]:
    """The real size and the map of a type `S` entry; `read_block` fetches the blocks that continue the map."""
    if format_of(block) != GNU:
        raise InvalidInput("tar header: type S is a sparse file only in GNU's format")
    size = parse_number(block[483:495])
    pieces: SparseMap = []
    slots, room, total = block[386:483], 4, 97
    while total < MAX_MAP:
        for start in range(0, 24 * room, 24):
            if not slots[start]:
                break
            pieces.append(
                (parse_number(slots[start : start + 12]), parse_number(slots[start + 12 : start + 24]))
            )
        if not slots[24 * room]:
            return size, pieces
        slots, room, total = read_block(), 21, total + BLOCK
    raise InvalidInput(f"tar: a sparse map of over {MAX_MAP} bytes")


def pax_version(pax: Mapping[bytes, bytes]) -> str:
    """The major version, "0" or "1"; "" where the records describe no sparse file that is known."""
    major, minor = pax.get(b"GNU.sparse.major", b""), pax.get(b"GNU.sparse.minor", b"")
    if major == b"0" and minor in (b"0", b"1"):
        return "0"
    if major == b"1" and minor == b"0":
        return "1"
    if major or minor:
        return ""
    return "0" if pax.get(SPARSE_MAP) else ""


def pax_map_0(pax: Mapping[bytes, bytes]) -> SparseMap:
    """The map of formats 0.0 and 0.1: one record, numbers between commas."""
    count = parse_int(pax.get(b"GNU.sparse.numblocks", b""))
    text = pax.get(SPARSE_MAP, b"")
    numbers = text.split(b",") if text else []
    if count < 0 or len(numbers) != 2 * count:
        raise InvalidInput(f"tar: a sparse map of {count} pieces with {len(numbers)} numbers")
    return _pairs([parse_int(number) for number in numbers])


def pax_map_1(read_block: Callable[[], bytes]) -> SparseMap:
    """The map of format 1.0: numbers on lines of their own in whole blocks before the content."""
    data = bytearray()
    newlines = 0

    def feed(wanted: int) -> None:
        nonlocal newlines
        while newlines < wanted:
            if len(data) + BLOCK > MAX_MAP:
                raise InvalidInput(f"tar: a sparse map of over {MAX_MAP} bytes")
            block = read_block()
            newlines += block.count(b"\n")
            data.extend(block)

    feed(1)
    count = parse_int(bytes(data[: data.index(b"\n")]))
    if count < 0:
        raise InvalidInput(f"tar: a sparse map of {count} pieces")
    feed(1 + 2 * count)
    lines = bytes(data).split(b"\n", 1 + 2 * count)
    return _pairs([parse_int(line) for line in lines[1 : 1 + 2 * count]])


def _pairs(numbers: list[int]) -> SparseMap:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def validate(pieces: SparseMap, size: int) -> None:
    """Pieces are in order, apart, and inside the file."""
    end = 0
    for offset, length in pieces:
        if offset < 0 or length < 0 or offset > MAX_INT64 - length or offset + length > size or end > offset:
            raise InvalidInput(
                f"tar: the sparse map's piece {offset}+{length} does not fit a file of {size} bytes"
            )
        end = offset + length
    if size < 0:
        raise InvalidInput(f"tar: a sparse file of {size} bytes")


def stored_size(pieces: SparseMap) -> int:
    """The bytes that the archive must hold for the map."""
    return sum(length for _, length in pieces)


def expand(pieces: SparseMap, size: int, stored: Iterable[bytes]) -> Iterator[bytes]:
    """The file as a program reads it: the stored bytes in their places and zeros between them."""
    chunks = iter(stored)
    rest = memoryview(b"")
    position = 0
    for offset, length in [*pieces, (size, 0)]:
        yield from _zeros(offset - position)
        wanted = length
        while wanted:
            if not rest:
                rest = memoryview(next(chunks))
            piece, rest = rest[:wanted], rest[wanted:]
            wanted -= len(piece)
            yield bytes(piece)
        position = offset + length


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        piece = _HOLE if count >= len(_HOLE) else _HOLE[:count]
        count -= len(piece)
        yield piece
