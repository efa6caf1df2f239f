# SPDX-License-Identifier: Apache-2.0
"""Reads a tar archive from a stream of chunks, entry by entry, with the semantics of Go's archive/tar.

Content that nobody asks for is skipped inside the chunks, without a copy. What Go accepts is accepted and what Go
refuses is refused (Go 1.27, src/archive/tar/reader.go), because the engines that unpack layers are written in Go:

- a PAX header (`x`) holds for the next file only and replaces an earlier one; a global one (`g`) ends what came
  before it and is an entry of its own, so its records hold for nothing;
- a PAX size counts, not the header's (the two differ in archives that smuggle: CVE-2025-62518);
- links, directories, devices and FIFOs have no content, whatever their size says;
- one block of zeros, or the end of the stream where a header is due, ends the archive as well as two blocks do;
  missing padding after the last content is forgiven; a half header or half content is not.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from zlib import adler32

from caplet.errors import InvalidInput
from caplet.image import pax as paxheader
from caplet.image import sparse
from caplet.image.entry import Entry, Kind
from caplet.image.header import (
    BLOCK,
    GNU,
    STAR,
    V7,
    ZEROS,
    checksum_holds,
    format_of,
    parse_number,
    parse_octal,
    parse_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_EXTENDED_HEADER = 1 << 20
"""Bytes of one PAX header or GNU long name; Go's maxSpecialFileSize, which is libarchive's."""

MAX_CACHED_FIELDS = 1024
"""Distinct raw fields whose parsed values are remembered; real layers have a handful of owners and modes."""

MAX_CACHED_SUMS = 8192
"""Distinct checksums that are remembered: those of usual headers lie between 4,000 and 12,000."""

_NANOSECONDS = 1_000_000_000

_KINDS = {
    0x30: Kind.FILE,
    0x00: Kind.FILE,  # or a directory where the name ends with a slash: TarReader._finish
    0x31: Kind.HARDLINK,
    0x32: Kind.SYMLINK,
    0x33: Kind.CHAR,
    0x34: Kind.BLOCK,
    0x35: Kind.DIRECTORY,
    0x36: Kind.FIFO,
    0x67: Kind.GLOBAL,
}
_FILE, _OLD_FILE = 0x30, 0x00
_OLD_SPARSE = 0x53
_PAX, _PAX_GLOBAL = 0x78, 0x67
_LONG_NAME, _LONG_LINK = 0x4C, 0x4B
_EXTENSIONS = frozenset({_PAX, _PAX_GLOBAL, _LONG_NAME, _LONG_LINK})

_USUAL_FLAGS = frozenset(b"05")
_USUAL_LINKS = frozenset({bytes(100) + b"ustar\x0000", bytes(100) + b"ustar  \0"})
"""An empty link name, then the magic and version of ustar or of GNU's format."""
_NO_PREFIX = bytes(BLOCK - 345)
_NO_CONTENT = frozenset(b"123456")
"""Type flags without a data section (isHeaderOnlyType)."""


