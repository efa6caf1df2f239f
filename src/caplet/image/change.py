# SPDX-License-Identifier: Apache-2.0
"""Changes the capabilities of files in an image, or in every image of an index.

Whoever calls chooses files and values (`Chooser`); here is what all such changes have in common: which layer changes
and how, the configuration's history, the platforms of an index, what no longer matches, and what is said about it.
Nothing is written before `copy.write_image`. The same change of the same image gives the same digest, and none where
every file already is as it is wanted.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from caplet.errors import CapletError, ImageError, InvalidInput
from caplet.image import meant
from caplet.image.attached import attached
from caplet.image.carry import carry
from caplet.image.compression import Compression, detect
from caplet.image.config import History
from caplet.image.entry import Entry, Kind
from caplet.image.image import Image, Index
from caplet.image.newlayer import LayerWriter
from caplet.image.node import CAPABILITY, Node
from caplet.image.progress import Progress
from caplet.image.rootfs import NotFound, Resolved, Rootfs
from caplet.image.splice import splice
from caplet.image.topdown import TopDown, shown
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from caplet.image.attached import Attached
    from caplet.image.descriptor import Descriptor, Digest, Platform
    from caplet.image.newlayer import NewLayer

REVISION_3_SIZE = 24
"""XATTR_CAPS_SZ_3, include/uapi/linux/capability.h."""

MAX_TOLD = 8
"""Files that a history entry names; the layer has them all."""


class Way(Enum):
    """How a file gets another attribute."""

    APPEND = "append"
    """One more layer, which carries the file. Every layer below stays as it is, in this image and in registries."""
    REWRITE = "rewrite"
    """The layer that has the file is written anew. The image does not grow, but it shares one layer less with others."""


@dataclass(frozen=True, slots=True)
class Manner:
    """What is the same for every image of one call."""

    verb: str
    """For the history: "grant"."""
    way: Way = Way.APPEND
    compression: Compression = Compression.STORED
    """Of an appended layer. A rewritten one keeps its kind."""
    platforms: tuple[Platform, ...] = ()
    """Which images of an index; empty: all."""
    spool: str | None = None
    """Directory for temporary files: `copy.spool_directory`."""
    progress: Progress | None = None
    """Counts the layers while they are read."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A file and what its capabilities become."""

    path: bytes
    """Absolute, without links."""
    value: bytes | None
    """security.capability; None: no attribute."""
    asked: bytes = b""
    """The path as it was given, where links lead from it to `path`."""
    notes: tuple[str, ...] = ()
    """What an expert would mention."""


class Chooser(Protocol):
    """What one verb decides, for each image."""

    def wanted(self, image: Image) -> Callable[[Entry], bool]:
        """Of which entries the content may be needed."""
        ...

    def edits(self, image: Image, files: TopDown) -> Iterable[Edit]:
        """The files to change; also those that need no change, so that it can be said."""
        ...


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after."""

    path: bytes
    asked: bytes
    names: tuple[bytes, ...]
    """All its hard-linked names; `path` is one of them."""
    before: bytes | None
    after: bytes | None
    """security.capability."""
    notes: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class ImageChange:
    """One image before and after."""

    before: Image
    after: Image
    files: tuple[FileChange, ...]
    layers: tuple[int, ...]
    """Indexes of the layers of `after` that `before` does not have."""

    @property
    def bytes_added(self) -> int:
        """By how much the layers' blobs grew; negative where they shrank."""
        sizes = [sum(layer.descriptor.size for layer in image.layers) for image in (self.after, self.before)]
        return sizes[0] - sizes[1]


@dataclass(frozen=True, slots=True)
class Change:
    """An image or an index before and after."""

    before: Image | Index
    after: Image | Index
    images: tuple[ImageChange, ...]
    """Those that were looked at, changed or not."""
    stale: tuple[Attached, ...] = ()
    """What lies beside the old image and does not speak of the new one."""

    @property
    def changed(self) -> bool:
        return self.before.digest != self.after.digest

    @property
    def dropped(self) -> tuple[Descriptor, ...]:
        """Attestations in the index that described an old image."""
        return self.after.dropped if isinstance(self.after, Index) else ()


