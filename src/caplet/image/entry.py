# SPDX-License-Identifier: Apache-2.0
"""One entry of a layer's tar archive: what its header says, after PAX and GNU extensions were merged in."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What an entry makes. The value is its type flag in pax(1)'s ustar format."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    CHAR = b"3"
    BLOCK = b"4"
    DIRECTORY = b"5"
    FIFO = b"6"
    GLOBAL = b"g"
    """A PAX global header: the engines ignore its records (containerd pkg/archive/tar.go, createTarFile)."""
    OTHER = b"?"
    """A type flag that no engine unpacks; `Entry.typeflag` has it."""


@dataclass(slots=True)
class Entry:
    """A file as the archive names it. Names and texts are bytes: archives hold any."""

    name: bytes
    """As written: b"./usr/bin/ping", b"usr/bin/", b"/abs", b"../x". Never holds NUL."""
    kind: Kind = Kind.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    """Bytes of content as a program reads them; of a sparse file the expanded size."""
    mtime: int = 0
    """Nanoseconds since 1970."""
    linkname: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    """From PAX records `SCHILY.xattr.NAME`; an empty value is kept (setxattr(2) accepts it)."""
    uname: bytes = b""
    gname: bytes = b""
    devmajor: int = 0
    devminor: int = 0
    pax: dict[bytes, bytes] = field(default_factory=dict)
    """The other PAX records, as they were (atime, comment, LIBARCHIVE.*, ...)."""
    typeflag: int = 0
    """The type flag's byte where `kind` is OTHER."""
