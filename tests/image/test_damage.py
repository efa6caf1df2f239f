# SPDX-License-Identifier: Apache-2.0
"""A damaged blob is the reason that is told, a whole one that was made wrong keeps its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, Layout, file

from caplet.errors import ImageError, InvalidInput
from caplet.image.damage import naming
from caplet.image.image import Image, open_image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "layout"))
    made.image([[file("app", ELF * 1000)]])
    return made


def opened(layout: Layout) -> Image:
    image = open_image(f"oci:{layout.path}")
    assert isinstance(image, Image)
    return image


def test_a_whole_layer_has_no_damage_and_its_error_stays(layout: Layout) -> None:
    layer = opened(layout).layers[0]
    assert layer.damage() is None
    with pytest.raises(InvalidInput, match=r"^layer 0: odd$") as caught, naming(0, layer):
        raise InvalidInput("odd", "do otherwise")
    assert caught.value.hint == "do otherwise"


def test_the_damage_comes_before_what_it_leads_to(layout: Layout) -> None:
    image = opened(layout)
    path = layout.blob_path(str(image.layers[0].descriptor.digest))
    with open(path, "r+b") as blob:
        blob.seek(20)
        blob.write(b"\xff")
    with (
        pytest.raises(ImageError, match=r"^layer 0: a blob does not match its digest: ") as caught,
        naming(0, image.layers[0]),
    ):
        raise InvalidInput("tar header: wrong checksum")
    assert caught.value.hint == f"oci:{layout.path} is damaged: copy it again from where it came"


def test_a_blob_that_is_gone_meanwhile_is_told(layout: Layout) -> None:
    image = opened(layout)
    os.unlink(layout.blob_path(str(image.layers[0].descriptor.digest)))
    with (
        pytest.raises(ImageError, match=r"^layer 0: the blob sha256:.* is missing$"),
        naming(0, image.layers[0]),
    ):
        raise InvalidInput("odd")


def test_an_error_that_names_its_layer_names_it_once() -> None:
    with pytest.raises(ImageError, match=r"^oci:x: the content of layer 1 is odd$"), naming(1):
        raise ImageError("oci:x: the content of layer 1 is odd")
