# SPDX-License-Identifier: Apache-2.0
"""Images in one tar file: an OCI layout (`oci-archive:`) or what `docker save` writes (`docker-archive:`).

A Docker archive has `manifest.json`, a list of {Config, RepoTags, Layers} (moby image/tarexport). It comes in two forms:
the old one (a directory for each layer, with `layer.tar`, at times a symlink to its twin) and, since Docker 25 and from
containerd, an OCI layout that also has a manifest.json. Which of the two descriptions counts is the reference's choice:
`oci-archive:` reads index.json, `docker-archive:` reads manifest.json. Where both are there, the image of manifest.json
must be one of index.json's, and its manifest is then taken from there; an archive that says two different things is
refused. A Docker archive without an OCI manifest gets one made up: the same archive, the same manifest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from caplet.errors import ImageError, InvalidInput
from caplet.image import jsontext
from caplet.image.blobs import CHUNK, InMemory, Stored, missing, read_blob, sized
from caplet.image.compression import Compression, detect
from caplet.image.config import MAX_CONFIG, ImageConfig
from caplet.image.descriptor import (
    INDEXES,
    MANIFESTS,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Digest,
)
from caplet.image.layout import (
    INDEX_FILE,
    LAYOUT_FILE,
    MAX_INDEX,
    MAX_LAYOUT_FILE,
    MAX_NESTING,
    check_layout_file,
    choose_root,
    parse_index,
)
from caplet.image.tarfiles import TarFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.blobs import Blob, Proof
    from caplet.image.reference import Reference

MANIFEST_FILE = "manifest.json"
REPOSITORIES_FILE = "repositories"
MAX_LAYERS = 4096
"""Layers of one image. Docker stops at 127 and overlayfs at 500; a manifest of 4 MiB could list 20,000."""

_BLOB_NAME = re.compile(r"blobs/([a-z0-9]+)/([0-9a-f]+)")
_SUFFIX = {Compression.PLAIN: "", Compression.GZIP: "+gzip", Compression.ZSTD: "+zstd"}


class OciArchive:
    """The source of `oci-archive:FILE`."""

    def __init__(self, reference: Reference) -> None:
        self.name = str(reference)
        self.proofs: dict[Digest, Proof | None] = {}
        self._files = TarFiles(reference.path)
        if LAYOUT_FILE not in self._files and MANIFEST_FILE in self._files:
            raise ImageError(
                f"{reference.path} is not an OCI archive", f"write docker-archive:{reference.path}"
            )
        check_layout_file(self._files.read(LAYOUT_FILE, MAX_LAYOUT_FILE), reference.path)
        index = self._files.read(INDEX_FILE, MAX_INDEX)
        self._entries = parse_index(index, f"{reference.path}: {INDEX_FILE}")[1]
        self._root = choose_root(self, self._entries, reference)

    def root(self) -> Descriptor:
        return self._root

    def entries(self) -> tuple[Descriptor, ...]:
        return self._entries

    def has(self, descriptor: Descriptor) -> bool:
        return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}" in self._files

    def find(self, descriptor: Descriptor) -> Blob:
        found = self._files.find(f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}")
        if found is None:
            raise self._files.absent(missing(self.name, descriptor))
        return sized(found, descriptor, self.name)


class DockerArchive:
    """The source of `docker-archive:FILE`."""

    def __init__(self, reference: Reference) -> None:
        self.name = str(reference)
        self.proofs: dict[Digest, Proof | None] = {}
        self._files = TarFiles(reference.path)
        self._reference = reference
        self._blobs: dict[Digest, Blob] = {}
        listed = self._choose(self._listed())
        config = self._config(listed)
        manifest = self._oci_manifest(config.digest, listed)
        self._root = manifest if manifest is not None else self._made_up(config, listed)

    def root(self) -> Descriptor:
        return self._root

    def entries(self) -> tuple[Descriptor, ...]:
        return (self._root,)

    def has(self, descriptor: Descriptor) -> bool:
        digest = descriptor.digest
        return digest in self._blobs or f"blobs/{digest.algorithm}/{digest.hex}" in self._files

    def find(self, descriptor: Descriptor) -> Blob:
        digest = descriptor.digest
        found = self._blobs.get(digest) or self._files.find(f"blobs/{digest.algorithm}/{digest.hex}")
        if found is None:
            raise self._files.absent(missing(self.name, descriptor))
        return sized(found, descriptor, self.name)

    # manifest.json

    def _listed(self) -> tuple[jsontext.Object, ...]:
        path = self._reference.path
        if MANIFEST_FILE not in self._files:
            hint = f"write oci-archive:{path}" if LAYOUT_FILE in self._files else ""
            if REPOSITORIES_FILE in self._files:
                hint = (
                    "archives of Docker before 1.10 are not supported: load and save it with a newer Docker"
                )
            raise self._files.absent(
                ImageError(f"{path} is not a Docker archive: it has no {MANIFEST_FILE}", hint)
            )
        what = f"{path}: {MANIFEST_FILE}"
        images = jsontext.objects(
            {"images": jsontext.parse(self._files.read(MANIFEST_FILE, MAX_INDEX), what)}, "images", what
        )
        for image in images:
            jsontext.spelled(image, ("Config", "RepoTags", "Layers", "Parent", "LayerSources"), what)
        if not images:
            raise ImageError(f"{what} lists no image")
        return images

    def _choose(self, images: tuple[jsontext.Object, ...]) -> jsontext.Object:
        reference, what = self._reference, f"{self._reference.path}: {MANIFEST_FILE}"
        if reference.index is not None:
            if reference.index >= len(images):
                raise InvalidInput(
                    f"{reference.path} has {len(images)} images, counted from 0: none at {reference.index}"
                )
            return images[reference.index]
        names = [jsontext.strings(image, "RepoTags", what) for image in images]
        if reference.tag:
            wanted = familiar(reference.tag)
            for image, tags in zip(images, names, strict=True):
                if wanted in {familiar(tag) for tag in tags}:
                    return image
            raise InvalidInput(f"{reference.path} has no image {reference.tag!r}", self._ways(names))
        if len(images) != 1:
            raise InvalidInput(f"{reference.path}: there are several images", self._ways(names))
        return images[0]

    def _ways(self, names: list[tuple[str, ...]]) -> str:
        path = self._reference.path
        ways = [f"docker-archive:{path}:{next(iter(tags), f'@{place}')}" for place, tags in enumerate(names)]
        return f"name one: {'  '.join(ways[:20])}"

    def _config(self, listed: jsontext.Object) -> Descriptor:
        name = jsontext.string(listed, "Config", f"{self._reference.path}: {MANIFEST_FILE}")
        stored = self._member(name, "config")
        if stored.size > MAX_CONFIG:
            raise ImageError(
                f"{self._reference.path}: {name} has {stored.size} bytes: more than {MAX_CONFIG} are refused"
            )
        digest = Digest.of(stored.read(0, MAX_CONFIG))
        self._check_name(name, digest)
        self._blobs[digest] = stored
        return Descriptor(OCI_CONFIG, digest, stored.size)

    def _member(self, name: str, what: str) -> Stored:
        found = self._files.find(name)
        if found is None:
            raise self._files.absent(
                ImageError(f"{self._reference.path}: the {what} {name!r} of {MANIFEST_FILE} is missing")
            )
        return found

    def _check_name(self, name: str, digest: Digest) -> None:
        """A file under blobs/ is named after its digest: the name must be true."""
        named = _BLOB_NAME.fullmatch(name)
        if named and named[1] == digest.algorithm and named[2] != digest.hex:
            raise ImageError(f"{self._reference.path}: {name} does not match its digest: {digest} found")

    # The manifest

    def _oci_manifest(self, config: Digest, listed: jsontext.Object) -> Descriptor | None:
        """The manifest of index.json that has this configuration; None where there is no index.json."""
        if LAYOUT_FILE not in self._files or INDEX_FILE not in self._files:
            return None
        path = self._reference.path
        check_layout_file(self._files.read(LAYOUT_FILE, MAX_LAYOUT_FILE), path)
        entries = parse_index(self._files.read(INDEX_FILE, MAX_INDEX), f"{path}: {INDEX_FILE}")[1]
        for manifest in self._manifests(entries):
            raw = jsontext.parse_object(
                read_blob(self, manifest, MAX_INDEX, "manifest"), f"manifest {manifest.digest}"
            )
            found = raw.get("config")
            if isinstance(found, dict) and found.get("digest") == str(config):
                self._check_layers(raw, listed)
                return manifest
        raise ImageError(
            f"{path} is ambiguous: the image of {MANIFEST_FILE} (config {config}) is not in {INDEX_FILE}",
            f"write oci-archive:{path} to read the one of {INDEX_FILE}",
        )

    def _check_layers(self, raw: jsontext.Object, listed: jsontext.Object) -> None:
        """Both descriptions must name the same files for layers: one engine reads this one, another that one."""
        what = f"{self._reference.path}: {MANIFEST_FILE}"
        names = jsontext.strings(listed, "Layers", what)
        blobs = [
            f"blobs/{digest.algorithm}/{digest.hex}"
            for digest in (Descriptor.from_json(one).digest for one in jsontext.objects(raw, "layers", what))
        ]
        if [self._files.find(name) for name in names] != [self._files.find(name) for name in blobs]:
            raise ImageError(
                f"{self._reference.path} is ambiguous: {MANIFEST_FILE} and {INDEX_FILE} name different layers",
                f"write oci-archive:{self._reference.path} to read those of {INDEX_FILE}",
            )

    def _manifests(self, entries: tuple[Descriptor, ...]) -> Iterator[Descriptor]:
        level = list(entries)
        seen: set[Digest] = set()
        for _ in range(MAX_NESTING + 1):
            below: list[Descriptor] = []
            for entry in level:
                if (
                    entry.digest in seen
                    or self._files.find(f"blobs/{entry.digest.algorithm}/{entry.digest.hex}") is None
                ):
                    continue  # `docker save` lists platforms that it does not have
                seen.add(entry.digest)
                if entry.media_type in MANIFESTS:
                    yield entry
                elif entry.media_type in INDEXES:
                    data = read_blob(self, entry, MAX_INDEX, "index")
                    below += parse_index(data, f"index {entry.digest}", entry.media_type)[1]
            level = below

    def _made_up(self, config: Descriptor, listed: jsontext.Object) -> Descriptor:
        what = f"{self._reference.path}: {MANIFEST_FILE}"
        names = jsontext.strings(listed, "Layers", what)
        diff_ids = ImageConfig.parse(read_blob(self, config, MAX_CONFIG, "config")).diff_ids
        if len(names) != len(diff_ids):
            raise ImageError(f"{what} lists {len(names)} layers, the configuration {len(diff_ids)}")
        if len(names) > MAX_LAYERS:
            raise ImageError(f"{what} lists {len(names)} layers: more than {MAX_LAYERS} are refused")
        layers = [self._layer(name, diff_id) for name, diff_id in zip(names, diff_ids, strict=True)]
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config.to_json(),
            "layers": [layer.to_json() for layer in layers],
        }
        blob = InMemory(jsontext.dump(manifest))
        digest = Digest.of(blob.data)
        self._blobs[digest] = blob
        return Descriptor(OCI_MANIFEST, digest, blob.size)

    def _layer(self, name: str, diff_id: Digest) -> Descriptor:
        """A layer by its name: a plain tar has the diff_id for its digest, a compressed one must be hashed."""
        stored = self._member(name, "layer")
        kind = detect(stored.read(0, 16))
        digest = diff_id if kind is Compression.PLAIN else self._digest(name, stored)
        self._check_name(name, digest)
        self._blobs[digest] = stored
        return Descriptor(OCI_LAYER + _SUFFIX[kind], digest, stored.size)

    @staticmethod
    def _digest(name: str, stored: Stored) -> Digest:
        named = _BLOB_NAME.fullmatch(name)
        if named:
            return Digest.parse(f"{named[1]}:{named[2]}")  # proved when it is read
        hasher = Digest.of(b"").hasher()
        for offset in range(0, stored.size, CHUNK):
            hasher.update(stored.read(offset, CHUNK))
        return Digest("sha256", hasher.hexdigest())


def familiar(name: str) -> str:
    """A Docker name in one spelling: docker.io/library/busybox and busybox are busybox:latest.

    distribution/reference v0.6.0, normalize.go, ParseNormalizedNamed and FamiliarString.
    """
    for prefix in ("docker.io/", "index.docker.io/"):
        name = name.removeprefix(prefix)
    name = name.removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"
