# SPDX-License-Identifier: Apache-2.0
"""Paths of an image looked up from its top layer down: no layer below the one that decides is read.

`rootfs.Rootfs` merges all layers; this one answers for a few paths. Overlayfs looks a name up the same way: in each
directory of the stack, from above, until something other than a directory, a whiteout or an opaque directory ends it
(Linux fs/overlayfs/namei.c, ovl_lookup). A layer is decompressed once; the content of files that may be asked for is
kept while it passes.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.apply import Upper, inherit_one
from caplet.image.damage import naming
from caplet.image.entry import Entry, Kind
from caplet.image.node import Directory, Node, child
from caplet.image.readahead import ReadAhead, until
from caplet.image.rootfs import MAX_ENTRIES, MAX_LINKS, HasChunks, NotFound, Resolved
from caplet.image.rootpath import clean, lstat, root_path
from caplet.image.spool import Spool
from caplet.image.tarreader import TarReader

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Sequence

ANY_EXECUTE = 0o111

MAX_KEPT = 1 << 30
"""Bytes of content kept on disk while layers pass; what is beyond is read from its layer again when it is asked for."""


@dataclass(slots=True)
class _Layer:
    """A layer that was read."""

    upper: Upper
    spool: Spool
    """Content that was kept."""
    owners: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """Entry number -> user and group by name, where the entry has them."""
    heads: dict[int, bytes] = field(default_factory=dict)
    """Entry number -> the first bytes of its content."""
    kept: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Entry number -> where its content lies in the spool, and how long it is."""
    root_entry: Entry | None = None
    """The entry for the root directory itself. containerd ignores it (applyNaive), other engines apply it."""