def change(subject: Image | Index, chooser: Chooser, manner: Manner) -> Change:
    """The image or index with the chosen files changed."""
    if isinstance(subject, Image):
        for platform in manner.platforms:
            if not subject.platform.matches(platform):
                raise InvalidInput(f"{subject.source.name} is for {subject.platform}, not for {platform}")
        one = _change_image(subject, chooser, manner)
        return _with_stale(Change(subject, one.after, (one,)))
    wanted = _selected(subject, manner.platforms)
    if not wanted:
        raise ImageError(f"{subject.source.name} lists no image")
    changes: list[ImageChange] = []

    def change_one(image: Image) -> Image:
        if image.digest not in wanted:
            return image
        try:
            changes.append(_change_image(image, chooser, manner))
        except CapletError as error:
            raise type(error)(f"{image.platform}: {error.message}", error.hint) from None
        return changes[-1].after

    after = subject.map(change_one)
    return _with_stale(Change(subject, after, tuple(changes)))


def locate(image: Image, files: TopDown, path: bytes, behind: str = "") -> Resolved:
    """The regular file at a path. InvalidInput where there is none: with the nearest name, or with what is there.

    `behind` is what the command line has behind the path, for the hint that says what to write.
    """
    if not path.startswith(b"/"):
        raise _relative(image, files, path, behind)
    try:
        found = files.resolve(path)
    except NotFound:
        # Only the whole file system knows the nearest name; an error may take its time.
        found = Rootfs(image.layers).resolve(path)
    if found.node.kind is not Kind.FILE:
        via = "" if found.path == path else f", which is {shown(found.path)},"
        raise InvalidInput(
            f"{shown(path)}{via} is {_KINDS[found.node.kind]}: only a regular file has capabilities"
        )
    return found


def _relative(image: Image, files: TopDown, path: bytes, behind: str) -> InvalidInput:
    if not path:
        return InvalidInput("the path of a file is empty", "write it from the image's root, as /usr/bin/app")
    found = meant.named(files, image.config, path)
    message = f"{shown(path)}: a path in the image begins with /"
    if found is None:
        return InvalidInput(message, "there is no such program in the image, neither at / nor along its PATH")
    return InvalidInput(message, f"write {shown(found)}{behind}")


_KINDS = {
    Kind.DIRECTORY: "a directory",
    Kind.CHAR: "a character device",
    Kind.BLOCK: "a block device",
    Kind.FIFO: "a FIFO",
    Kind.SYMLINK: "a symbolic link",
}


@dataclass(frozen=True, slots=True)
class AtPaths:
    """Chooses the files at some paths, or without paths every file that has capabilities."""

    paths: tuple[bytes, ...]
    become: Callable[[bytes | None], tuple[bytes | None, tuple[str, ...]]]
    """From a file's attribute to what it becomes, and what an expert would mention of that."""

    def wanted(self, image: Image) -> Callable[[Entry], bool]:
        del image
        return ByName(self.paths) if self.paths else lambda entry: CAPABILITY in entry.xattrs

    def edits(self, image: Image, files: TopDown) -> Iterator[Edit]:
        for found, asked in self._named(image, files) if self.paths else _having_capabilities(files):
            value, notes = self.become(capability(found.node))
            yield Edit(found.path, value, asked, notes)

    def _named(self, image: Image, files: TopDown) -> Iterator[tuple[Resolved, bytes]]:
        """The file at each path, and the path as asked where it is another."""
        for path in self.paths:
            found = locate(image, files, path)
            yield found, b"" if found.path == path else path


def _having_capabilities(files: TopDown) -> Iterator[tuple[Resolved, bytes]]:
    for path, node in files.find(lambda node: node.kind is Kind.FILE and capability(node) is not None):
        yield Resolved(path, node), b""


def replaced_revision_3(before: bytes | None) -> tuple[str, ...]:
    """The note for an attribute of revision 3 that one of revision 2 replaces; nothing for any other."""
    if before is None or len(before) != REVISION_3_SIZE:
        return ()
    return (
        "had an attribute of revision 3, for one user namespace; revision 2, which holds in all, takes its place",
    )


class ByName:
    """Wants the content of files with the last component of a path, and of what links of that name lead to."""

    def __init__(self, paths: Iterable[bytes]) -> None:
        self._names = {_base(path) for path in paths}

    def __call__(self, entry: Entry) -> bool:
        if _base(entry.name) not in self._names:
            return False
        if entry.kind is Kind.SYMLINK:
            self._names.add(_base(entry.linkname))
        return True


