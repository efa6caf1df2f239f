# SPDX-License-Identifier: Apache-2.0
"""A layer that is being made: a stream of tar bytes becomes a compressed blob with its two digests.

The bytes go to an anonymous temporary file, which no crash can leave behind; a layer is never held in memory.
"""

from __future__ import annotations

import errno
import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from caplet.errors import ImageError
from caplet.image.blobs import InMemory, OpenFile, Stored
from caplet.image.compression import Compression
from caplet.image.compressor import compressor
from caplet.image.descriptor import DOCKER_LAYER, DOCKER_MANIFEST, OCI_LAYER, Descriptor, Digest
from caplet.image.place import write_all

if TYPE_CHECKING:
    from caplet.image.blobs import Blob

IN_MEMORY = 1 << 20
"""Up to 1 MiB stays in memory: most layers that give one file a capability need no temporary file."""

_SUFFIX = {
    Compression.STORED: ("+gzip", ".gzip"),
    Compression.GZIP: ("+gzip", ".gzip"),
    Compression.ZSTD: ("+zstd", ".zstd"),
    Compression.PLAIN: ("", ""),
}


def layer_type(compression: Compression, manifest_type: str) -> str:
    """The media type of a layer in a manifest of that family."""
    oci, docker = _SUFFIX[compression]
    return DOCKER_LAYER + docker if manifest_type == DOCKER_MANIFEST else OCI_LAYER + oci


def compression_of(media_type: str) -> Compression:
    """How a layer of that media type is compressed: what to choose for one that takes its place."""
    for ending, compression in (("gzip", Compression.GZIP), ("zstd", Compression.ZSTD)):
        if media_type.endswith(ending):
            return compression
    return Compression.PLAIN


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A finished layer that no image holds yet."""

    compression: Compression
    digest: Digest
    size: int
    diff_id: Digest
    blob: Blob

    def descriptor(self, manifest_type: str) -> Descriptor:
        return Descriptor(layer_type(self.compression, manifest_type), self.digest, self.size)


class LayerWriter:
    """`with LayerWriter(...) as out:` give `out.write` the tar's bytes, then `out.finish()`.

    `directory` is where the temporary file may lie: beside the output, where there is room for it
    (`copy.spool_directory`).
    """

    def __init__(self, compression: Compression = Compression.STORED, directory: str | None = None) -> None:
        self.compression = compression
        self._directory = directory
        self._compressor = compressor(compression)
        self._content = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._memory = bytearray()
        self._file: OpenFile | None = None
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._compressor.close()

    def write(self, data: bytes) -> None:
        self._content.update(data)
        self._store(self._compressor.write(data))

    def finish(self) -> NewLayer:
        self._store(self._compressor.finish())
        blob = InMemory(bytes(self._memory)) if self._file is None else Stored(self._file, 0, self._size)
        return NewLayer(
            self.compression,
            Digest("sha256", self._packed.hexdigest()),
            self._size,
            Digest("sha256", self._content.hexdigest()),
            blob,
        )

    def _store(self, packed: bytes) -> None:
        self._packed.update(packed)
        self._size += len(packed)
        if self._file is None:
            self._memory += packed
            if len(self._memory) > IN_MEMORY:
                self._spill()
            return
        self._write(self._file, packed)

    def _spill(self) -> None:
        """From here on the layer grows in a file."""
        try:
            self._file = OpenFile(_anonymous(self._directory))
        except OSError as error:
            raise self._error(error) from None
        self._write(self._file, self._memory)
        self._memory = bytearray()

    def _write(self, file: OpenFile, data: bytes | bytearray) -> None:
        try:
            write_all(file.fd, data)
        except OSError as error:
            raise self._error(error) from None

    def _error(self, error: OSError) -> ImageError:
        where = f"in {self._directory}" if self._directory else "(TMPDIR)"
        return ImageError(f"cannot write a temporary file {where}: {error.strerror}")


def _anonymous(directory: str | None) -> int:
    """A file without a name, which `place` can give one: not with O_EXCL, as tempfile opens it (open(2), O_TMPFILE)."""
    import tempfile  # loads random and more; most layers are small

    directory = directory or tempfile.gettempdir()
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
            raise
    with tempfile.TemporaryFile(dir=directory, buffering=0) as opened:  # unlinked at once
        return os.dup(opened.fileno())
