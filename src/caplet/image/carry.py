# SPDX-License-Identifier: Apache-2.0
"""A layer that carries files of the image again, with another value of one extended attribute.

A layer cannot change metadata alone: the file's content comes along. So that nothing else changes in any engine:

- a file is written at its path without links: an entry below a lower link (`bin/x` above `bin -> usr/bin`) makes a real
  directory that hides the link (containerd, Docker);
- every directory above it comes with its own metadata: containers/storage and Docker otherwise make it 0755 root:root;
- all names of a hard-linked file come along, and all carry the attribute: writing one name splits the pair, and the
  chown(2) that engines do for a link without the attribute takes a capability away (security/commoncap.c, cap_inode_killpriv);
- `trusted.*` stays behind: containerd ignores it, but `trusted.overlay.opaque` in this layer would hide files in Docker.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.entry import Entry, Kind
from caplet.image.tarwriter import TarWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from caplet.image.node import Node
    from caplet.image.topdown import TopDown

MAX_CARRIED = 8 << 30
"""Bytes of files in one layer. No program is larger; but a sparse file costs its author nothing, whatever its size."""

_TRUSTED = b"trusted."


def carry(
    files: TopDown, values: Mapping[bytes, bytes | None], attribute: bytes, write: Callable[[bytes], object]
) -> None:
    """Writes the layer's archive: names in the order of their bytes, which puts a directory before what is in it.

    `values` has, by path without links, what the attribute becomes; None takes it away.
    """
    entries: dict[bytes, tuple[Entry, Node | None]] = {}
    root = files.top_root_entry()
    if root is not None:
        # Only the topmost layer's root directory shows in an overlay, and this layer becomes the topmost.
        entries[b"/"] = (replace(root, name=b"./", xattrs=_carried(root.xattrs), pax={}), None)
    for place, value in values.items():
        for path, entry, node in _file(files, place, attribute, value):
            entries |= {at: (directory, None) for at, directory in _parents(files, path) if at not in entries}
            entries[path] = (entry, node)
    size = sum(entry.size for entry, _ in entries.values())
    if size > MAX_CARRIED:
        raise InvalidInput(
            f"the files to change have {size:,} bytes: more than {MAX_CARRIED:,} are not copied into a layer",
            "use --rewrite, which leaves their contents where they are",
        )
    tar = TarWriter(write)
    for _, (entry, node) in sorted(entries.items(), key=lambda item: item[0]):
        tar.add(entry, () if node is None else files.content(node))
    tar.close()


def _file(
    files: TopDown, path: bytes, attribute: bytes, value: bytes | None
) -> Iterator[tuple[bytes, Entry, Node | None]]:
    """The entry of each of the file's names; the first has the content, the others link to it."""
    node = files.lookup(path)
    assert node is not None
    xattrs = {name: kept for name, kept in node.xattrs.items() if name != attribute}
    if value is not None:
        xattrs[attribute] = value
    first, *others = files.names(path)
    entry = _entry(files, first, node, xattrs)
    yield first, entry, node
    for other in others:
        link = replace(entry, name=other[1:], kind=Kind.HARDLINK, size=0, linkname=first[1:])
        yield other, link, None


def _parents(files: TopDown, path: bytes) -> Iterator[tuple[bytes, Entry]]:
    """The directories above. One that no layer has an entry for is made 0755 root:root by every engine, here as below."""
    for at, node in files.parents(path):
        if files.is_named(node):
            yield at, _entry(files, at, node, _carried(node.xattrs))


def _entry(files: TopDown, path: bytes, node: Node, xattrs: dict[bytes, bytes]) -> Entry:
    uname, gname = files.owner_names(node)
    return Entry(
        name=path[1:],
        kind=node.kind,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        size=node.size,
        mtime=node.mtime,
        xattrs=xattrs,
        uname=uname,
        gname=gname,
    )


def _carried(xattrs: dict[bytes, bytes]) -> dict[bytes, bytes]:
    return {name: value for name, value in xattrs.items() if not name.startswith(_TRUSTED)}
