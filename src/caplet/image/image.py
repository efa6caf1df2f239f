# SPDX-License-Identifier: Apache-2.0
"""Images and indexes: immutable views over a source of blobs, changed by functions that return another one.

An `Image` is for one platform, an `Index` lists many. Changing one puts new blobs over the old (`blobs.Overlay`);
nothing is written before `copy.write_image`. `open_image` finds what a reference names.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from caplet.errors import ImageError, InvalidInput
from caplet.image import jsontext
from caplet.image.archive import MAX_LAYERS, DockerArchive, OciArchive
from caplet.image.blobs import InMemory, Nothing, Overlay, read_blob
from caplet.image.compression import Compression
from caplet.image.config import MAX_CONFIG, History, ImageConfig
from caplet.image.content import layer_chunks
from caplet.image.damage import damage
from caplet.image.descriptor import (
    ATTESTS_DIGEST,
    CONFIGS,
    DOCKER_MANIFEST,
    INDEXES,
    LAYERS,
    MANIFESTS,
    OCI_CONFIG,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Digest,
    Platform,
)
from caplet.image.layout import (
    MAX_INDEX,
    MAX_NESTING,
    LayoutDirectory,
    check_kind,
    check_media_type,
    parse_index,
)
from caplet.image.reference import Reference, Transport, parse_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from caplet.image.blobs import Blob, BlobSource
    from caplet.image.newlayer import NewLayer

MAX_IMAGES = 1024
"""Images of one index: a hostile one of 4 MiB could name 20,000 and have each read."""

_MANIFEST_FIELDS = (
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "subject",
    "annotations",
)
_SOURCES: dict[Transport, Callable[[Reference], BlobSource]] = {
    Transport.OCI: LayoutDirectory,
    Transport.OCI_ARCHIVE: OciArchive,
    Transport.DOCKER_ARCHIVE: DockerArchive,
}


@dataclass(frozen=True, eq=False, slots=True)
class Layer:
    """One layer of an image: where its blob is, and what its content must be."""

    source: BlobSource
    descriptor: Descriptor
    diff_id: Digest
    index: int
    """From the lowest, which is 0."""

    @property
    def size(self) -> int:
        """Bytes of the blob."""
        return self.descriptor.size

    def chunks(self) -> Iterator[bytes]:
        """The uncompressed tar, proved against the blob's digest and size and the diff_id: ImageError where it differs."""
        return layer_chunks(self.source, self.descriptor, self.diff_id, f"layer {self.index}")

    def damage(self) -> ImageError | None:
        """What is wrong with the blob's bytes; None where they are those of the digest."""
        return damage(self.source, self.descriptor)


@dataclass(frozen=True, eq=False)
class Image:
    """An image for one platform."""

    source: BlobSource
    descriptor: Descriptor
    manifest: Mapping[str, Any]
    """The manifest's JSON as it is."""
    config: ImageConfig
    layers: tuple[Layer, ...]
    """The lowest first."""

    @property
    def platform(self) -> Platform:
        return self.config.platform

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    def append(self, layer: NewLayer, history: History) -> Image:
        """The image with one more layer on top."""
        config = self.config.with_layer(layer.diff_id, history)
        described = [*self.manifest["layers"], self._describe(layer).to_json()]
        return self._changed({**self.manifest, "layers": described}, config, {layer.digest: layer.blob})

    def replace(self, index: int, layer: NewLayer, history: History) -> Image:
        """The image with another layer in the place of layer `index`; `history` is added as a step without a layer."""
        config = self.config.with_layer_replaced(index, layer.diff_id, history)
        described = list(self.manifest["layers"])
        described[index] = self._describe(layer).to_json()
        return self._changed({**self.manifest, "layers": described}, config, {layer.digest: layer.blob})

    def with_config(self, config: ImageConfig) -> Image:
        """The image with another configuration for the same layers."""
        if config.diff_ids != self.config.diff_ids:
            raise InvalidInput("the configuration is for other layers")
        return self._changed(self.manifest, config, {})

    def _describe(self, layer: NewLayer) -> Descriptor:
        if self.descriptor.media_type == DOCKER_MANIFEST and layer.compression is Compression.ZSTD:
            raise InvalidInput("a Docker manifest (schema 2) cannot hold a zstd layer", "choose gzip")
        return layer.descriptor(self.descriptor.media_type)

    def _changed(
        self, manifest: Mapping[str, Any], config: ImageConfig, blobs: Mapping[Digest, Blob]
    ) -> Image:
        config_blob = InMemory(config.encode())
        config_digest = Digest.of(config_blob.data)
        pointed = moved(manifest["config"], config_digest, config_blob.size)
        manifest_blob = InMemory(jsontext.dump({**manifest, "config": pointed}))
        digest = Digest.of(manifest_blob.data)
        if digest == self.digest:
            return self
        root = Descriptor.from_json(moved(self.descriptor.to_json(), digest, manifest_blob.size))
        new = {**blobs, config_digest: config_blob, digest: manifest_blob}
        return open_manifest(Overlay(self.source, root, new), root)