def _base(path: bytes) -> bytes:
    return path.rstrip(b"/").rpartition(b"/")[2]


def capability(node: Node) -> bytes | None:
    """The raw security.capability of a file."""
    return node.xattrs.get(CAPABILITY)


# One image


def _change_image(image: Image, chooser: Chooser, manner: Manner) -> ImageChange:
    layers = (manner.progress or Progress()).watched(image.layers)
    with closing(TopDown(layers, chooser.wanted(image), manner.spool)) as files:
        edits = _unique(files, chooser.edits(image, files))
        told = tuple(_file_change(files, edit) for edit in edits)
        values = {one.path: one.after for one in told if one.changed}
        if not values:
            return ImageChange(image, image, told, ())
        history = History(_history(manner.verb, values), comment=f"caplet {manner.verb} --{manner.way.value}")
        if manner.way is Way.REWRITE:
            return _rewritten(image, files, told, values, history, manner)
        with LayerWriter(manner.compression, manner.spool) as out:
            carry(files, values, CAPABILITY, out.write)
            layer = out.finish()
        return ImageChange(image, image.append(layer, history), told, (len(image.layers),))


def _rewritten(
    image: Image,
    files: TopDown,
    told: tuple[FileChange, ...],
    values: Mapping[bytes, bytes | None],
    history: History,
    manner: Manner,
) -> ImageChange:
    by_layer: dict[int, dict[int, bytes | None]] = {}
    for path, value in values.items():
        node = files.lookup(path)
        assert node is not None
        by_layer.setdefault(node.layer, {}).update(dict.fromkeys(files.entries_of(node), value))
    after = image
    for index in sorted(by_layer):
        after = after.replace(index, _spliced(image, index, by_layer[index], manner), history)
    return ImageChange(image, after, told, tuple(sorted(by_layer)))


def _spliced(image: Image, index: int, changes: Mapping[int, bytes | None], manner: Manner) -> NewLayer:
    layer = image.layers[index]
    kind = detect(image.source.find(layer.descriptor).read(0, 16))
    with LayerWriter(kind, manner.spool) as out:
        splice(layer.chunks(), changes, CAPABILITY, out.write)
        return out.finish()


def _unique(files: TopDown, edits: Iterable[Edit]) -> list[Edit]:
    """One edit for each inode. The same wish twice is one, two different ones are an error."""
    found: dict[int, Edit] = {}
    for edit in edits:
        node = files.lookup(edit.path)
        assert node is not None
        earlier = found.setdefault(id(node), edit)
        if earlier.value != edit.value:
            first, second = shown(earlier.asked or earlier.path), shown(edit.asked or edit.path)
            if first == second:
                raise InvalidInput(
                    f"{first} is named twice, with different capabilities",
                    "name it once, with all it is to have",
                )
            names = f"{first} and {second}"
            raise InvalidInput(f"{names} are one file and cannot get different capabilities")
    return list(found.values())


def _file_change(files: TopDown, edit: Edit) -> FileChange:
    node = files.lookup(edit.path)
    assert node is not None
    return FileChange(edit.path, edit.asked, files.names(edit.path), capability(node), edit.value, edit.notes)


def _history(verb: str, values: Mapping[bytes, bytes | None]) -> str:
    paths = sorted(values)
    words = [_word(path, values[path]) for path in paths[:MAX_TOLD]]
    more = [f"and {len(paths) - MAX_TOLD} more"] if len(paths) > MAX_TOLD else []
    return " ".join(["caplet", verb, *words, *more])


def _word(path: bytes, value: bytes | None) -> str:
    """As an argument of `caplet grant` would say it. A configuration's JSON has no room for bytes that are not UTF-8."""
    name = path.decode("utf-8", "backslashreplace")
    return name if value is None else f"{name}={FileCaps.decode(value)}"


# Many images


def _selected(index: Index, platforms: Sequence[Platform]) -> set[Digest]:
    if not platforms:
        return {image.digest for image in index.images()}
    return {index.select(platform).digest for platform in platforms}


def _with_stale(done: Change) -> Change:
    if not done.changed:
        return done
    old = {done.before.digest} | {one.before.digest for one in done.images if one.before is not one.after}
    dropped = {one.digest for one in done.dropped}
    found = [one for one in attached(done.before.source, old) if one.descriptor.digest not in dropped]
    return Change(done.before, done.after, done.images, tuple(found))
