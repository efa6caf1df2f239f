# SPDX-License-Identifier: Apache-2.0
"""Checks every invariant of an image: what is broken comes back as a list of sentences, empty for a valid image.

It reads everything: digests and sizes of all blobs, the diff_ids and tar headers of all layers, the documents' agreement
with each other. Opening the image already refused what is not an image at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import CapletError
from caplet.image.blobs import chunks
from caplet.image.copy import parts
from caplet.image.descriptor import ATTESTS_DIGEST, DOCKER_MANIFEST, MANIFESTS
from caplet.image.image import Image, open_index, open_manifest
from caplet.image.layer import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.descriptor import Descriptor
    from caplet.image.image import Index, Layer


def validate(image: Image | Index) -> list[str]:
    """What is wrong with the image or index, sentence by sentence."""
    found = list(_blobs(image))
    if found:
        return found  # documents that are not what their digest says need no further look
    if isinstance(image, Image):
        return list(_image(image))
    return list(_index(image))


def _blobs(image: Image | Index) -> Iterator[str]:
    """Every blob is there, of its size and digest."""
    try:
        for descriptor in parts(image):
            yield from _blob(image, descriptor)
    except CapletError as error:
        yield error.message


def _blob(image: Image | Index, descriptor: Descriptor) -> Iterator[str]:
    try:
        for _ in chunks(image.source, descriptor):
            pass
    except CapletError as error:
        yield error.message


def _image(image: Image) -> Iterator[str]:
    name = f"image {image.digest}"
    # Opened again from its blobs: the object in hand must be what the source says.
    if open_manifest(image.source, image.descriptor).manifest != image.manifest:
        yield f"{name}: the manifest is not the one that its digest names"
    yield from _family(image, name)
    yield from _history(image, name)
    if not image.platform.os or not image.platform.architecture:
        yield f"{name}: its configuration lacks 'os' or 'architecture'"
    for layer in image.layers:
        yield from _layer(layer, name)


def _family(image: Image, name: str) -> Iterator[str]:
    """A Docker manifest holds Docker's types only: engines that know just those read it."""
    described = [
        image.manifest["config"]["mediaType"],
        *(layer.descriptor.media_type for layer in image.layers),
    ]
    if image.descriptor.media_type == DOCKER_MANIFEST:
        for media_type in described:
            if not media_type.startswith("application/vnd.docker."):
                yield f"{name}: a Docker manifest with the media type {media_type}"
    if image.manifest.get("mediaType", image.descriptor.media_type) != image.descriptor.media_type:
        yield f"{name}: the manifest's own media type differs from its descriptor's"


def _history(image: Image, name: str) -> Iterator[str]:
    steps, layers = len(image.config.layer_history), len(image.layers)
    if image.config.history and steps != layers:
        yield f"{name}: its history has {steps} steps that made a layer, but there are {layers} layers"


def _layer(layer: Layer, name: str) -> Iterator[str]:
    """The content has its diff_id and is a whole tar archive."""
    try:
        for _ in TarReader(layer.chunks()):
            pass
    except CapletError as error:
        yield f"{name}: layer {layer.index}: {error.message}"


def _index(index: Index) -> Iterator[str]:
    name = f"index {index.digest}"
    if open_index(index.source, index.descriptor).raw != index.raw:
        yield f"{name}: it is not the index that its digest names"
    listed = {child.descriptor.digest for child in index.children}
    for child in index.children:
        if child.image is not None:
            yield from _image(child.image)
            platform = child.descriptor.platform
            if platform is not None and not platform.matches(child.image.platform):
                yield f"{name}: lists {child.descriptor.digest} for {platform}, which is for {child.image.platform}"
        about = child.descriptor.annotations.get(ATTESTS_DIGEST)
        if child.descriptor.is_attestation and about not in {str(digest) for digest in listed}:
            yield f"{name}: the attestation {child.descriptor.digest} is about {about}, which is not listed"
        if (
            child.descriptor.media_type in MANIFESTS
            and not child.absent
            and not index.source.has(child.descriptor)
        ):
            yield f"{name}: {child.descriptor.digest} is missing"
