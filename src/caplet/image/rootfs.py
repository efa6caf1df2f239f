# SPDX-License-Identifier: Apache-2.0
"""The final file system of an image: its layers, unpacked in memory and stacked, as containerd's overlay shows it."""

from __future__ import annotations

import itertools
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from caplet.errors import InvalidInput
from caplet.image.apply import MemoryBudget, Upper
from caplet.image.content import side_by_side
from caplet.image.damage import naming
from caplet.image.entry import Entry, Kind
from caplet.image.node import CAPABILITY, Directory, Node, child, unpack
from caplet.image.overlay import drop_whiteouts, merge
from caplet.image.readahead import GivenUp, until
from caplet.image.rootpath import clean
from caplet.image.tarreader import TarReader
from caplet.image.tarwriter import TarWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from caplet.image.divergence import Divergence

    Watch: TypeAlias = Callable[[int, TarReader], Iterable[Entry]]

MAX_ENTRIES = 5_000_000
"""Entries of an image's layers together: ten times the largest real images, and below 1 GB of memory."""

MAX_LINKS = 255
"""Symbolic links followed for one path; containerd's bound."""

MAX_WORKERS = 4
"""Layers that are read side by side; decompression and hashing leave the interpreter lock."""


MAX_COMPARED, MAX_COMPARED_LENGTH, MAX_MISTYPED = 1000, 64, 4
"""Names that a mistyped one is compared with, their length, and by how much it may differ: a comparison takes a millisecond."""


class HasChunks(Protocol):
    """A layer: its uncompressed tar, verified while it is read. One that has a `size` is begun before smaller ones."""

    def chunks(self) -> Iterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Resolved:
    """A path without links, and what is there."""

    path: bytes
    node: Node


class NotFound(InvalidInput):
    """There is no such file in the image."""


class Rootfs:
    """Looks up files by absolute paths (b"/usr/bin/ping"; a leading slash may be left out)."""

    def __init__(
        self, layers: Sequence[HasChunks], watch: Watch | None = None, workers: int = MAX_WORKERS
    ) -> None:
        """Reads all layers, lowest first in `layers`. Raises CapletError where one is damaged or cannot be unpacked.

        `watch` sees each layer's entries pass: it gets the layer's index and reader, and what it returns is unpacked
        instead of the reader. It runs on the layer's own thread, and may read the content of the current entry.
        """
        self.layers = tuple(layers)
        uppers = _read(self.layers, watch or _unwatched, workers)
        self.divergent: list[Divergence] = []
        """Paths that other engines show differently."""
        for index, upper in enumerate(uppers):
            with naming(index):
                upper.inherit([lower.root for lower in reversed(uppers[:index])])
        self.root = uppers[0].root if uppers else Directory(Kind.DIRECTORY, 0o755)
        if uppers and uppers[0].has_whiteouts:
            drop_whiteouts(self.root)
        for upper in uppers:
            self.divergent += upper.divergent
            if upper.layer:
                self.divergent += merge(self.root, upper)

    @classmethod
    def of(cls, files: Mapping[str | bytes, File | bytes]) -> Rootfs:
        """A file system in memory, of one layer, for tests: `Rootfs.of({"/app": File(b"...", mode=0o755)})`."""
        written = bytearray()
        tar = TarWriter(written.extend)
        for path, file in files.items():
            name = path.encode() if isinstance(path, str) else path
            (File(file) if isinstance(file, bytes) else file).add_to(tar, name.lstrip(b"/"))
        tar.close()
        return cls([_Bytes(bytes(written))])

    # Looking up

    def lookup(self, path: bytes) -> Node | None:
        """What is at this very path; no link is followed, not even of a directory on the way."""
        node: Node | None = self.root
        for name in _parts(path):
            if not isinstance(node, Directory):
                return None
            node = child(node, name)
        return node

    def resolve(self, path: bytes, *, follow: bool = True, links: int = MAX_LINKS) -> Resolved:
        """Follows links as the kernel does inside the container; `follow=False` leaves the last one.

        Raises InvalidInput: not found (with the nearest name), not a directory, too many links.
        """
        trail: list[tuple[bytes, Directory]] = [(b"", self.root)]
        pending = [part for part in reversed(path.split(b"/")) if part]
        must_be_directory = path.endswith((b"/", b"/."))
        found: Node = self.root
        while pending:
            name = pending.pop()
            at, directory = trail[-1]
            if name == b".":
                continue
            if name == b"..":
                if len(trail) > 1:
                    trail.pop()
                found = trail[-1][1]
                continue
            node = child(directory, name)
            if node is None:
                raise NotFound(f"{_text(path)}: not in the image", self._nearest(at, directory, name))
            here = at + b"/" + name
            if node.kind is Kind.SYMLINK and (pending or follow or must_be_directory):
                links -= 1
                if links < 0:
                    raise InvalidInput(f"{_text(path)}: too many levels of symbolic links")
                if node.linkname.startswith(b"/"):
                    del trail[1:]
                pending.extend(part for part in reversed(node.linkname.split(b"/")) if part)
                must_be_directory |= not pending
                found = trail[-1][1]
            elif isinstance(node, Directory):
                trail.append((here, node))
                found = node
            elif pending or must_be_directory:
                raise InvalidInput(f"{_text(path)}: {_text(here)} is not a directory")
            else:
                return Resolved(here, node)
        return Resolved(trail[-1][0] or b"/", found)

    def parents(self, path: bytes) -> list[tuple[bytes, Directory]]:
        """The directories above a path without links, from the one under the root downwards; the root is left out."""
        above: list[tuple[bytes, Directory]] = []
        directory = self.root
        for name in _parts(path)[:-1]:
            node = child(directory, name)
            if not isinstance(node, Directory):
                raise InvalidInput(f"{_text(path)}: {_text(name)} is not a directory")
            directory = node
            above.append(((above[-1][0] if above else b"") + b"/" + name, directory))
        return above

    def walk(self, *, plain: bool = True) -> Iterator[tuple[bytes, Node]]:
        """Every path and its node, the root left out; a directory before its names, names in the order of their bytes.

        `plain=False` leaves out the files with one name, no attribute and no set-id bit, and is light on memory.
        """
        stack = [(b"/" + name, self.root, name) for name in sorted(self.root.children, reverse=True)]
        while stack:
            path, directory, name = stack.pop()
            node = directory.children[name]
            if isinstance(node, bytes):
                if not plain:
                    continue
                node = directory.children[name] = unpack(node)
            yield path, node
            if isinstance(node, Directory):
                stack.extend(
                    (path + b"/" + inner, node, inner) for inner in sorted(node.children, reverse=True)
                )

    def names(self, node: Node) -> tuple[bytes, ...]:
        """All paths of one inode that are visible: the hard links of a file, in order."""
        return tuple(path for path, found in self.walk(plain=False) if found is node)

    # Content

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file, read from its layer once more."""
        if node.kind is not Kind.FILE:
            raise InvalidInput("only a regular file has content")
        reader = TarReader(self.layers[node.layer].chunks())
        for index, _ in enumerate(reader):
            if index == node.entry:
                yield from reader.content()
                return
        raise InvalidInput("the layer changed while it was read")

    def read(self, node: Node, limit: int | None = None) -> bytes:
        """A file's content, at most `limit` bytes from its beginning."""
        data = bytearray()
        for piece in self.content(node):
            data += piece
            if limit is not None and len(data) >= limit:
                return bytes(data[:limit])
        return bytes(data)

    def _nearest(self, at: bytes, directory: Directory, name: bytes) -> str:
        """The same name in another directory, or one that is nearly so in this one."""
        import difflib

        comparable = (other for other in directory.children if abs(len(other) - len(name)) < MAX_MISTYPED)
        names = [_text(other) for other in itertools.islice(comparable, MAX_COMPARED)]
        near = difflib.get_close_matches(_text(name), names, n=1) if len(name) <= MAX_COMPARED_LENGTH else ()
        if near:
            return f"Did you mean {_text(at)}/{near[0]}?"
        stack = [(b"", self.root)]
        while stack:
            path, looked = stack.pop()
            if name in looked.children:
                return f"Did you mean {_text(path)}/{_text(name)}?"
            stack.extend(
                (path + b"/" + inner, node)
                for inner, node in looked.children.items()
                if isinstance(node, Directory)
            )
        return ""


