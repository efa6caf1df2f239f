# SPDX-License-Identifier: Apache-2.0
"""Writes an image into an OCI layout directory: a new one appears whole, an existing one gains a tag.

A new layout is built beside its place and renamed. Into an existing one each blob is renamed when it is whole, and
index.json is replaced last, under a lock (flock(2) on the directory), so that writers side by side lose nothing.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from typing import TYPE_CHECKING, Any

from caplet.errors import ImageError, InvalidInput
from caplet.image import jsontext
from caplet.image.blobs import Stored, open_regular
from caplet.image.descriptor import OCI_INDEX, REF_NAME, Descriptor
from caplet.image.layout import (
    INDEX_FILE,
    LAYOUT_FILE,
    LAYOUT_TEXT,
    MAX_INDEX,
    MAX_LAYOUT_FILE,
    check_layout_file,
    names,
    parse_index,
)
from caplet.image.place import place, write_all
from caplet.image.staging import Staging, is_staging, sync_directory, sync_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from caplet.image.blobs import Blob

_IGNORED = frozenset({"lost+found"})
"""What an empty file system has at its root."""
_NOT_RENAMED = frozenset(
    {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS}
)


def write_layout(path: str, tag: str, root: Descriptor, blobs: Iterable[tuple[Descriptor, Blob]]) -> None:
    """Put the blobs into the layout `path` and list `root` under `tag`."""
    listed = list(blobs)
    path = os.path.realpath(path)
    if _is_new(path) and _write_new(path, tag, root, listed):
        return
    _write_into(path, tag, root, listed)


def _is_new(path: str) -> bool:
    """Whether there is nothing yet. Refuses what is there and is no layout."""
    try:
        found = [name for name in os.listdir(path) if name not in _IGNORED and not is_staging(name)]
    except FileNotFoundError:
        return True
    except NotADirectoryError:
        if not os.path.lexists(path):
            return True  # a directory above it is none: making it will say so
        raise ImageError(
            f"{path} exists and is not a directory", "choose another output, or remove it"
        ) from None
    if found and LAYOUT_FILE not in found:
        raise ImageError(
            f"{path} exists and is not an OCI image layout", "choose another output, or remove it"
        )
    return not found


def _write_new(path: str, tag: str, root: Descriptor, blobs: list[tuple[Descriptor, Blob]]) -> bool:
    """Build the layout beside and rename it. False where that cannot be: a mount point, or somebody was faster."""
    if os.path.ismount(path):
        return False
    parent, name = os.path.split(path)
    with Staging(parent, name, directory=True) as staging:
        try:
            staging.create()
        except OSError as error:
            if error.errno in _NOT_RENAMED and os.path.isdir(path):
                return False  # we may write in it, not beside it
            raise
        _like(path, staging.path)
        _fill(staging.path, blobs)
        _write_file(staging.path, LAYOUT_FILE, LAYOUT_TEXT)
        _write_file(staging.path, INDEX_FILE, jsontext.dump(listing(None, _annotations(tag), root)))
        sync_tree(staging.path)
        try:
            # rename(2) replaces an empty directory and nothing else: no race can cost anybody a layout.
            os.rename(staging.path, path)
        except OSError as error:
            if error.errno in _NOT_RENAMED and os.path.isdir(path):
                return False
            raise
        sync_directory(parent)
    return True


def _like(existing: str, new: str) -> None:
    """An empty directory that was made for us keeps its owner and mode."""
    with contextlib.suppress(OSError):
        status = os.stat(existing)
        os.chmod(new, stat.S_IMODE(status.st_mode))
        os.chown(new, status.st_uid, status.st_gid)


def _write_into(path: str, tag: str, root: Descriptor, blobs: list[tuple[Descriptor, Blob]]) -> None:
    """Everything is made ready in a staging directory, where it can fail without a trace; then it is renamed."""
    _check(path)
    with Staging(path, "blobs", directory=True) as staging:
        staging.create()
        absent = [(one, blob) for one, blob in blobs if not _is_there(_blob_path(path, one), path, one, blob)]
        _fill(staging.path, absent)
        sync_tree(staging.path)
        with _lock(path):
            index = listing(_read_index(path), _annotations(tag), root)
            _write_file(staging.path, INDEX_FILE, jsontext.dump(index))
            _write_file(staging.path, LAYOUT_FILE, LAYOUT_TEXT)
            sync_tree(staging.path)
            for descriptor, _ in absent:
                _move(_blob_path(staging.path, descriptor), _blob_path(path, descriptor))
            if not os.path.lexists(os.path.join(path, LAYOUT_FILE)):
                _move(os.path.join(staging.path, LAYOUT_FILE), os.path.join(path, LAYOUT_FILE))
            for directory in _directories(path, absent):
                sync_directory(directory)
            os.rename(os.path.join(staging.path, INDEX_FILE), os.path.join(path, INDEX_FILE))
            sync_directory(path)


def _check(path: str) -> None:
    """An existing layout must be one that we understand; an empty directory becomes one."""
    data = _read(path, LAYOUT_FILE, MAX_LAYOUT_FILE)
    if data is not None:
        check_layout_file(data, path)
        _read_index(path)


def _move(made: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(made, target)
    # rename(2) between two links to the same file does nothing: another writer has linked it there meanwhile.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(made)


def _read_index(path: str) -> dict[str, Any] | None:
    data = _read(path, INDEX_FILE, MAX_INDEX)
    return None if data is None else parse_index(data, f"{path}: {INDEX_FILE}")[0]


def _read(path: str, name: str, limit: int) -> bytes | None:
    try:
        opened = open_regular(os.path.join(path, name), path)
    except FileNotFoundError:
        return None
    if opened.size > limit:
        raise ImageError(f"{path}: {name} has {opened.size} bytes: more than {limit} are refused")
    return Stored(opened, 0, opened.size).read(0, limit)


@contextlib.contextmanager
def _lock(path: str) -> Iterator[None]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks has no writers side by side
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _fill(path: str, blobs: list[tuple[Descriptor, Blob]]) -> None:
    for descriptor, blob in blobs:
        target = _blob_path(path, descriptor)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if not os.path.lexists(target):
            place(blob, target)


def _is_there(target: str, path: str, descriptor: Descriptor, blob: Blob) -> bool:
    try:
        found = open_regular(target, path)
    except (OSError, ImageError):
        return False
    if found.size != descriptor.size:
        return False
    if (
        isinstance(blob, Stored)
        and blob.path
        and os.path.samestat(os.fstat(found.fd), os.fstat(blob.file.fd))
    ):
        return True
    hasher = descriptor.digest.hasher()
    there, at = Stored(found, 0, found.size), 0
    while piece := there.read(at, 1 << 20):
        hasher.update(piece)
        at += len(piece)
    return hasher.hexdigest() == descriptor.digest.hex


def _blob_path(path: str, descriptor: Descriptor) -> str:
    return os.path.join(path, "blobs", descriptor.digest.algorithm, descriptor.digest.hex)


def _write_file(path: str, name: str, data: bytes) -> None:
    fd = os.open(os.path.join(path, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        write_all(fd, data)
    finally:
        os.close(fd)


def _directories(path: str, blobs: list[tuple[Descriptor, Blob]]) -> list[str]:
    below = sorted({os.path.dirname(_blob_path(path, descriptor)) for descriptor, _ in blobs})
    return [*below, *([os.path.join(path, "blobs")] if below else []), path]


def _annotations(tag: str) -> dict[str, str]:
    return {REF_NAME: tag} if tag else {}


def listing(
    raw: Mapping[str, Any] | None, annotations: Mapping[str, str], root: Descriptor
) -> dict[str, Any]:
    """index.json with `root` in the place of what had its name; everything else stays.

    Without a name it takes the place of the only other entry without one. Beside tagged images that is refused: a reader
    that gives no tag could no longer tell which image is meant.
    """
    entry = Descriptor(root.media_type, root.digest, root.size, annotations, root.platform)
    if raw is None:
        return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.to_json()]}
    tag = annotations.get(REF_NAME, "")
    entries = list(raw["manifests"])
    described = [Descriptor.from_json(one) for one in entries]
    if tag:
        same = [place for place, one in enumerate(described) if tag in names(one)]
    else:
        same = [place for place, one in enumerate(described) if not names(one) and not one.is_attestation]
        _refuse_untagged(described)
    if same:
        entries[same[0]] = entry.to_json()
        entries = [one for place, one in enumerate(entries) if place not in same[1:]]
    else:
        entries.append(entry.to_json())
    return {**raw, "manifests": entries}


def _refuse_untagged(described: list[Descriptor]) -> None:
    tags = sorted({names(one)[0] for one in described if names(one)})
    if tags:
        raise InvalidInput(
            f"the output already holds tagged images ({', '.join(tags[:5])}): say under which tag to add this one",
            f"write oci:DIR:TAG, as oci:DIR:{tags[0]} to replace it",
        )
