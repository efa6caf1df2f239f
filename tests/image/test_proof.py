# SPDX-License-Identifier: Apache-2.0
"""Whoever reads a layer proves it, though the archive in it ends before the blob does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.layouts import Layout, file, tar

from caplet.errors import ImageError
from caplet.image.image import Image, open_image
from caplet.image.rootfs import Rootfs
from caplet.image.tarreader import TarReader
from caplet.image.topdown import TopDown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

READERS: dict[str, Callable[[Image], object]] = {
    "the entries": lambda image: list(TarReader(image.layers[0].chunks())),
    "the whole file system": lambda image: Rootfs(image.layers),
    "a path": lambda image: TopDown(image.layers, lambda _: True).lookup(b"/x"),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_a_reader_refuses_a_layer_whose_last_byte_is_another(
    read: Callable[[Image], object], compression: str, tmp_path: Path
) -> None:
    layout = Layout(str(tmp_path))
    layout.image([tar([file("x", b"content")])], compression=compression)
    path = layout.blob_path(layout.manifest()["layers"][0]["digest"])
    with open(path, "r+b") as blob:
        blob.seek(-1, 2)
        last = blob.read(1)[0]
        blob.seek(-1, 2)
        blob.write(bytes((last ^ 1,)))
    image = open_image(f"oci:{tmp_path}")
    assert isinstance(image, Image)
    with pytest.raises(ImageError):
        read(image)