@dataclass(frozen=True, eq=False)
class Index:
    """An image index (Docker: manifest list): images for several platforms under one digest."""

    source: BlobSource
    descriptor: Descriptor
    raw: Mapping[str, Any]
    dropped: tuple[Descriptor, ...] = ()
    """Attestations and other statements about images that `map` changed: they no longer held, so they are not in it."""

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest

    @functools.cached_property
    def children(self) -> tuple[Child, ...]:
        """Everything it lists, also inside nested indexes, each once."""
        found: list[Child] = []
        for child in _children(self.source, self.raw, f"index {self.digest}", MAX_NESTING, set()):
            found.append(child)
            if len(found) > MAX_IMAGES:
                raise ImageError(f"index {self.digest} lists more than {MAX_IMAGES} manifests")
        return tuple(found)

    def images(self) -> tuple[Image, ...]:
        """The images that are here. Listed platforms whose manifest was never copied are in `absent()`."""
        found = tuple(child.image for child in self.children if child.image is not None)
        if not found and self.absent():
            raise ImageError(f"index {self.digest}: none of its images is in {self.source.name}")
        return found

    def attestations(self) -> tuple[Descriptor, ...]:
        """BuildKit's provenance and SBOM manifests, which are about an image and not one."""
        return tuple(child.descriptor for child in self.children if child.descriptor.is_attestation)

    def absent(self) -> tuple[Descriptor, ...]:
        """Listed, but not in the source: `docker save` and `skopeo copy` keep the whole index for one platform."""
        return tuple(child.descriptor for child in self.children if child.absent)

    def select(self, platform: Platform) -> Image:
        """The image for a platform."""
        matching = [child for child in self.children if child.platform and child.platform.matches(platform)]
        for child in matching:
            if child.image is not None:
                return child.image
        if any(child.absent for child in matching):
            raise ImageError(f"{self.source.name} lists {platform} but does not contain it")
        listed = sorted({str(child.platform) for child in self.children if child.image is not None})
        raise InvalidInput(f"{self.source.name} has no image for {platform}", f"it has: {', '.join(listed)}")

    def map(self, change: Callable[[Image], Image]) -> Index:
        """The index with each image replaced by `change(image)`.

        What `change` returns as it was stays in its place untouched. Attestations, and other artifacts whose `subject`
        is a changed image, are dropped: they describe the old one.
        """
        changed: dict[Digest, Image] = {}
        for child in self.children:
            if child.image is not None:
                image = change(child.image)
                if image.digest != child.image.digest:
                    changed[child.image.digest] = image
        if not changed:
            return self
        dropped = {one.descriptor.digest: one.descriptor for one in self.children if one.about in changed}
        rebuilding = _Rebuilding(self.source, changed, frozenset(dropped))
        raw = rebuilding.document(self.raw)
        root = Descriptor.from_json(rebuilding.store(self.descriptor.to_json(), raw))
        new = Overlay(self.source, root, rebuilding.blobs)
        return Index(new, root, raw, (*self.dropped, *dropped.values()))


