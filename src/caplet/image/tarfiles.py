# SPDX-License-Identifier: Apache-2.0
"""The files inside an image archive, by name and offset: scanned once, then read in place, never extracted."""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import ImageError, InvalidInput
from caplet.image.blobs import CHUNK, OpenFile, Stored, open_regular
from caplet.image.compression import Compression, decompressed, detect
from caplet.image.layer import Kind, TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.layer import Entry

MAX_MEMBERS = 1 << 17
"""Members of an image archive (not of a layer): `docker save` writes four for each layer of each image."""
MAX_LINKS = 16
"""Links from a name to the file it means. `docker save` makes one, from a layer to its twin."""
SEEK_FROM = 1 << 20
"""Content that long is jumped over instead of read past."""
BLOCK = 512
ENDS_EARLY = "the archive ends inside"
"""How `TarReader` begins to say so."""


@dataclass(frozen=True, slots=True)
class _Link:
    target: str


class TarFiles:
    """The regular files of one tar archive on disk, which may be compressed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = _open(path)
        self._members: dict[str, Stored | _Link] = {}
        self._twice: set[str] = set()
        self._whole = True
        """Whether the archive has the mark at its end: what is not in it was never there."""
        for entry, offset in self._scan():
            self._add(entry, offset)

    def find(self, name: str) -> Stored | None:
        """The file of that name, through links inside the archive; None where there is none."""
        for _ in range(MAX_LINKS):
            member = self._members.get(name)
            if not isinstance(member, _Link):
                return member
            name = member.target
        raise ImageError(f"{self.path}: {name} is a link that leads nowhere")

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str, limit: int) -> bytes:
        """A small file that says what the archive is; it must be there once."""
        found = self.find(name)
        if found is None:
            raise self.absent(ImageError(f"{self.path} has no {name}"))
        if name in self._twice:
            raise ImageError(f"{self.path} has {name} twice: which one counts is ambiguous")
        if found.size > limit:
            raise ImageError(f"{self.path}: {name} has {found.size} bytes: more than {limit} are refused")
        return found.read(0, limit)

    def absent(self, error: ImageError) -> ImageError:
        """The error about a file that is not in the archive, or the reason for it: the archive is truncated."""
        if self._whole:
            return error
        if self._file.size == 0:
            return ImageError(f"{self.path} is empty", error.hint)
        lacking = error.message.removeprefix(f"{self.path} ")
        return self._truncated(f"without the mark of an archive's end: {lacking}")

    def _truncated(self, where: str) -> ImageError:
        return ImageError(
            f"{self.path} is truncated: it ends at byte {self._file.size}, {where}",
            "copy or save the image again",
        )

    def _add(self, entry: Entry, offset: int) -> None:
        name = _clean(entry.name)
        if entry.kind is Kind.FILE:
            # Of blobs with the same name the last counts, as when the archive is unpacked; their digest is proved.
            self._twice |= {name} & self._members.keys()
            self._members[name] = Stored(self._file, offset, entry.size)
        elif entry.kind is Kind.SYMLINK:
            self._members[name] = _Link(
                _clean(posixpath.join(posixpath.dirname(name), os.fsdecode(entry.linkname)))
            )
        elif entry.kind is Kind.HARDLINK:
            self._members[name] = _Link(_clean(entry.linkname))
        if len(self._members) > MAX_MEMBERS:
            raise ImageError(f"{self.path} has more than {MAX_MEMBERS} members")

    def _scan(self) -> Iterator[tuple[Entry, int]]:
        start, size = 0, self._file.size
        while True:
            reader = TarReader(self._pieces(start), to_the_end=False)
            for entry in self._entries(reader, start):
                offset = start + reader.header_at + BLOCK
                stored = entry.size if entry.kind is Kind.FILE else 0
                if offset + stored > size:
                    raise self._truncated(
                        f"inside {_clean(entry.name)} (bytes {offset} to {offset + stored})"
                    )
                yield entry, offset
                if stored >= SEEK_FROM:
                    start = offset + stored + -stored % BLOCK
                    break
            else:
                return

    def _entries(self, reader: TarReader, start: int) -> Iterator[Entry]:
        end = start
        try:
            for entry in reader:
                stored = entry.size if entry.kind is Kind.FILE else 0
                end = start + reader.header_at + BLOCK + stored + -stored % BLOCK
                yield entry
        except InvalidInput as error:
            at = start + reader.header_at
            if ENDS_EARLY in error.message:
                raise self._truncated(f"inside the header at byte {at}") from None
            said = error.message.partition(" (header at")[0]  # counted from where this reader began
            if at == 0:
                raise ImageError(
                    f"{self.path} is not a tar archive: {said}",
                    "an image archive is what docker save or skopeo copy writes",
                ) from None
            raise ImageError(f"{self.path} is damaged at byte {at}: {said}") from None
        self._whole = not any(os.pread(self._file.fd, BLOCK, end).ljust(BLOCK, b"?"))

    def _pieces(self, start: int) -> Iterator[bytes]:
        while piece := os.pread(self._file.fd, CHUNK // 4, start):
            yield piece
            start += len(piece)


def _clean(name: bytes | str) -> str:
    """As Go's path.Clean, which containerd applies to the names of an archive."""
    return posixpath.normpath(os.fsdecode(name))


def _open(path: str) -> OpenFile:
    try:
        opened = open_regular(path)
        head = os.pread(opened.fd, BLOCK, 0)
    except FileNotFoundError:
        raise ImageError(f"{path} does not exist") from None
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from None
    if detect(head) is Compression.PLAIN:
        return opened
    return _unpacked(opened, path)


def _unpacked(packed: OpenFile, path: str) -> OpenFile:
    """The content of a compressed archive (`docker save | gzip`) in an anonymous temporary file."""
    import tempfile

    try:
        with tempfile.TemporaryFile(buffering=0) as spool, os.fdopen(os.dup(packed.fd), "rb", 0) as stream:
            for piece in decompressed(stream):
                spool.write(piece)
            return OpenFile(os.dup(spool.fileno()))
    except ImageError as error:
        raise ImageError(
            f"{path}, a compressed archive of {packed.size} bytes: {error.message}", error.hint
        ) from None
    except OSError as error:
        raise ImageError(f"cannot unpack {path} into {tempfile.gettempdir()}: {error.strerror}") from None
