# SPDX-License-Identifier: Apache-2.0
"""Copies an image to where a reference says: every blob proved, none decompressed, the output whole or not there.

A blob that was read in the same call is not read again (`blobs.Proof`); the others are hashed first, on threads. Then
they are linked, cloned or copied (`place`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, ImageError, InvalidInput
from caplet.image import jsontext
from caplet.image.archivewriter import docker_manifest, docker_names, write_archive
from caplet.image.blobs import BlobSource, InMemory, Overlay, VerifiedReader, read_blob
from caplet.image.descriptor import FOREIGN_LAYERS, INDEXES, MANIFESTS, REF_NAME, Descriptor, Digest
from caplet.image.destination import parse_destination
from caplet.image.image import Image, Index, open_image
from caplet.image.layout import MAX_INDEX, MAX_NESTING, parse_index
from caplet.image.layoutwriter import listing, write_layout
from caplet.image.reference import Reference, Transport
from caplet.image.staging import Staging, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from caplet.image.blobs import Blob

PROVERS = min(4, os.cpu_count() or 1)
"""Threads that hash what nobody has read yet."""
THREADS_FROM = 4 << 20
"""Less than 4 MiB is hashed before a thread has started."""


def write_image(image: Image | Index, destination: Reference | str) -> Descriptor:
    """Write the image and all that belongs to it; the descriptor of what stands there now.

    `oci:DIR[:TAG]` makes a layout, or adds to the one that is there (the tag is replaced). An archive is one image: an
    existing one is replaced if it holds no other, another file never.
    """
    if isinstance(destination, str):
        destination = parse_destination(destination)
    if destination.digest is not None or destination.index is not None:
        raise InvalidInput(f"{destination}: an output is named by a tag, not by a digest or number")
    with _as_interrupt(signal.SIGTERM, signal.SIGHUP), _explained(destination):
        blobs = [(descriptor, image.source.find(descriptor)) for descriptor in parts(image)]
        _prove(image.source, [descriptor for descriptor, _ in blobs])
        if destination.transport is Transport.OCI:
            write_layout(destination.path, destination.tag, image.descriptor, blobs)
        else:
            _write_archive(image, destination, blobs)
    return image.descriptor


def spool_directory(destination: Reference) -> str:
    """Where temporary files for an output belong: on its file system, which has room for it."""
    return os.path.dirname(os.path.realpath(destination.path)) or "/"


def parts(image: Image | Index) -> Iterator[Descriptor]:
    """Every blob that belongs to the image, each once, before what refers to it. What the source never had is left out."""
    yield from _parts(image.source, image.descriptor, MAX_NESTING + 1, set())


def _parts(
    source: BlobSource, descriptor: Descriptor, nesting: int, seen: set[Digest]
) -> Iterator[Descriptor]:
    if descriptor.digest in seen:
        return
    seen.add(descriptor.digest)
    what = f"manifest {descriptor.digest}"
    if descriptor.media_type in INDEXES and nesting > 0:
        data = read_blob(source, descriptor, MAX_INDEX, "index")
        for entry in parse_index(data, what, descriptor.media_type)[1]:
            if source.has(entry):
                yield from _parts(source, entry, nesting - 1, seen)
    elif descriptor.media_type in MANIFESTS:
        data = read_blob(source, descriptor, MAX_INDEX, "manifest")
        for blob in _referred(source, jsontext.parse_object(data, what), what):
            if blob.digest not in seen:
                seen.add(blob.digest)
                yield blob
    yield descriptor


def _referred(source: BlobSource, raw: jsontext.Object, what: str) -> Iterator[Descriptor]:
    """Layers and configuration of a manifest, also of one that is no image."""
    for layer in jsontext.objects(raw, "layers", what):
        found = Descriptor.from_json(layer, f"{what}: layer")
        if source.has(found) or found.media_type not in FOREIGN_LAYERS:
            yield found
    yield Descriptor.from_json(raw.get("config"), f"{what}: config")


def _prove(source: BlobSource, descriptors: list[Descriptor]) -> None:
    """Read what was not read yet, on threads. ImageError if a blob is wrong."""
    # The largest first, so that no thread begins it when the others are done.
    unproved = sorted((one for one in descriptors if not is_proved(source, one)), key=lambda one: one.size)
    errors: list[BaseException] = []
    stop = threading.Event()

    def work() -> None:
        try:
            while unproved and not stop.is_set():
                _read_through(source, unproved.pop(), stop)
        except IndexError:
            pass  # another thread took the last one
        except BaseException as error:  # noqa: BLE001
            errors.append(error)
            stop.set()

    helpers = [threading.Thread(target=work, name="caplet-prove", daemon=True) for _ in range(PROVERS - 1)]
    if sum(one.size for one in unproved) < THREADS_FROM:
        helpers = []
    for helper in helpers:
        helper.start()
    try:
        work()
        for helper in helpers:
            helper.join()
    finally:
        stop.set()
    if errors:
        raise errors[0]


def is_proved(source: BlobSource, descriptor: Descriptor) -> bool:
    """Whether these bytes, in this file, were already read and found right, or were made by ourselves."""
    if isinstance(source, Overlay) and descriptor.digest in source.new:
        return True
    if descriptor.digest not in source.proofs:
        return False
    blob = source.find(descriptor)
    return isinstance(blob, InMemory) or blob.proof() == source.proofs[descriptor.digest]


def _read_through(source: BlobSource, descriptor: Descriptor, stop: threading.Event) -> None:
    with VerifiedReader(source, descriptor) as reader:
        while reader.next() and not stop.is_set():
            pass


def _write_archive(
    image: Image | Index, destination: Reference, blobs: list[tuple[Descriptor, Blob]]
) -> None:
    path = os.path.realpath(destination.path)
    _refuse_other_file(path, destination)
    index = listing(None, {REF_NAME: destination.tag} if destination.tag else {}, image.descriptor)
    docker: Any = None
    if destination.transport is Transport.DOCKER_ARCHIVE:
        if isinstance(image, Index):
            raise InvalidInput(
                "a Docker archive holds an image of one platform",
                "write oci-archive:FILE, or begin with an image of one platform",
            )
        config = Descriptor.from_json(image.manifest["config"])
        docker = docker_manifest(config, [layer.descriptor for layer in image.layers], destination.tag)
        index = listing(None, docker_names(destination.tag), image.descriptor)
    parent, name = os.path.split(path)
    with Staging(parent, name, directory=False) as staging:
        staging.create()
        write_archive(staging.fd, index, docker, blobs)
        os.fsync(staging.fd)
        os.rename(staging.path, path)
        sync_directory(parent)


def _refuse_other_file(path: str, destination: Reference) -> None:
    """Replace only what is the same kind of thing: one image in an archive of the same kind."""
    if not os.path.lexists(path):
        return
    hint = "choose another output, or remove it"
    if not os.path.isfile(path):
        raise ImageError(f"{path} exists and is not a regular file", hint)
    try:
        open_image(Reference(destination.transport, path))
    except CapletError as error:
        raise ImageError(
            f"{path} exists and is not one image in an archive that could be replaced: {error.message}", hint
        ) from None


@contextlib.contextmanager
def _explained(destination: Reference) -> Iterator[None]:
    """An error of the file system in one line, with what to do."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "")
        raise ImageError(f"cannot write {destination}: {error.strerror or error}", hint) from None


_HINTS = {
    errno.ENOSPC: "free some space there, or choose another output; nothing was left behind",
    errno.EDQUOT: "the disk quota is used up there; choose another output; nothing was left behind",
    errno.EFBIG: "the limit on file sizes (ulimit -f) is too low for this image",
    errno.EROFS: "the file system is mounted read-only; choose another output",
    errno.EACCES: "this user may not write there; choose another output",
    errno.EPERM: "this user may not write there; choose another output",
    errno.ENOENT: "make the directory that is to hold it first",
}


@contextlib.contextmanager
def _as_interrupt(*signals: signal.Signals) -> Iterator[None]:
    """Let SIGTERM end a write as ^C does: with what was begun removed. Only where nobody else handles it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    mine = [one for one in signals if signal.getsignal(one) is signal.SIG_DFL]
    for one in mine:
        signal.signal(one, interrupt)
    try:
        yield
    finally:
        for one in mine:
            signal.signal(one, signal.SIG_DFL)
