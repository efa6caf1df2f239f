# SPDX-License-Identifier: Apache-2.0
"""What an image's files can give a process: file capabilities, set-user-ID, set-group-ID.

Of the final file system, read without unpacking anything: what upper layers replace or remove is not there. Notes say
what is certain from the file alone; what a container becomes depends on its runtime too, which is another question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.image.entry import Entry, Kind
from caplet.image.node import CAPABILITY, S_ISGID, S_ISUID, S_IXGRP, Node
from caplet.image.progress import Progress
from caplet.image.rootfs import Rootfs
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caplet.image.descriptor import Digest, Platform
    from caplet.image.divergence import Divergence
    from caplet.image.image import Image
    from caplet.image.tarreader import TarReader

SET_ID = S_ISUID | S_ISGID
ANY_EXECUTE = 0o111


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A regular file that has an attribute or a set-id bit."""

    path: bytes
    """The first of its names."""
    links: tuple[bytes, ...]
    """Its other names: hard links."""
    mode: int
    uid: int
    gid: int
    size: int
    attribute: bytes | None
    """The raw security.capability."""
    caps: FileCaps | None
    layer: int
    """Index of the layer that has it; 0 is the lowest."""
    notes: tuple[str, ...] = ()

    @property
    def setuid(self) -> int | None:
        """The user it runs as."""
        return self.uid if self.mode & S_ISUID else None

    @property
    def setgid(self) -> int | None:
        """The group it runs as. Without the group's execute bit S_ISGID means something else, and none."""
        return self.gid if self.mode & (S_ISGID | S_IXGRP) == S_ISGID | S_IXGRP else None


@dataclass(frozen=True, slots=True)
class Scan:
    """What one image has."""

    digest: Digest
    """Of its manifest."""
    platform: Platform
    layers: tuple[Digest, ...]
    """Of the layers' blobs, the lowest first."""
    files: tuple[ScannedFile, ...]
    """In the order of their paths' bytes."""
    divergent: tuple[Divergence, ...]


def scan(image: Image, progress: Progress | None = None) -> Scan:
    """Reads every layer once, several side by side, and verifies each."""
    layers = (progress or Progress()).watched(image.layers)
    scripts: set[tuple[int, int]] = set()
    rootfs = Rootfs(layers, lambda index, reader: _noting_scripts(index, reader, scripts))
    return Scan(
        image.descriptor.digest,
        image.platform,
        tuple(layer.descriptor.digest for layer in image.layers),
        tuple(files(rootfs, scripts)),
        tuple(sorted(rootfs.divergent, key=lambda note: (note.path, note.reason))),
    )


def files(rootfs: Rootfs, scripts: Iterable[tuple[int, int]] = ()) -> list[ScannedFile]:
    """Every file with a capability attribute or a set-id bit; `scripts` are (layer, entry) whose content begins `#!`."""
    scripts = frozenset(scripts)
    names: dict[Node, list[bytes]] = {}
    for path, node in rootfs.walk(plain=False):
        if node.kind is Kind.FILE and (node.mode & SET_ID or CAPABILITY in node.xattrs):
            names.setdefault(node, []).append(path)
    found = [
        _scanned(node, sorted(paths), (node.layer, node.entry) in scripts) for node, paths in names.items()
    ]
    return sorted(found, key=lambda file: file.path)


def _scanned(node: Node, paths: list[bytes], script: bool) -> ScannedFile:
    attribute = node.xattrs.get(CAPABILITY)
    caps = FileCaps.decode(attribute) if attribute else None  # a malformed one was refused with its layer
    notes = tuple(_notes(node, attribute, caps, script))
    return ScannedFile(
        paths[0],
        tuple(paths[1:]),
        node.mode,
        node.uid,
        node.gid,
        node.size,
        attribute,
        caps,
        node.layer,
        notes,
    )


def _notes(node: Node, attribute: bytes | None, caps: FileCaps | None, script: bool) -> Iterator[str]:
    if not node.mode & ANY_EXECUTE:
        yield "nobody can execute it: it has no execute bit"
    if script:
        yield "it is a script: execve(2) takes capabilities and set-id bits from its interpreter, not from it"
    if attribute is not None and not attribute:
        yield "the attribute is empty: execve(2) fails with EINVAL"
    if node.mode & (S_ISGID | S_IXGRP) == S_ISGID:
        yield "set-group-ID has no effect without the group's execute bit"
    if caps is None:
        return
    if caps.rootid:
        yield f"it counts only in user namespaces whose root is uid {caps.rootid} outside; elsewhere it is ignored"
    unknown = (caps.permitted | caps.inheritable).unknown
    if unknown:
        yield f"it has bits that no kernel knows and all ignore: {unknown.mask:#x}"
    if caps.effective and not caps.permitted | caps.inheritable:
        yield "it has the effective bit and no capability"
    if node.mode & S_ISUID and node.uid == 0:
        yield "set-user-ID root as well: for a user other than root the attribute alone decides what it gets"


def _noting_scripts(index: int, reader: TarReader, scripts: set[tuple[int, int]]) -> Iterator[Entry]:
    for number, entry in enumerate(reader):
        privileged = entry.kind is Kind.FILE and (entry.mode & SET_ID or entry.xattrs)
        if privileged and next(reader.content(), b"").startswith(b"#!"):
            scripts.add((index, number))
        yield entry