class TarReader:
    """Iterates over the entries; `content()` reads the current one's.

    >>> [entry.name for entry in TarReader([bytes(1024)])]
    []
    """

    def __init__(self, chunks: Iterable[bytes], *, to_the_end: bool = True) -> None:
        """`to_the_end` reads what follows the archive's end as well: only behind it a layer is proved."""
        self._chunks = iter(chunks)
        self._to_the_end = to_the_end
        self._chunk = b""
        self._position = 0
        self._content = 0
        """Stored bytes of the current entry that are still unread."""
        self._padding = 0
        self._pieces: sparse.SparseMap | None = None
        self._size = 0
        self._taken = False
        self._offset = 0
        """Bytes of the chunks before the current one."""
        self.header_at = 0
        """Where the current entry's own header block begins, counted from the start of the archive."""
        self.starts_at = 0
        """Where its first block begins: that of a PAX or GNU extension where it has one."""
        self._owners: dict[bytes, tuple[int, int, int]] = {}
        self._names: dict[bytes, tuple[bytes, bytes, int, int]] = {}
        self._times: dict[bytes, int] = {}
        self._sums: dict[bytes, int] = {}

    def __iter__(self) -> Iterator[Entry]:
        """Entries in the archive's order. Raises InvalidInput, with the offset of the header that is at fault."""
        while True:
            try:
                entry = self._next()
            except InvalidInput as error:
                raise InvalidInput(f"{error.message} (header at byte {self.header_at})", error.hint) from None
            if entry is None:
                break
            yield entry
        if self._to_the_end:
            for _ in self._chunks:
                pass

    def content(self) -> Iterator[bytes]:
        """The current entry's content in pieces, holes filled with zeros. To be read once, before the next entry."""
        if self._taken:
            raise RuntimeError("the content of a tar entry can be read once")
        self._taken = True
        if self._pieces is None:
            return self._stored()
        return sparse.expand(self._pieces, self._size, self._stored())

    def _stored(self) -> Iterator[bytes]:
        entry = self.header_at
        while self._content:
            if entry != self.header_at:
                raise RuntimeError("the content belongs to an entry that was passed")
            if self._position == len(self._chunk):
                self._refill()
            piece = self._chunk[self._position : self._position + self._content]
            self._position += len(piece)
            self._content -= len(piece)
            yield piece

    # The stream

    def _refill(self) -> None:
        if not self._more():
            raise InvalidInput("tar: the archive ends inside an entry")

    def _more(self) -> bool:
        """Fetches the next chunk that is not empty; False at the end of the stream."""
        self._offset += len(self._chunk)
        self._position = 0
        for chunk in self._chunks:
            if chunk:
                self._chunk = chunk
                return True
        self._chunk = b""
        return False

    def _skip(self, count: int) -> int:
        """Passes `count` bytes; returns how many the stream lacks."""
        while count:
            here = len(self._chunk) - self._position
            if count <= here:
                self._position += count
                return 0
            count -= here
            if not self._more():
                return count
        return 0

    def _block(self) -> bytes:
        """The next block; empty at the end of the stream, shorter where the stream ends inside it."""
        end = self._position + BLOCK
        if end <= len(self._chunk):
            block = self._chunk[self._position : end]
            self._position = end
            return block
        return self._read(BLOCK)

    def _read(self, count: int) -> bytes:
        parts = []
        while count:
            part = self._chunk[self._position : self._position + count]
            self._position += len(part)
            count -= len(part)
            parts.append(part)
            if count and not self._more():
                break
        return b"".join(parts)

    def _whole_block(self) -> bytes:
        block = self._block()
        if len(block) < BLOCK:
            raise InvalidInput("tar: the archive ends inside a header")
        return block

    def _content_block(self) -> bytes:
        """A block out of the current entry's content."""
        if self._content < BLOCK:
            raise InvalidInput("tar: an entry ends inside its sparse map")
        self._content -= BLOCK
        return self._whole_block()

    # The headers

    def _next(self) -> Entry | None:
        end = self._position + self._content + self._padding + BLOCK
        if end > len(self._chunk):
            return self._any()
        entry = self._usual(self._chunk[end - BLOCK : end])
        if entry is None:
            return self._any()
        self._position = end
        self.header_at = self.starts_at = self._offset + end - BLOCK
        self._content = entry.size if entry.kind is Kind.FILE else 0
        self._padding = -self._content % BLOCK
        self._taken = False
        self._pieces = None
        return entry

    def _usual(self, block: bytes) -> Entry | None:
        """What most headers are: a file or directory without extensions, told in a third of the time.

        None for whatever is not plain to see: then `_any` reads the block, or says what is wrong with it.
        """
        flag = block[156]
        if flag not in _USUAL_FLAGS or block[157:265] not in _USUAL_LINKS or not block.endswith(_NO_PREFIX):
            return None
        # 267 bytes are zero, so the sum is below 65521, and Adler-32's low half is that sum plus 1.
        if adler32(block) & 0xFFFF != (self._sums.get(block[148:156]) or self._new_sum(block[148:156])):
            return None
        owner = self._owners.get(block[100:124])
        names = self._names.get(block[265:345])
        name = block[: block.find(0)]
        size, mtime = block[124:135], block[136:147]
        if not owner or not names or len(name) >= 100 or block[135] or block[147]:
            return None
        if not size.isdigit() or not mtime.isdigit():
            return None
        mode, uid, gid = owner
        uname, gname, major, minor = names
        kind = Kind.FILE if flag == _FILE else Kind.DIRECTORY
        try:
            length, time = int(size, 8), int(mtime, 8) * _NANOSECONDS
        except ValueError:
            return None
        return Entry(name, kind, mode, uid, gid, length, time, b"", {}, uname, gname, major, minor, {})

    def _any(self) -> Entry | None:
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        first = True
        while True:
            if self._content and self._skip(self._content):
                raise InvalidInput("tar: the archive ends inside an entry")
            self._content = 0
            if self._padding:
                missing = self._skip(self._padding)
                self._padding = 0
                if missing:
                    return None
            self.header_at = self._offset + self._position
            if first:
                self.starts_at, first = self.header_at, False
            block = self._header_block()
            if block is None:
                return None
            entry = self._parse(block)
            flag = block[156]
            if flag not in _EXTENSIONS:
                return self._finish(entry, block, records, long_name, long_link)
            data = self._extended(entry.size)
            if flag == _PAX:
                records = paxheader.parse_records(data)
            elif flag == _PAX_GLOBAL:
                self._taken = False
                self._pieces = None
                return self._global(entry, paxheader.parse_records(data))
            elif flag == _LONG_NAME:
                long_name = parse_text(data)
            else:
                long_link = parse_text(data)

    def _header_block(self) -> bytes | None:
        block = self._block()
        if not block:
            return None
        if block != ZEROS:
            return self._checked(block)
        block = self._block()
        if not block or block == ZEROS:
            return None
        self._checked(block)
        raise InvalidInput("tar: one block of zeros, and then more")

    def _checked(self, block: bytes) -> bytes:
        if len(block) < BLOCK:
            raise InvalidInput("tar: the archive ends inside a header")
        if not checksum_holds(block):
            raise InvalidInput(
                "tar header: wrong checksum", "The layer is not a tar archive, or it is damaged."
            )
        return block

    def _extended(self, size: int) -> bytes:
        self._begin_content(size)
        if size > MAX_EXTENDED_HEADER:
            raise InvalidInput(
                f"tar: an extended header of {size} bytes; at most {MAX_EXTENDED_HEADER} are read"
            )
        data = self._read(size)
        if len(data) < size:
            raise InvalidInput("tar: the archive ends inside an extended header")
        self._content = 0
        return data

    def _begin_content(self, size: int) -> None:
        if size < 0:
            raise InvalidInput(f"tar header: a size of {size} bytes")
        self._content = size
        self._padding = -size % BLOCK

    def _parse(self, block: bytes) -> Entry:
        """The entry as this one block has it."""
        owner = self._owners.get(block[100:124]) or self._new_owner(block[100:124])
        mtime = self._times.get(block[136:148])
        if mtime is None:
            mtime = self._new_time(block[136:148])
        flag = block[156]
        entry = Entry(
            block[:100].partition(b"\0")[0],
            _KINDS.get(flag, Kind.OTHER),
            *owner,
            parse_number(block[124:136]),
            mtime,
            block[157:257].partition(b"\0")[0] if block[157] else b"",
        )
        if entry.kind is Kind.OTHER:
            entry.typeflag = flag
        form = format_of(block)
        if form == V7:
            return entry
        names = self._names.get(block[265:345]) or self._new_names(block[265:345])
        entry.uname, entry.gname, entry.devmajor, entry.devminor = names
        if block[345] or form == STAR:
            prefix = _prefix(block, form)
            if prefix:
                entry.name = prefix + b"/" + entry.name
        return entry

    # Raw fields repeat from header to header: each is parsed once.

    def _new_sum(self, field: bytes) -> int:
        """What Adler-32's low half is where this stored checksum is right; 0, which it never is, for no number."""
        try:
            low = parse_octal(field) - 8 * 0x20 + sum(field) + 1
        except InvalidInput:
            return 0
        if len(self._sums) < MAX_CACHED_SUMS:
            self._sums[field] = low
        return low

    def _new_owner(self, field: bytes) -> tuple[int, int, int]:
        owner = (parse_number(field[:8]), parse_number(field[8:16]), parse_number(field[16:24]))
        if len(self._owners) < MAX_CACHED_FIELDS:
            self._owners[field] = owner
        return owner

    def _new_time(self, field: bytes) -> int:
        time = parse_number(field) * _NANOSECONDS
        if len(self._times) < MAX_CACHED_FIELDS:
            self._times[field] = time
        return time

    def _new_names(self, field: bytes) -> tuple[bytes, bytes, int, int]:
        names = (
            parse_text(field[:32]),
            parse_text(field[32:64]),
            parse_number(field[64:72]),
            parse_number(field[72:80]),
        )
        if len(self._names) < MAX_CACHED_FIELDS:
            self._names[field] = names
        return names

    def _merge(self, entry: Entry, records: dict[bytes, bytes]) -> Entry:
        """The PAX records over the header's fields; an empty value leaves the header's (mergePAX)."""
        for key, value in records.items():
            if key.startswith(paxheader.XATTR):
                entry.xattrs[key[len(paxheader.XATTR) :]] = value
            elif key not in _MERGED:
                entry.pax[key] = value
            elif value:
                _MERGED[key](entry, value)
        return entry

    def _global(self, entry: Entry, records: dict[bytes, bytes]) -> Entry:
        """A global header's entry. Go reads on where one of its values is bad, and of the others some count by chance."""
        bare = replace(entry)
        try:
            return self._merge(entry, records)
        except InvalidInput:
            return bare

    def _finish(
        self, entry: Entry, block: bytes, records: dict[bytes, bytes], long_name: bytes, long_link: bytes
    ) -> Entry:
        """A file's entry: the extensions merged in, its content ready to be read."""
        if records:
            self._merge(entry, records)
        if long_name:
            entry.name = long_name
        if long_link:
            entry.linkname = long_link
        flag = block[156]
        if flag == _OLD_FILE and entry.name.endswith(b"/"):
            entry.kind = Kind.DIRECTORY
            flag = 0x35
        self._taken = False
        self._pieces = None
        self._begin_content(0 if flag in _NO_CONTENT else entry.size)
        if flag == _OLD_SPARSE or entry.pax:
            self._sparse(entry, block, flag)
        return entry

    def _sparse(self, entry: Entry, block: bytes, flag: int) -> None:
        if flag == _OLD_SPARSE:
            size, pieces = sparse.old_gnu_map(block, self._whole_block)
        else:
            version = sparse.pax_version(entry.pax)
            if not version:
                return
            size = self._sparse_names(entry)
            pieces = sparse.pax_map_1(self._content_block) if version == "1" else sparse.pax_map_0(entry.pax)
        sparse.validate(pieces, size)
        if flag in _NO_CONTENT:
            raise InvalidInput("tar: a sparse map on something that is not a file")
        if sparse.stored_size(pieces) != self._content:
            raise InvalidInput(
                f"tar: a sparse file stores {self._content} bytes; its map has {sparse.stored_size(pieces)}"
            )
        entry.size = self._size = size
        self._pieces = pieces
        for key in [key for key in entry.pax if key.startswith(paxheader.SPARSE)]:
            del entry.pax[key]

    @staticmethod
    def _sparse_names(entry: Entry) -> int:
        """A PAX sparse file has its real name and size in records of their own."""
        entry.name = entry.pax.get(b"GNU.sparse.name") or entry.name
        size = entry.pax.get(b"GNU.sparse.size") or entry.pax.get(b"GNU.sparse.realsize")
        return paxheader.parse_int(size) if size else entry.size


