# SPDX-License-Identifier: Apache-2.0
"""The content of a layer: decompressed, and proved while it is read.

Decompression and hashing release the interpreter's lock. Where a processor is free for it, a thread decompresses ahead
while the caller's thread hashes and parses, so that one layer keeps two processors busy; where several layers are read
side by side, each stays on its caller's thread, which spares the handing over.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from caplet.errors import ImageError
from caplet.image.blobs import CHUNK, VerifiedReader
from caplet.image.compression import decompressed
from caplet.image.descriptor import OCI_LAYER, OCI_NONDISTRIBUTABLE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from caplet.image.blobs import BlobSource
    from caplet.image.descriptor import Descriptor, Digest

BATCH = 4
"""Pieces handed over at once: waking a thread for each would cost more than the work between."""
AHEAD = 4
"""Batches that wait for the caller: 4 MiB at most are held, and a stall of one side does not reach the other."""
AHEAD_FROM = 4 * CHUNK
"""Smaller blobs are decompressed in place: starting a thread takes longer."""

_PLAIN = frozenset({OCI_LAYER, OCI_NONDISTRIBUTABLE})
"""Where containerd takes the media type's word that nothing is compressed (core/images/mediatypes.go, DiffCompression);
of all other types it looks at the first bytes."""

_Step: TypeAlias = "tuple[list[bytes], bytes]"
"""Pieces of the blob, and a piece of the content that came out of them; an empty one at the end."""


def layer_chunks(source: BlobSource, descriptor: Descriptor, diff_id: Digest, what: str) -> Iterator[bytes]:
    """The uncompressed tar in pieces. The last step raises ImageError if the blob or the content was not right."""
    blob_hash, content_hash = descriptor.digest.hasher(), diff_id.hasher()
    reader = VerifiedReader(source, descriptor)
    threads = _threads.take(2 if descriptor.size >= AHEAD_FROM else 1)
    steps = _steps(reader, sniff=descriptor.media_type not in _PLAIN)
    if threads == 2:
        steps = _ahead(steps)
    try:
        for taken, piece in steps:
            for part in taken:
                blob_hash.update(part)
            if piece:
                content_hash.update(piece)
                yield piece
        reader.finish(blob_hash.hexdigest())
        found = content_hash.hexdigest()
    except ImageError as error:
        said = error.message.removeprefix(f"{source.name}: ")
        raise ImageError(f"{source.name}: {what} {descriptor.digest}: {said}", error.hint) from None
    finally:
        steps.close()
        reader.close()
        _threads.give_back(threads)
    if found != diff_id.hex:
        raise ImageError(
            f"{source.name}: the content of {what} does not match its diff_id: {diff_id} expected, {found} found"
        )


class _Threads:
    """How many threads read layers now: a second one for a layer needs a processor of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._busy = 0
        self._expected = 0
        self._processors = os.cpu_count() or 1

    def expect(self, readers: int) -> None:
        """So many more threads will each read a layer, or (negative) have done so."""
        with self._lock:
            self._expected += readers

    def take(self, wanted: int) -> int:
        """As many as wanted where they are free, else the caller's one."""
        with self._lock:
            got = wanted if max(self._busy, self._expected) + wanted <= self._processors else 1
            self._busy += got
            return got

    def give_back(self, got: int) -> None:
        with self._lock:
            self._busy -= got


_threads = _Threads()


@contextmanager
def side_by_side(readers: int) -> Iterator[None]:
    """So many threads are about to read layers: the first one is not to take the processor that another will need."""
    _threads.expect(readers)
    try:
        yield
    finally:
        _threads.expect(-readers)


class _Taking:
    """The blob as `decompressed` reads it; remembers what it gave."""

    def __init__(self, reader: VerifiedReader) -> None:
        self._reader = reader
        self._taken: list[bytes] = []

    def read(self, size: int, /) -> bytes:
        piece = self._reader.fetch(size)
        self._taken.append(piece)
        return piece

    def taken(self) -> list[bytes]:
        """What it gave since the last call."""
        taken, self._taken = self._taken, []
        return taken


def _steps(reader: VerifiedReader, *, sniff: bool) -> Generator[_Step, None, None]:
    stream = _Taking(reader)
    for piece in decompressed(stream, sniff=sniff):
        yield stream.taken(), piece
    yield stream.taken(), b""


def _ahead(steps: Iterator[_Step]) -> Generator[_Step, None, None]:
    """The same steps, made on a thread of their own before they are asked for. What they raise is raised here."""
    ready: SimpleQueue[list[_Step] | BaseException | None] = SimpleQueue()
    room = threading.Semaphore(AHEAD)
    abandoned = threading.Event()

    def run() -> None:
        batch: list[_Step] = []
        try:
            for step in steps:
                batch.append(step)
                if len(batch) < BATCH:
                    continue
                room.acquire()
                if abandoned.is_set():
                    return
                ready.put(batch)
                batch = []
            ready.put(batch)
            ready.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the steps are used
            ready.put(batch)
            ready.put(error)

    # A daemon: an iterator that nobody finishes must not keep the interpreter from ending.
    thread = threading.Thread(target=run, name="caplet-decompress", daemon=True)
    thread.start()
    try:
        while (batch := ready.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            room.release()
            yield from batch
    finally:
        abandoned.set()
        room.release()
        thread.join()
