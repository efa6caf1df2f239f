# SPDX-License-Identifier: Apache-2.0
"""The files of a layer that is made from nothing: sorted, with their directories, owned by root, all of one time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.entry import Entry, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from caplet.image.tarwriter import TarWriter

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class File:
    """Content that is in memory, or in a file that stays open, so that what was checked is what is written."""

    content: bytes | int
    """Bytes, or a file descriptor."""
    mode: int = 0o644
    xattrs: Mapping[bytes, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        return len(self.content) if isinstance(self.content, bytes) else os.fstat(self.content).st_size

    def chunks(self) -> Iterator[bytes]:
        if isinstance(self.content, bytes):
            yield self.content
            return
        offset = 0
        while chunk := os.pread(self.content, CHUNK, offset):
            offset += len(chunk)
            yield chunk


def write_files(
    tar: TarWriter, files: Mapping[bytes, File], mtime: int, directories: Iterable[bytes] = ()
) -> None:
    """Every file, and every directory there must be, sorted by path; `mtime` in seconds. Equal contents become hard links.

    Nothing of the disk's metadata enters: the same contents give the same bytes.
    """
    seconds = mtime * 1_000_000_000
    seen: dict[tuple[bytes, int], bytes] = {}
    for path in sorted(files.keys() | _directories(files, directories)):
        file = files.get(path)
        name = path[1:]
        if file is None:
            tar.add(Entry(name, Kind.DIRECTORY, mode=0o755, mtime=seconds))
            continue
        if isinstance(file.content, bytes) and not file.xattrs:
            first = seen.setdefault((file.content, file.mode), name)
            if first != name:
                tar.add(Entry(name, Kind.HARDLINK, mode=file.mode, mtime=seconds, linkname=first))
                continue
        entry = Entry(
            name, Kind.FILE, mode=file.mode, size=file.size, mtime=seconds, xattrs=dict(file.xattrs)
        )
        tar.add(entry, file.chunks())


def _directories(files: Mapping[bytes, File], named: Iterable[bytes]) -> set[bytes]:
    found: set[bytes] = set()
    for start in (*(os.path.dirname(path) for path in files), *named):
        path = start
        while path != b"/":
            if path in files:
                raise InvalidInput(f"{os.fsdecode(path)} cannot be a file and a directory")
            found.add(path)
            path = os.path.dirname(path)
    return found
