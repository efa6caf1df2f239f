# SPDX-License-Identifier: Apache-2.0
"""An inode of an image's file system, and the directory that names it. Built for images with a million files.

Most files of an image are plain: one name, no attributes, no set-id bits. Such a file is kept as a record of 30 bytes
in its directory and becomes a `Node` when somebody asks for it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from caplet.image.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

S_ISUID = 0o4000
S_ISGID = 0o2000
S_ISVTX = 0o1000
S_IXGRP = 0o010

CAPABILITY = b"security.capability"

_PLAIN = struct.Struct("<HIIIHqIH")
"""mode, uid, gid, size (low, high), mtime, entry, layer: 30 bytes, the most that costs 64 as a bytes object."""


@dataclass(slots=True, eq=False)
class Node:
    """One inode. Hard-linked names share one Node: compare with `is`."""

    kind: Kind
    mode: int
    """The twelve bits of permission: set-id and sticky included, file type not."""
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    """Nanoseconds since 1970, never negative."""
    layer: int = 0
    """Index of the layer that has it; 0 is the lowest."""
    entry: int = 0
    """Which entry of that layer's archive has its content, counted from 0."""
    links: int = 1
    """Names that its layer gives it; an upper layer may hide some."""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    linkname: bytes = b""
    devmajor: int = 0
    devminor: int = 0

    @property
    def is_whiteout(self) -> bool:
        """Overlayfs hides what a character device 0/0 stands on (fs/overlayfs, ovl_is_whiteout)."""
        return self.kind is Kind.CHAR and not self.devmajor and not self.devminor


@dataclass(slots=True, eq=False)
class Directory(Node):
    """A directory and the names in it."""

    children: dict[bytes, Child] = field(default_factory=dict, repr=False)
    opaque: bool = False
    """Hides the same directory of the layers below (`.wh..wh..opq`)."""
    implied: bool = False
    """Made because an entry needed it, not by an entry of its own."""
    implied_first: bool = False
    """As `implied`, and so it stays where an entry of its own comes later."""
    implied_in: Directory | None = field(default=None, repr=False)
    """The directory above it, where that was implied as well when this one was."""
    born: tuple[int, int] = (0o755, 0)
    """Mode and group that an implied directory had when it was made; what was made in it inherited the group (S_ISGID)."""
    seen_before: bool = False
    """An entry named this path earlier in the layer, and was removed."""
    after_whiteout: bool = False
    """Its layer first removed the path, then made this directory."""
    smuggled_opaque: bool = False
    """Its entry carries `trusted.overlay.opaque=y`, which containerd ignores."""


Child: TypeAlias = "Node | bytes"
"""A Node, or a plain file's record."""


def pack(entry_mode: int, uid: int, gid: int, size: int, mtime: int, entry: int, layer: int) -> bytes:
    """A plain file's record."""
    return _PLAIN.pack(entry_mode, uid, gid, size & 0xFFFFFFFF, size >> 32, mtime, entry, layer)


def unpack(record: bytes) -> Node:
    """The Node of a plain file's record."""
    mode, uid, gid, low, high, mtime, entry, layer = _PLAIN.unpack(record)
    return Node(Kind.FILE, mode, uid, gid, low | high << 32, mtime, layer, entry)


MAX_PLAIN_SIZE = 1 << 48
MAX_PLAIN_LAYER = 1 << 16


def child(directory: Directory, name: bytes) -> Node | None:
    """The node of that name. A plain file's record becomes a Node that stays in its place."""
    found = directory.children.get(name)
    if isinstance(found, bytes):
        found = directory.children[name] = unpack(found)
    return found


def nodes(root: Directory) -> Iterator[Node]:
    """Every node below, the plain files' left out, in no particular order."""
    stack = [root]
    while stack:
        for found in stack.pop().children.values():
            if isinstance(found, bytes):
                continue
            yield found
            if isinstance(found, Directory):
                stack.append(found)
