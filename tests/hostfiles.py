# SPDX-License-Identifier: Apache-2.0
"""This machine's file system as `Files`: what is predicted from it can be judged by running it."""

from __future__ import annotations

import os
import stat

from caplet.image.entry import Kind
from caplet.image.node import Directory, Node
from caplet.image.rootfs import NotFound, Resolved

KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}


class HostFiles:
    """Paths below `root` are the machine's own."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], Node] = {}
        self._paths: dict[int, bytes] = {}

    def resolve(self, path: bytes, *, follow: bool = True, links: int = 40) -> Resolved:
        del links
        path = path if path.startswith(b"/") else b"/" + path
        try:
            real = os.path.realpath(path, strict=True) if follow else os.path.abspath(path)
            found = os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"{os.fsdecode(path)}: not in the image") from None
        key = (found.st_dev, found.st_ino)
        if key not in self._nodes:
            kind = Directory if stat.S_ISDIR(found.st_mode) else Node
            self._nodes[key] = kind(
                KINDS.get(stat.S_IFMT(found.st_mode), Kind.OTHER),
                stat.S_IMODE(found.st_mode),
                found.st_uid,
                found.st_gid,
                found.st_size,
            )
            self._paths[id(self._nodes[key])] = real
        return Resolved(real, self._nodes[key])

    def read(self, node: Node, limit: int | None = None) -> bytes:
        with open(self._paths[id(node)], "rb") as file:
            return file.read(-1 if limit is None else limit)

    def parents(self, path: bytes) -> list[tuple[bytes, Directory]]:
        parts = [part for part in path.split(b"/") if part][:-1]
        above = []
        for place in range(len(parts)):
            found = self.resolve(b"/" + b"/".join(parts[: place + 1]))
            assert isinstance(found.node, Directory)
            above.append((found.path, found.node))
        return above
