# SPDX-License-Identifier: Apache-2.0
"""Writes a tar archive: ustar headers, and a PAX header before those that ustar cannot say. Same entries, same bytes.

pax(1), "ustar Interchange Format" and "pax Extended Header". A value goes into a PAX record only where the ustar field
cannot hold it exactly, and records are sorted, so that nothing depends on the machine, the time or a hash seed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image import pax as paxheader
from caplet.image.entry import Entry, Kind
from caplet.image.header import BLOCK, ZEROS
from caplet.image.tarreader import MAX_EXTENDED_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_NANOSECONDS = 1_000_000_000
_DEVICES = frozenset({Kind.CHAR, Kind.BLOCK})
_LINKS = frozenset({Kind.HARDLINK, Kind.SYMLINK})


class TarWriter:
    """`add()` each entry with its content, then `close()`.

    >>> written = bytearray()
    >>> tar = TarWriter(written.extend)
    >>> tar.add(Entry(b"hello", size=3), [b"hi\\n"])
    >>> tar.close()
    >>> len(written)
    2048
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def add(self, entry: Entry, content: Iterable[bytes] = ()) -> None:
        """Writes one entry. The content must be as long as `entry.size` says; only a file has any."""
        size = entry.size if entry.kind is Kind.FILE else 0
        self._write(header_blocks(entry))
        written = 0
        for piece in content:
            written += len(piece)
            if written > size:
                break
            self._write(piece)
        if written != size:
            raise InvalidInput(
                f"tar: {entry.name!r} has {size} bytes in its header, {written} or more in its content"
            )
        if size % BLOCK:
            self._write(ZEROS[size % BLOCK :])

    def close(self) -> None:
        """Ends the archive with two blocks of zeros."""
        self._write(ZEROS + ZEROS)


def header_blocks(entry: Entry) -> bytes:
    """The header of one entry, with its PAX header where it needs one."""
    if entry.kind in (Kind.OTHER, Kind.GLOBAL):
        raise InvalidInput(f"tar: {entry.name!r} is of a kind that is not written: {entry.kind.name}")
    name = entry.name
    if entry.kind is Kind.DIRECTORY and not name.endswith(b"/"):
        name += b"/"
    size = entry.size if entry.kind is Kind.FILE else 0
    records = {paxheader.XATTR + key: value for key, value in entry.xattrs.items()}
    records.update((key, value) for key, value in entry.pax.items() if not key.startswith(paxheader.SPARSE))
    block = _ustar_block(entry, name, size, records)
    if not records:
        return block
    data = paxheader.format_records(records)
    if len(data) > MAX_EXTENDED_HEADER:
        raise InvalidInput(
            f"tar: {entry.name!r} needs an extended header of {len(data)} bytes; engines refuse it"
        )
    return pax_header(name, data) + block


def _ustar_block(entry: Entry, name: bytes, size: int, records: dict[bytes, bytes]) -> bytes:
    """The header block; adds to `records` what does not fit into it."""
    prefix, _, short = _split(name)
    if not short:
        records[paxheader.PATH] = name
        prefix, short = b"", _clipped(name, 100)
    linkname = entry.linkname if entry.kind in _LINKS else b""
    seconds, fraction = divmod(entry.mtime, _NANOSECONDS)
    if fraction or not 0 <= seconds < 1 << 33:
        records[paxheader.MTIME] = paxheader.format_time(entry.mtime)
        seconds = min(max(seconds, 0), (1 << 33) - 1)
    devices = entry.kind in _DEVICES
    block = b"".join(
        (
            short.ljust(100, b"\0"),
            _octal(entry.mode & 0o7777, 8),
            _number(paxheader.UID, entry.uid, 8, records),
            _number(paxheader.GID, entry.gid, 8, records),
            _number(paxheader.SIZE, size, 12, records),
            _octal(seconds, 12),
            b" " * 8,
            entry.kind.value,
            _text(paxheader.LINKPATH, linkname, 100, records),
            b"ustar\x0000",
            _text(paxheader.UNAME, entry.uname, 32, records),
            _text(paxheader.GNAME, entry.gname, 32, records),
            _device(entry.devmajor if devices else 0),
            _device(entry.devminor if devices else 0),
            prefix.ljust(167, b"\0"),
        )
    )
    return summed(block)


def pax_header(name: bytes, data: bytes) -> bytes:
    """The extension that goes before the block of the entry `name`: its own block, and the records padded."""
    directory, _, base = name.rstrip(b"/").rpartition(b"/")
    shown = _clipped(b"/".join(part for part in (directory, b"PaxHeaders.0", base) if part), 100)
    block = b"".join(
        (
            shown.ljust(100, b"\0"),
            _octal(0o644, 8),
            _octal(0, 8),
            _octal(0, 8),
            _octal(len(data), 12),
            _octal(0, 12),
            b" " * 8,
            b"x",
            bytes(100),
            b"ustar\x0000",
            bytes(64),
            _octal(0, 8),
            _octal(0, 8),
            bytes(167),
        )
    )
    return summed(block) + data + ZEROS[: -len(data) % BLOCK]


def summed(block: bytes) -> bytes:
    """The header block with its checksum, which counts its own field as spaces."""
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
    return b"%b%06o\0 %b" % (block[:148], total, block[156:])


def _split(name: bytes) -> tuple[bytes, bytes, bytes]:
    """(prefix, b"/", name) for ustar's two fields; the last is empty where the name does not fit them."""
    if not name.isascii() or len(name) > 256:
        return b"", b"", b""
    if len(name) <= 100:
        return b"", b"", name
    slash = name.find(b"/", len(name) - 101)
    if not 0 < slash <= 155 or slash == len(name) - 1:
        return b"", b"", b""
    return name[:slash], b"/", name[slash + 1 :]


def _clipped(name: bytes, room: int) -> bytes:
    """A stand-in for a name that has its own PAX record. No slash at the end: old readers would see a directory."""
    return name[:room] if len(name) <= room else name[:room].rstrip(b"/")


def _text(key: bytes, value: bytes, room: int, records: dict[bytes, bytes]) -> bytes:
    if len(value) > room or not value.isascii():
        records[key] = value
    return value[:room].ljust(room, b"\0")


def _number(key: bytes, value: int, room: int, records: dict[bytes, bytes]) -> bytes:
    if 0 <= value < 1 << 3 * (room - 1):
        return _octal(value, room)
    records[key] = b"%d" % value
    return _octal(0, room)


def _device(value: int) -> bytes:
    """A device number; base-256 where octal has no room, since no PAX record exists for it."""
    if 0 <= value < 1 << 21:
        return _octal(value, 8)
    if not 0 <= value < 1 << 55:
        raise InvalidInput(f"tar: the device number {value} cannot be written")
    return (value | 1 << 63).to_bytes(8, "big")


def _octal(value: int, room: int) -> bytes:
    return b"%0*o\0" % (room - 1, value)