class _Rebuilding:
    """The documents of an index after some of its images changed."""

    def __init__(
        self, source: BlobSource, changed: Mapping[Digest, Image], dropped: frozenset[Digest]
    ) -> None:
        self._source = source
        self._dropped = dropped
        self._moved = {old: (image.digest, image.descriptor.size) for old, image in changed.items()}
        """Where each image and nested index is now, also one that stays: each is rebuilt once."""
        self.blobs: dict[Digest, Blob] = {}
        for image in changed.values():
            self.blobs |= new_blobs(image.source)

    def document(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """An index's JSON with its new entries."""
        entries = [
            self._entry(one) for one in raw["manifests"] if Digest.parse(one["digest"]) not in self._dropped
        ]
        return {**raw, "manifests": entries}

    def store(self, entry: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the document as a new blob; its entry."""
        data = InMemory(jsontext.dump(raw))
        digest = Digest.of(data.data)
        self.blobs[digest] = data
        return moved(entry, digest, data.size)

    def _entry(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        descriptor = Descriptor.from_json(entry)
        if descriptor.digest not in self._moved and descriptor.media_type in INDEXES:
            self._moved[descriptor.digest] = self._index(descriptor)
        digest, size = self._moved.get(descriptor.digest, (descriptor.digest, descriptor.size))
        return entry if digest == descriptor.digest else moved(entry, digest, size)

    def _index(self, descriptor: Descriptor) -> tuple[Digest, int]:
        before = _read_index(self._source, descriptor)
        after = before and self.document(before)
        if after is None or after == before:
            return descriptor.digest, descriptor.size
        entry = self.store(descriptor.to_json(), after)
        return Digest.parse(entry["digest"]), entry["size"]


@dataclass(frozen=True, eq=False, slots=True)
class Child:
    """One entry of an index."""

    descriptor: Descriptor
    image: Image | None = None
    absent: bool = False
    about: Digest | None = None
    """The image that an attestation or a referrer describes."""

    @property
    def platform(self) -> Platform | None:
        if self.image is not None and self.descriptor.platform is None:
            return self.image.platform
        return self.descriptor.platform


def open_image(reference: Reference | str, platform: Platform | None = None) -> Image | Index:
    """What the reference names; with a platform, the image for it."""
    if isinstance(reference, str):
        reference = parse_reference(reference)
    source = _SOURCES[reference.transport](reference)
    root = source.root()
    found = open_index(source, root) if root.media_type in INDEXES else open_manifest(source, root)
    if platform is None:
        return found
    if isinstance(found, Index):
        return found.select(platform)
    if not found.platform.matches(platform):
        raise InvalidInput(f"{source.name} is for {found.platform}, not for {platform}")
    return found


def open_manifest(source: BlobSource, descriptor: Descriptor) -> Image:
    """The image of a manifest. Its layers' blobs are not read."""
    _refuse_foreign_kind(descriptor)
    what = f"manifest {descriptor.digest}"
    data = read_blob(source, descriptor, MAX_INDEX, "manifest")
    raw = jsontext.parse_object(data, what)
    check_kind(raw, _MANIFEST_FIELDS, ("manifests", "fsLayers"), what)
    check_media_type(raw, MANIFESTS, descriptor.media_type, what)
    config = Descriptor.from_json(raw.get("config"), f"{what}: config")
    if config.media_type not in CONFIGS:
        kind = jsontext.string(raw, "artifactType", what, "") or config.media_type
        raise ImageError(f"{what} is not an image but an artifact of the type {kind!r}")
    layers = _layers(raw, what)
    parsed = ImageConfig.parse(
        read_blob(source, config, MAX_CONFIG, "image config"), f"image config {config.digest}"
    )
    if len(layers) != len(parsed.diff_ids):
        raise ImageError(
            f"{what} has {len(layers)} layers, its configuration {len(parsed.diff_ids)} diff_ids"
        )
    pairs = enumerate(zip(layers, parsed.diff_ids, strict=True))
    opened = tuple(Layer(source, layer, diff_id, place) for place, (layer, diff_id) in pairs)
    return Image(source, descriptor, raw, parsed, opened)


def open_index(source: BlobSource, descriptor: Descriptor) -> Index:
    """The index of a descriptor. Its images are opened when they are asked for."""
    data = read_blob(source, descriptor, MAX_INDEX, "index")
    raw, _ = parse_index(data, f"index {descriptor.digest}", descriptor.media_type)
    return Index(source, descriptor, raw)


def new_image(config: Mapping[str, Any], layers: Sequence[NewLayer], name: str = "a new image") -> Image:
    """An image from nothing. `config` is its configuration; the root file system's diff_ids are filled in."""
    raw = {**config, "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]}}
    config_blob = InMemory(ImageConfig(raw).encode())
    config_digest = Digest.of(config_blob.data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": Descriptor(OCI_CONFIG, config_digest, config_blob.size).to_json(),
        "layers": [layer.descriptor(OCI_MANIFEST).to_json() for layer in layers],
    }
    manifest_blob = InMemory(jsontext.dump(manifest))
    root = Descriptor(OCI_MANIFEST, Digest.of(manifest_blob.data), manifest_blob.size)
    blobs: dict[Digest, Blob] = {layer.digest: layer.blob for layer in layers}
    blobs |= {config_digest: config_blob, root.digest: manifest_blob}
    return open_manifest(Overlay(Nothing(name), root, blobs), root)


def new_index(images: Sequence[Image]) -> Index:
    """An index of new images, each listed for its platform."""
    entries = [replace(image.descriptor, platform=image.platform).to_json() for image in images]
    raw = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}
    data = InMemory(jsontext.dump(raw))
    root = Descriptor(OCI_INDEX, Digest.of(data.data), data.size)
    blobs: dict[Digest, Blob] = {root.digest: data}
    for image in images:
        blobs |= new_blobs(image.source)
    return Index(Overlay(Nothing("a new index"), root, blobs), root, raw)


def moved(entry: Mapping[str, Any], digest: Digest, size: int) -> dict[str, Any]:
    """A descriptor's JSON for other content: everything else stays, but not `data`, which is the content itself."""
    changed = {**entry, "digest": str(digest), "size": size}
    changed.pop("data", None)
    return changed


def new_blobs(source: BlobSource) -> Mapping[Digest, Blob]:
    return source.new if isinstance(source, Overlay) else {}


def _layers(raw: Mapping[str, Any], what: str) -> tuple[Descriptor, ...]:
    if not isinstance(raw.get("layers"), list):
        raise InvalidInput(f"{what} has no 'layers'")
    listed = jsontext.objects(raw, "layers", what)
    if len(listed) > MAX_LAYERS:
        raise ImageError(f"{what} has {len(listed)} layers: more than {MAX_LAYERS} are refused")
    layers = tuple(Descriptor.from_json(one, f"{what}: layers[{place}]") for place, one in enumerate(listed))
    for layer in layers:
        layer.expect(LAYERS, "the layer")
    return layers


def _refuse_foreign_kind(descriptor: Descriptor) -> None:
    if descriptor.media_type.startswith("application/vnd.docker.distribution.manifest.v1"):
        raise ImageError(
            f"manifest {descriptor.digest} is of Docker's schema 1, which no engine reads any more",
            "pull and push the image with a current engine",
        )
    descriptor.expect(MANIFESTS, "the manifest")


def _children(
    source: BlobSource, raw: Mapping[str, Any], what: str, nesting: int, seen: set[Digest]
) -> Iterator[Child]:
    for place, entry in enumerate(raw["manifests"]):
        descriptor = Descriptor.from_json(entry, f"{what}: manifests[{place}]")
        if descriptor.digest in seen:
            continue  # also an index: a few that name each other many times would take for ever
        seen.add(descriptor.digest)
        if descriptor.media_type not in INDEXES:
            yield _child(source, descriptor)
            continue
        if nesting == 0:
            raise ImageError(f"{what}: indexes nest more than {MAX_NESTING} deep")
        below = _read_index(source, descriptor)
        yield Child(descriptor, absent=below is None)
        if below is not None:
            yield from _children(source, below, f"index {descriptor.digest}", nesting - 1, seen)


def _read_index(source: BlobSource, descriptor: Descriptor) -> dict[str, Any] | None:
    if not source.has(descriptor):
        return None
    data = read_blob(source, descriptor, MAX_INDEX, "index")
    return parse_index(data, f"index {descriptor.digest}", descriptor.media_type)[0]


def _child(source: BlobSource, descriptor: Descriptor) -> Child:
    """What a manifest in an index is: an image, a statement about one, or something that is not for us."""
    if descriptor.media_type not in MANIFESTS:
        return Child(descriptor)
    if not source.has(descriptor):
        return Child(descriptor, absent=True)
    if descriptor.is_attestation:
        about = descriptor.annotations.get(ATTESTS_DIGEST)
        return Child(descriptor, about=Digest.parse(about) if about else None)
    what = f"manifest {descriptor.digest}"
    raw = jsontext.parse_object(read_blob(source, descriptor, MAX_INDEX, "manifest"), what)
    config = raw.get("config")
    if isinstance(config, dict) and config.get("mediaType") not in CONFIGS:
        subject = raw.get("subject")
        about_image = (
            Descriptor.from_json(subject, f"{what}: subject").digest if subject is not None else None
        )
        return Child(descriptor, about=about_image)
    return Child(descriptor, open_manifest(source, descriptor))
