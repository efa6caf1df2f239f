# SPDX-License-Identifier: Apache-2.0
"""PAX extended headers: `LENGTH KEY=VALUE\\n` records, read as Go's archive/tar reads them, written as it writes them.

Go 1.27: src/archive/tar/reader.go (parsePAX), strconv.go (parsePAXRecord, validPAXRecord, parsePAXTime).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PATH = b"path"
LINKPATH = b"linkpath"
SIZE = b"size"
UID = b"uid"
GID = b"gid"
UNAME = b"uname"
GNAME = b"gname"
MTIME = b"mtime"
ATIME = b"atime"
CTIME = b"ctime"
XATTR = b"SCHILY.xattr."

SPARSE = b"GNU.sparse."
SPARSE_MAP = b"GNU.sparse.map"
SPARSE_OFFSET = b"GNU.sparse.offset"
SPARSE_NUMBYTES = b"GNU.sparse.numbytes"

TEXTS = frozenset({PATH, LINKPATH, UNAME, GNAME})
"""Their values must not hold NUL, where other values may (an attribute is binary)."""

MIN_RECORD = 5
"""`5 k=\\n`: the shortest record."""

_INTEGER = re.compile(rb"[+-]?0*[0-9]{1,19}")
_NANOSECONDS = 1_000_000_000


def parse_int(text: bytes) -> int:
    """A decimal number of 64 bits (strconv.ParseInt with base 10)."""
    if not _INTEGER.fullmatch(text):
        raise InvalidInput(f"PAX header: {text[:40]!r} is not a number")
    value = int(text[:1] + text[1:].lstrip(b"0") or b"0") if len(text) > 20 else int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise InvalidInput(f"PAX header: {text[:40]!r} does not fit 64 bits")
    return value


def parse_time(text: bytes) -> int:
    """`SECONDS[.FRACTION]` in nanoseconds; digits past the ninth are dropped."""
    whole, _, fraction = text.partition(b".")
    seconds = parse_int(whole)
    if not fraction:
        return seconds * _NANOSECONDS
    if not fraction.isdigit():
        raise InvalidInput(f"PAX header: {text[:40]!r} is not a time")
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    return seconds * _NANOSECONDS + (-nanoseconds if whole.startswith(b"-") else nanoseconds)


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """All records; of a repeated key the last counts.

    GNU sparse format 0.0 repeats its two keys on purpose: they become one `GNU.sparse.map`, as in format 0.1.
    """
    records: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    position = 0
    while position < len(data):
        key, value, position = _parse_record(data, position)
        if key not in (SPARSE_OFFSET, SPARSE_NUMBYTES):
            records[key] = value
            continue
        expected = SPARSE_NUMBYTES if len(sparse) % 2 else SPARSE_OFFSET
        if key != expected or b"," in value:
            raise InvalidInput(f"PAX header: {key.decode()} out of order in a sparse map")
        sparse.append(value)
    if sparse:
        records[SPARSE_MAP] = b",".join(sparse)
    return records


def split_records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each record's key and the record itself, as it stands there."""
    position = 0
    while position < len(data):
        start = position
        key, _, position = _parse_record(data, start)
        yield key, data[start:position]


def _parse_record(data: bytes, start: int) -> tuple[bytes, bytes, int]:
    space = data.find(b" ", start)
    if space < 0:
        raise InvalidInput(f"PAX header: no length at byte {start}")
    length = parse_int(data[start:space])
    end = start + length
    if length < MIN_RECORD or end > len(data) or end - 1 <= space:
        raise InvalidInput(f"PAX header: the record at byte {start} has a wrong length, {length}")
    if data[end - 1] != 0x0A:
        raise InvalidInput(f"PAX header: the record at byte {start} does not end with a newline")
    key, equals, value = data[space + 1 : end - 1].partition(b"=")
    if not equals or not key:
        raise InvalidInput(f"PAX header: the record at byte {start} has no key")
    if b"\0" in (value if key in TEXTS else key):
        raise InvalidInput(f"PAX header: NUL in record {key[:40]!r}")
    return key, value, end


def format_record(key: bytes, value: bytes) -> bytes:
    """One record. Its length counts its own digits."""
    if not key or b"=" in key or b"\0" in (value if key in TEXTS else key):
        raise InvalidInput(f"PAX header: {key[:40]!r} cannot be written")
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def format_records(records: Mapping[bytes, bytes]) -> bytes:
    """All records in the order of their keys: the same mapping gives the same bytes."""
    return b"".join(format_record(key, records[key]) for key in sorted(records))


def format_time(nanoseconds: int) -> bytes:
    """The shortest text that `parse_time` reads back."""
    seconds, fraction = divmod(abs(nanoseconds), _NANOSECONDS)
    text = b"%d.%09d" % (seconds, fraction)
    return (b"-" if nanoseconds < 0 else b"") + text.rstrip(b"0").rstrip(b".")