class TopDown:
    """Looks up, resolves, and gives content and metadata of single files."""

    def __init__(
        self,
        layers: Sequence[HasChunks],
        wanted: Callable[[Entry], bool],
        directory: str | None = None,
        *,
        heads: int = 0,
    ) -> None:
        """`wanted` says whose content to keep when its layer is read; `directory` is where it may lie meanwhile.

        `heads`: how many first bytes of each executable file to keep in memory.
        """
        self._layers = tuple(layers)
        self._wanted = wanted
        self._heads = heads
        self._reading = ReadAhead(self._read)
        self._settled: dict[int, bool] = {}
        """By id(): directories whose metadata is final -> whether any layer names them."""
        self._directory = directory
        self._entries = 0
        """Of all layers together. Threads count it without a lock: it is a guard, not an account."""
        self._kept = 0
        """Bytes in all spools, counted likewise."""

    # Looking up

    def lookup(self, path: bytes) -> Node | None:
        """What is at this very path; no link is followed. A directory has the metadata that the merged one shows."""
        path = clean(path)
        if path == b"/":
            return self._layer(len(self._layers) - 1).upper.root if self._layers else None
        for layer, node in self._stack(path):
            if isinstance(node, Directory):
                self._settle(layer, node)
            return node
        return None

    def resolve(self, path: bytes, *, follow: bool = True, links: int = MAX_LINKS) -> Resolved:
        """Follows links as `Rootfs.resolve` does, and raises the same errors, but does not look for the nearest name."""
        pending = [part for part in reversed(path.split(b"/")) if part]
        must_be_directory = path.endswith((b"/", b"/."))
        at = b"/"
        while pending:
            name = pending.pop()
            if name == b".":
                continue
            here = posixpath.dirname(at) if name == b".." else posixpath.join(at, name)
            node = self.lookup(here)
            if node is None:
                raise NotFound(f"{shown(path)}: not in the image")
            if node.kind is Kind.SYMLINK and (pending or follow or must_be_directory):
                links -= 1
                if links < 0:
                    raise InvalidInput(f"{shown(path)}: too many levels of symbolic links")
                at = b"/" if node.linkname.startswith(b"/") else at
                pending.extend(part for part in reversed(node.linkname.split(b"/")) if part)
                must_be_directory |= not pending
                continue
            if not isinstance(node, Directory) and (pending or must_be_directory):
                raise InvalidInput(f"{shown(path)}: {shown(here)} is not a directory")
            at = here
        found = self.lookup(at)
        assert found is not None
        return Resolved(at, found)

    def parents(self, path: bytes) -> list[tuple[bytes, Directory]]:
        """The directories above a path without links, from the one under the root downwards; the root is left out."""
        above: list[tuple[bytes, Directory]] = []
        at = clean(posixpath.dirname(path))
        while at != b"/":
            node = self.lookup(at)
            assert isinstance(node, Directory)
            above.append((at, node))
            at = posixpath.dirname(at)
        return above[::-1]

    def names(self, path: bytes) -> tuple[bytes, ...]:
        """All visible paths of the file at `path`, in order: its hard links. They all are in its layer."""
        node = self.lookup(path)
        if node is None or node.links == 1:
            return (path,)
        return tuple(sorted(path for path in self._paths(node) if self.lookup(path) is node))

    def find(self, matches: Callable[[Node], bool]) -> Iterator[tuple[bytes, Node]]:
        """Every visible path of a node that matches, of files with attributes, set-id bits or several names. Reads all layers."""
        uppers = [self._layer(index).upper for index in range(len(self._layers))]
        all_paths = ((path, node) for upper in uppers for path, node in _walk(upper.root))
        yield from sorted(
            (path, node) for path, node in all_paths if matches(node) and self.lookup(path) is node
        )

    # What a node's own entries say

    def content(self, node: Node) -> Iterator[bytes]:
        """The bytes of a file: as kept, else read from its layer once more."""
        layer = self._layer(node.layer)
        place = layer.kept.get(node.entry)
        if place is None:
            yield from self._reread(node)
            return
        yield from layer.spool.read(*place)

    def read(self, node: Node, limit: int | None = None) -> bytes:
        """A file's content, at most `limit` bytes from its beginning."""
        wanted = node.size if limit is None else min(limit, node.size)
        head = self._layer(node.layer).heads.get(node.entry)
        if head is not None and len(head) >= wanted:
            return head[:wanted]
        data = bytearray()
        for piece in self.content(node):
            data += piece
            if limit is not None and len(data) >= limit:
                return bytes(data[:limit])
        return bytes(data)

    def owner_names(self, node: Node) -> tuple[bytes, bytes]:
        """The names of user and group in the entry that made the node; empty where it has none."""
        return self._layer(node.layer).owners.get(node.entry, (b"", b""))

    def entries_of(self, node: Node) -> tuple[int, ...]:
        """Numbers of the entries in the node's layer that made it or linked to it."""
        linked = self._layer(node.layer).upper.linked
        return (node.entry, *(number for number, linked_to in linked if linked_to is node))

    def is_named(self, directory: Directory) -> bool:
        """Whether any layer has an entry for the directory: else it is only implied by what is in it."""
        return self._settle(directory.layer, directory)

    def top_root_entry(self) -> Entry | None:
        """The topmost layer's entry for the root directory."""
        return self._layer(len(self._layers) - 1).root_entry if self._layers else None

    @property
    def layers_read(self) -> frozenset[int]:
        """Indexes of the layers that the answers needed so far."""
        return self._reading.asked

    def close(self) -> None:
        """Give up layers that are being read ahead: what there was to ask has been asked."""
        self._reading.close()

    # The stack of layers

    def _stack(self, path: bytes) -> Iterator[tuple[int, Node]]:
        """What the path shows, then the directories that it is merged with, from above."""
        if path == b"/":
            # An opaque mark on the root of a layer counts for nothing, as in overlay.merge.
            for index in reversed(range(len(self._layers))):
                yield index, self._layer(index).upper.root
            return
        above, _, name = path.rpartition(b"/")
        covered = False
        for index, directory in self._stack(above or b"/"):
            if not isinstance(directory, Directory):
                return
            node = child(directory, name)
            if node is None:
                continue
            if not isinstance(node, Directory):
                if not covered and not node.is_whiteout:
                    yield index, node
                return
            yield index, node
            if node.opaque:
                return
            covered = True

    def _settle(self, layer: int, directory: Directory) -> bool:
        """Gives a directory that its layer only implies the metadata it has below; returns whether any layer names it."""
        if id(directory) not in self._settled:
            self._settled[id(directory)] = not directory.implied
            for path, made in self._layer(layer).upper.implied:
                if made is directory:
                    self._inherit(layer, path, made)
                    break
        return self._settled[id(directory)]

    def _inherit(self, layer: int, path: bytes, made: Directory) -> None:
        if made.implied_in is not None:  # what that one was born with decides this one's group
            self._settle(layer, made.implied_in)
        inherit_one(path, made, self._lowers(layer, path, made))

    def _lowers(self, layer: int, path: bytes, made: Directory) -> Iterator[Directory]:
        """The layers below as `inherit_one` asks for them, each settled at the path."""
        for index in reversed(range(layer)):
            root = self._layer(index).upper.root
            node = lstat(root, root_path(root, path))
            if isinstance(node, Directory):
                self._settled[id(made)] |= self._settle(index, node)
            yield root

    def _paths(self, node: Node) -> Iterator[bytes]:
        return (path for path, found in _walk(self._layer(node.layer).upper.root) if found is node)

    # Reading

    def _layer(self, index: int) -> _Layer:
        return self._reading.get(index)

    def _read(self, index: int, stop: threading.Event) -> _Layer:
        layer = _Layer(Upper(index), Spool(self._directory))
        with naming(index, self._layers[index]):
            reader = TarReader(until(stop, self._layers[index].chunks()))
            layer.upper.apply(self._watched(reader, layer))
        return layer

    def _watched(self, reader: TarReader, layer: _Layer) -> Iterable[Entry]:
        """The entries, with a look at each before it is unpacked."""
        for number, entry in enumerate(reader):
            self._entries += 1
            if self._entries > MAX_ENTRIES:
                raise InvalidInput(f"the image has more than {MAX_ENTRIES:,} entries")
            if entry.uname or entry.gname:
                layer.owners[number] = (entry.uname, entry.gname)
            if entry.kind is Kind.DIRECTORY and clean(entry.name) == b"/":
                layer.root_entry = entry
            if self._wanted(entry) and entry.kind is Kind.FILE and self._kept + entry.size <= MAX_KEPT:
                self._kept += entry.size
                layer.kept[number] = layer.spool.add(reader.content())
            elif self._heads and entry.kind is Kind.FILE and entry.mode & ANY_EXECUTE:
                layer.heads[number] = _head(reader.content(), self._heads)
            yield entry

    def _reread(self, node: Node) -> Iterator[bytes]:
        reader = TarReader(self._layers[node.layer].chunks())
        for number, _ in enumerate(reader):
            if number == node.entry:
                yield from reader.content()
                # To the end: only there the layer is proved.
                for _ in reader:
                    pass
                return
        raise InvalidInput("the layer changed while it was read")


def _head(pieces: Iterator[bytes], size: int) -> bytes:
    """The first bytes, which may lie in several pieces."""
    data = next(pieces, b"")
    while len(data) < size and (more := next(pieces, b"")):
        data += more
    return data[:size]


def _walk(root: Directory) -> Iterator[tuple[bytes, Node]]:
    """Every path below and its node; files without attributes, set-id bits and further names are left out."""
    stack: list[tuple[bytes, Directory]] = [(b"", root)]
    while stack:
        at, directory = stack.pop()
        for name, node in directory.children.items():
            if isinstance(node, bytes):
                continue
            path = at + b"/" + name
            yield path, node
            if isinstance(node, Directory):
                stack.append((path, node))


def shown(name: bytes) -> str:
    """For messages."""
    return name.decode("utf-8", "surrogateescape")