def _prefix(block: bytes, form: int) -> bytes:
    """What stands before the name. GNU has times there, except in archives of Go before 1.8."""
    if form == STAR:
        parse_number(block[476:488])
        parse_number(block[488:500])
        return parse_text(block[345:476])
    prefix = parse_text(block[345:500])
    if form != GNU:
        return prefix
    try:
        parse_number(block[345:357])
        if block[357]:
            parse_number(block[357:369])
    except InvalidInput:
        return prefix if prefix.isascii() else b""
    return b""


def _set_name(entry: Entry, value: bytes) -> None:
    entry.name = value


def _set_linkname(entry: Entry, value: bytes) -> None:
    entry.linkname = value


def _set_uname(entry: Entry, value: bytes) -> None:
    entry.uname = value


def _set_gname(entry: Entry, value: bytes) -> None:
    entry.gname = value


def _set_uid(entry: Entry, value: bytes) -> None:
    entry.uid = paxheader.parse_int(value)


def _set_gid(entry: Entry, value: bytes) -> None:
    entry.gid = paxheader.parse_int(value)


def _set_size(entry: Entry, value: bytes) -> None:
    entry.size = paxheader.parse_int(value)


def _set_mtime(entry: Entry, value: bytes) -> None:
    entry.mtime = paxheader.parse_time(value)


def _keep_time(key: bytes) -> Callable[[Entry, bytes], None]:
    def keep(entry: Entry, value: bytes) -> None:
        paxheader.parse_time(value)
        entry.pax[key] = value

    return keep


_MERGED: dict[bytes, Callable[[Entry, bytes], None]] = {
    paxheader.PATH: _set_name,
    paxheader.LINKPATH: _set_linkname,
    paxheader.UNAME: _set_uname,
    paxheader.GNAME: _set_gname,
    paxheader.UID: _set_uid,
    paxheader.GID: _set_gid,
    paxheader.SIZE: _set_size,
    paxheader.MTIME: _set_mtime,
    paxheader.ATIME: _keep_time(paxheader.ATIME),
    paxheader.CTIME: _keep_time(paxheader.CTIME),
}
"""PAX records that set a field of the entry; a bad value refuses the archive."""
