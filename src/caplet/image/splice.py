# SPDX-License-Identifier: Apache-2.0
"""A layer's archive with one extended attribute of some entries changed, and every other byte as it was.

An attribute is a record `SCHILY.xattr.NAME` of the PAX header before the entry (pax(1), "pax Extended Header"; the key
is star's, which Go's archive/tar and with it every engine reads). The record is replaced in its place, added behind the
others, or taken out; a PAX header is made where there is none, and goes where nothing is left in it. Header blocks of
the entry itself, contents, padding, and what follows the end of the archive are copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image import pax
from caplet.image.header import BLOCK, ZEROS, parse_number
from caplet.image.tarreader import MAX_EXTENDED_HEADER, TarReader
from caplet.image.tarwriter import pax_header, summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

MAX_HEADERS = 8 << 20
"""Bytes of the headers of one entry that are held: a PAX header and two GNU long names need 3 MiB at most."""

_TYPEFLAG = 156
_PAX = ord("x")


def splice(
    chunks: Iterable[bytes],
    changes: Mapping[int, bytes | None],
    attribute: bytes,
    write: Callable[[bytes], object],
) -> None:
    """Copies the archive to `write`. `changes` maps numbers of entries to the attribute's new value; None takes it away."""
    tape = _Tape(chunks, write)
    reader = tape.reader = TarReader(tape, to_the_end=False)
    left = set(changes)
    for number, _ in enumerate(reader):
        if number in left:
            left.remove(number)
            headers = tape.cut(reader.starts_at, reader.header_at + BLOCK)
            write(with_attribute(headers, attribute, changes[number]))
        tape.passed = reader.header_at
    if left:
        raise InvalidInput("the layer changed while it was read")
    tape.rest()


class _Tape:
    """The chunks on their way to the reader, and behind it to `write`: held only while the headers of an entry are read."""

    def __init__(self, chunks: Iterable[bytes], write: Callable[[bytes], object]) -> None:
        self._chunks = iter(chunks)
        self._write = write
        self._held = bytearray()
        self._start = 0
        """Where what is held begins, counted from the start of the archive."""
        self.reader: TarReader | None = None
        self.passed = -1
        """Where the last entry's own header block begins that was dealt with."""

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """Lets go of what cannot belong to an entry that is still to be cut, then fetches the next chunk."""
        assert self.reader is not None
        end = self._start + len(self._held)
        self._release(end if self.reader.header_at == self.passed else self.reader.starts_at)
        if len(self._held) > MAX_HEADERS:
            raise InvalidInput(f"tar: the headers of one entry exceed {MAX_HEADERS} bytes")
        chunk = next(self._chunks)
        self._held += chunk
        return chunk

    def cut(self, start: int, end: int) -> bytes:
        """Writes what is before `start`, and takes out what is up to `end`."""
        self._release(start)
        taken = bytes(self._held[: end - start])
        del self._held[: end - start]
        self._start = end
        return taken

    def rest(self) -> None:
        """Writes what is left of the archive: its end blocks, and what follows them."""
        self._write(bytes(self._held))
        for chunk in self._chunks:
            self._write(chunk)

    def _release(self, to: int) -> None:
        count = to - self._start
        if count <= 0:
            return
        self._write(bytes(self._held[:count]))
        del self._held[:count]
        self._start = to


def with_attribute(headers: bytes, attribute: bytes, value: bytes | None) -> bytes:
    """The header blocks of one entry with the attribute set, or taken away (None). Only the last PAX header counts."""
    key = pax.XATTR + attribute
    parts = list(_parts(headers))
    extended = [at for at, part in enumerate(parts) if part[_TYPEFLAG] == _PAX]
    if extended:
        parts[extended[-1]] = _with_record(parts[extended[-1]], key, value, alone=len(extended) == 1)
    elif value is not None:
        name = parts[-1][:100].partition(b"\0")[0]
        parts.insert(len(parts) - 1, pax_header(name, pax.format_record(key, value)))
    return b"".join(parts)


def _parts(headers: bytes) -> Iterator[bytes]:
    """Each extension with its block and data, then the entry's own block."""
    at = 0
    while at < len(headers) - BLOCK:
        size = parse_number(headers[at + 124 : at + 136])
        end = at + BLOCK + size + -size % BLOCK
        yield headers[at:end]
        at = end
    yield headers[at:]


def _with_record(part: bytes, key: bytes, value: bytes | None, *, alone: bool) -> bytes:
    """A PAX header, block and data, with one record changed: in its place, where there was one.

    Without records it is left out, but only if it is `alone`: an earlier one, which it overrides, would come to count.
    """
    block, data = part[:BLOCK], part[BLOCK:][: parse_number(part[124:136])]
    new = b"" if value is None else pax.format_record(key, value)
    records = list(pax.split_records(data))
    places = [at for at, (name, _) in enumerate(records) if name == key]
    kept = [b"" if name == key else record for name, record in records]
    if places:
        kept[places[0]] = new
    else:
        kept.append(new)
    data = b"".join(kept)
    if not data and alone:
        return b""
    if len(data) > MAX_EXTENDED_HEADER:
        raise InvalidInput(f"tar: an extended header of {len(data)} bytes; engines refuse it")
    return summed(b"%b%011o\0%b" % (block[:124], len(data), block[136:])) + data + ZEROS[: -len(data) % BLOCK]
