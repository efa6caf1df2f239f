# SPDX-License-Identifier: Apache-2.0
"""A layer that is made is what its digests say, goes to a file when it is large, and leaves nothing behind."""

from __future__ import annotations

import gzip
import hashlib
import os
import threading
from typing import TYPE_CHECKING

import pytest

from caplet.errors import ImageError
from caplet.image import newlayer
from caplet.image.blobs import InMemory, Stored
from caplet.image.compression import Compression
from caplet.image.descriptor import DOCKER_MANIFEST, OCI_MANIFEST
from caplet.image.newlayer import LayerWriter, NewLayer, compression_of

if TYPE_CHECKING:
    from pathlib import Path


def made(data: bytes, kind: Compression, directory: Path | None = None) -> NewLayer:
    with LayerWriter(kind, None if directory is None else str(directory)) as out:
        for start in range(0, len(data), 100_000):
            out.write(data[start : start + 100_000])
        return out.finish()


@pytest.mark.parametrize("kind", Compression)
@pytest.mark.parametrize("size", [0, 1000, 3_000_000], ids=["empty", "small", "large"])
def test_digests(tmp_path: Path, kind: Compression, size: int) -> None:
    data = os.urandom(size)
    layer = made(data, kind, tmp_path)
    blob = layer.blob.read(0, layer.size)
    assert layer.digest.hex == hashlib.sha256(blob).hexdigest()
    assert layer.diff_id.hex == hashlib.sha256(data).hexdigest()
    assert len(blob) == layer.size == layer.blob.size
    assert isinstance(layer.blob, Stored if size > newlayer.IN_MEMORY else InMemory)
    assert os.listdir(tmp_path) == [], "the temporary file has no name"
    if kind in (Compression.STORED, Compression.GZIP):
        assert gzip.decompress(blob) == data


def test_the_temporary_file_goes_with_the_layer(tmp_path: Path) -> None:
    layer = made(os.urandom(2_000_000), Compression.PLAIN, tmp_path)
    assert isinstance(layer.blob, Stored)
    fd = layer.blob.file.fd
    os.fstat(fd)
    del layer
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)


def test_no_room(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot write a temporary file"):
        made(os.urandom(2_000_000), Compression.PLAIN, tmp_path / "none")


def test_given_up(tmp_path: Path) -> None:
    """A writer that is left early ends its threads and its file."""
    with LayerWriter(Compression.GZIP, str(tmp_path)) as out:
        out.write(os.urandom(5_000_000))
    assert os.listdir(tmp_path) == []
    assert not [one for one in threading.enumerate() if one.name.startswith("caplet")]


@pytest.mark.parametrize(
    ("kind", "oci", "docker"),
    [
        (Compression.STORED, "layer.v1.tar+gzip", "rootfs.diff.tar.gzip"),
        (Compression.GZIP, "layer.v1.tar+gzip", "rootfs.diff.tar.gzip"),
        (Compression.ZSTD, "layer.v1.tar+zstd", "rootfs.diff.tar.zstd"),
        (Compression.PLAIN, "layer.v1.tar", "rootfs.diff.tar"),
    ],
)
def test_media_types(kind: Compression, oci: str, docker: str) -> None:
    layer = made(b"", kind)
    for family, ending in ((OCI_MANIFEST, oci), (DOCKER_MANIFEST, docker)):
        media_type = layer.descriptor(family).media_type
        assert media_type.endswith(f"image.{ending}")
        assert compression_of(media_type) is {Compression.STORED: Compression.GZIP}.get(kind, kind)