@dataclass(frozen=True, slots=True)
class File:
    """A file for `Rootfs.of`."""

    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    caps: bytes | None = None
    """The raw security.capability."""
    link: bytes = b""
    """The target of a symbolic link."""
    hardlink: bytes = b""
    directory: bool = False

    def add_to(self, tar: TarWriter, name: bytes) -> None:
        entry = Entry(name, Kind.FILE, self.mode, self.uid, self.gid, len(self.data))
        if self.link:
            entry.kind, entry.linkname = Kind.SYMLINK, self.link
        elif self.hardlink:
            entry.kind, entry.linkname = Kind.HARDLINK, self.hardlink
        elif self.directory:
            entry.kind = Kind.DIRECTORY
        if self.caps is not None:
            entry.xattrs[CAPABILITY] = self.caps
        tar.add(entry, [self.data])


@dataclass(frozen=True, slots=True)
class _Bytes:
    data: bytes

    def chunks(self) -> Iterator[bytes]:
        yield self.data


def _unwatched(index: int, reader: TarReader) -> TarReader:
    del index
    return reader


def _read(layers: Sequence[HasChunks], watch: Watch, workers: int) -> list[Upper]:
    """Unpacks the layers in memory, several at a time. The first failure, by layer, is what is raised."""
    stop = threading.Event()
    budget, memory = _Budget(), MemoryBudget()

    def read(index: int) -> Upper:
        upper = Upper(index, memory)
        try:
            with naming(index, layers[index]):
                upper.apply(budget.counted(watch(index, TarReader(until(stop, layers[index].chunks())))))
        except BaseException:
            stop.set()
            raise
        return upper

    workers = min(workers, len(layers), os.cpu_count() or 1)
    if workers <= 1:
        return [read(index) for index in range(len(layers))]
    from concurrent.futures import ThreadPoolExecutor  # takes as long to load as reading a small image

    with side_by_side(workers), ThreadPoolExecutor(workers, "layer") as pool:
        largest_first = sorted(range(len(layers)), key=lambda index: -getattr(layers[index], "size", 0))
        started = {index: pool.submit(read, index) for index in largest_first}
        futures = [started[index] for index in range(len(layers))]
        try:
            errors = [error for error in (future.exception() for future in futures) if error is not None]
        except BaseException:
            stop.set()
            raise
    for error in errors:
        if not isinstance(error, GivenUp):
            raise error
    return [future.result() for future in futures]


class _Budget:
    """Counts the entries of all layers together."""

    def __init__(self) -> None:
        self._left = MAX_ENTRIES

    def counted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            self._left -= 1  # not atomic, and need not be: it is a guard, not an account
            if self._left < 0:
                raise InvalidInput(f"the image has more than {MAX_ENTRIES:,} entries")
            yield entry


def _parts(path: bytes) -> list[bytes]:
    return clean(path).split(b"/")[1:] if path.strip(b"/") else []


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
