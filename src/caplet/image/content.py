# SPDX-License-Identifier: Apache-2.0
"""The content of a layer: decompressed, and proved while it is read.

Three digests' worth of work meets here: the blob's, the decompression, the diff_id's. A helper thread hashes while the
caller's thread decompresses and parses (hashlib and isal both release the interpreter's lock), so on two processors
the proof costs next to nothing.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

from caplet.errors import ImageError
from caplet.image.blobs import CHUNK, VerifiedReader
from caplet.image.compression import decompressed
from caplet.image.descriptor import OCI_LAYER, OCI_NONDISTRIBUTABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from hashlib import _Hash

    from caplet.image.blobs import BlobSource
    from caplet.image.descriptor import Descriptor, Digest

QUEUE = 16
"""Pieces that wait for the helper: 4 MiB at most are held, and a stall of one side does not reach the other."""
THREAD_FROM = 4 * CHUNK
"""Smaller blobs are hashed in place: starting a thread takes longer."""


_PLAIN = frozenset({OCI_LAYER, OCI_NONDISTRIBUTABLE})
"""Where containerd takes the media type's word that nothing is compressed (core/images/mediatypes.go, DiffCompression);
of all other types it looks at the first bytes."""


def layer_chunks(source: BlobSource, descriptor: Descriptor, diff_id: Digest, what: str) -> Iterator[bytes]:
    """The uncompressed tar in pieces. The last step raises ImageError if the blob or the content was not right."""
    blob_hash, content_hash = descriptor.digest.hasher(), diff_id.hasher()
    reader = VerifiedReader(source, descriptor)
    worker: _Inline = _Helper() if descriptor.size >= THREAD_FROM else _Inline()
    sniff = descriptor.media_type not in _PLAIN
    try:
        for piece in decompressed(_Hashed(reader, blob_hash, worker), sniff=sniff):
            worker.update(content_hash, piece)
            yield piece
        worker.drain()
        reader.finish(blob_hash.hexdigest())
        found = content_hash.hexdigest()
    except ImageError as error:
        # A broken stream of a blob that is not what its digest says is a wrong blob, not a wrong layer.
        raise ImageError(f"{source.name}: {what} {descriptor.digest}: {error.message}", error.hint) from None
    finally:
        worker.close()
        reader.close()
    if found != diff_id.hex:
        raise ImageError(
            f"{source.name}: the content of {what} does not match its diff_id: {diff_id} expected, {found} found"
        )


class _Hashed:
    """The blob as `decompressed` reads it, each piece given to the hash on its way."""

    def __init__(self, reader: VerifiedReader, into: _Hash, worker: _Inline) -> None:
        self._reader = reader
        self._into = into
        self._worker = worker

    def read(self, size: int, /) -> bytes:
        piece = self._reader.fetch(size)
        self._worker.update(self._into, piece)
        return piece


class _Inline:
    """Hashes at once, on the caller's thread."""

    def update(self, into: _Hash, piece: bytes) -> None:
        into.update(piece)

    def drain(self) -> None:
        """Everything given so far is hashed when this returns."""

    def close(self) -> None:
        """End promptly, whether or not everything was hashed."""


class _Helper(_Inline):
    """Hashes on a thread of its own, in the order given."""

    def __init__(self) -> None:
        self._work: queue.Queue[tuple[_Hash, bytes] | None] = queue.Queue(QUEUE)
        self._stop = False
        # A daemon: a generator that is never finished must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="caplet-hash", daemon=True)
        self._thread.start()

    def update(self, into: _Hash, piece: bytes) -> None:
        self._work.put((into, piece))

    def drain(self) -> None:
        self._work.put(None)
        self._thread.join()

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._stop = True
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            if not self._stop:
                into, piece = work
                into.update(piece)
