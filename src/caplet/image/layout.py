# SPDX-License-Identifier: Apache-2.0
"""An OCI image layout: `oci-layout`, `index.json` and `blobs/ALGORITHM/HEX` (image-spec image-layout.md).

The rules that hold for a directory and for a tar archive of one are here: which entry of index.json a reference means,
and what makes a layout one at all. `LayoutDirectory` is the source for a directory.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from caplet.errors import ImageError, InvalidInput
from caplet.image import jsontext
from caplet.image.blobs import Stored, missing, open_regular, read_blob, sized
from caplet.image.descriptor import CONTAINERD_NAME, INDEXES, REF_NAME, Descriptor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.image.blobs import Blob, BlobSource, Proof
    from caplet.image.descriptor import Digest
    from caplet.image.reference import Reference

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
LAYOUT_VERSION = "1.0.0"
LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'

MAX_INDEX = 4 << 20
"""4 MiB, also for manifests: what a registry should accept at least (distribution-spec, "Pushing Manifests")."""
MAX_LAYOUT_FILE = 4096
"""`oci-layout` has 30 bytes."""
MAX_ENTRIES = 65536
"""Entries of index.json. 4 MiB hold no more that carry a digest."""

_INDEX_FIELDS = ("schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations")


def check_layout_file(data: bytes, name: str) -> None:
    """Refuse another version than 1.0.0, the only one there is."""
    what = f"{name}: {LAYOUT_FILE}"
    value = jsontext.parse_object(data, what)
    jsontext.spelled(value, ("imageLayoutVersion",), what)
    version = jsontext.string(value, "imageLayoutVersion", what)
    if version != LAYOUT_VERSION:
        raise ImageError(f"{what}: version {version!r} is not supported, only {LAYOUT_VERSION}")


def parse_index(
    data: bytes, what: str, media_type: str = ""
) -> tuple[dict[str, Any], tuple[Descriptor, ...]]:
    """The JSON of an image index and its entries. `media_type` is what its own descriptor says, if it has one."""
    raw = jsontext.parse_object(data, what)
    check_kind(raw, _INDEX_FIELDS, ("config", "layers", "fsLayers"), what)
    check_media_type(raw, INDEXES, media_type, what)
    entries = jsontext.objects(raw, "manifests", what)
    if raw.get("manifests") is None:
        raise InvalidInput(f"{what} has no 'manifests'")
    if len(entries) > MAX_ENTRIES:
        raise InvalidInput(f"{what} lists {len(entries)} manifests: more than {MAX_ENTRIES} are refused")
    listed = (Descriptor.from_json(one, f"{what}: manifests[{place}]") for place, one in enumerate(entries))
    return raw, tuple(listed)


def check_kind(raw: dict[str, Any], own: Sequence[str], foreign: Sequence[str], what: str) -> None:
    """Refuse a document that is a manifest to one reader and an index to another (GHSA-77vh-xpmg-72qh)."""
    jsontext.spelled(raw, (*own, *foreign), what)
    for name in foreign:
        if name in raw:
            raise InvalidInput(
                f"{what} is ambiguous: it has {name!r} beside the fields of another kind of document"
            )
    version = jsontext.integer(raw, "schemaVersion", what)
    if version != 2:
        raise ImageError(f"{what}: schemaVersion {version} is not supported, only 2")


def check_media_type(raw: dict[str, Any], known: frozenset[str], described: str, what: str) -> None:
    """The document's own `mediaType`, which OCI leaves optional, must be of its kind and agree with its descriptor."""
    own = jsontext.string(raw, "mediaType", what, "")
    if own and own not in known:
        raise ImageError(f"{what} says that its media type is {own!r}: not supported")
    if own and described and own != described:
        raise InvalidInput(f"{what} says that its media type is {own!r}, its descriptor says {described!r}")


def choose(entries: Sequence[Descriptor], reference: Reference) -> Descriptor | None:
    """The entry of index.json that the reference means; None where only its digest can tell (a manifest further down)."""
    listed = [one for one in entries if not one.is_attestation]
    if not listed:
        raise ImageError(f"{reference.path} is an empty image layout")
    if reference.index is not None:
        if reference.index >= len(entries):
            raise InvalidInput(
                f"{reference.path} has {len(entries)} images, counted from 0: none at {reference.index}"
            )
        return entries[reference.index]
    if reference.tag:
        listed = [one for one in listed if reference.tag in names(one)]
        if not listed:
            raise InvalidInput(f"{reference.path} has no tag {reference.tag!r}", _listing(entries, reference))
    if reference.digest is not None:
        return next((one for one in entries if one.digest == reference.digest), None)
    # Several entries may be one image under several tags.
    if len({one.digest for one in listed}) == 1:
        return listed[0]
    untagged = [one for one in listed if not names(one)]
    if not reference.tag and len(untagged) == 1:
        return untagged[0]
    twice = f"the tag {reference.tag!r} stands for" if reference.tag else "there are"
    raise InvalidInput(f"{reference.path}: {twice} several images", _listing(listed, reference))


def names(entry: Descriptor) -> tuple[str, ...]:
    """The names under which index.json lists an entry."""
    found = (entry.annotations.get(REF_NAME, ""), entry.annotations.get(CONTAINERD_NAME, ""))
    return tuple(name for name in found if name)


MAX_LISTED = 20
"""Tags an error message lists: what fits a screen."""


def _listing(entries: Sequence[Descriptor], reference: Reference) -> str:
    scheme = f"{reference.transport.value}:{reference.path}"
    ways = [f"{scheme}:{names(one)[0]}" if names(one) else f"{scheme}@{one.digest}" for one in entries]
    ways = list(dict.fromkeys(ways))
    more = f" and {len(ways) - MAX_LISTED} more" if len(ways) > MAX_LISTED else ""
    return f"name one: {'  '.join(ways[:MAX_LISTED])}{more}"


class LayoutDirectory:
    """The source of `oci:DIR`."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.name = str(reference)
        self.proofs: dict[Digest, Proof | None] = {}
        check_layout_file(self.read_file(LAYOUT_FILE, MAX_LAYOUT_FILE), reference.path)
        index = self.read_file(INDEX_FILE, MAX_INDEX)
        self._entries = parse_index(index, f"{reference.path}: {INDEX_FILE}")[1]
        self._root = choose_root(self, self._entries, reference)

    def root(self) -> Descriptor:
        return self._root

    def entries(self) -> tuple[Descriptor, ...]:
        """All of index.json: also signatures and other tags."""
        return self._entries

    def read_file(self, name: str, limit: int) -> bytes:
        """One of the layout's own small files."""
        path = os.path.join(self.reference.path, name)
        try:
            opened = open_regular(path, self.reference.path)
        except (FileNotFoundError, NotADirectoryError):
            raise _not_a_layout(self.reference, name) from None
        except OSError as error:
            raise ImageError(f"cannot read {path}: {error.strerror}") from None
        if opened.size > limit:
            raise ImageError(f"{path} has {opened.size} bytes: more than {limit} are refused")
        return Stored(opened, 0, opened.size).read(0, limit)

    def has(self, descriptor: Descriptor) -> bool:
        return os.path.lexists(self._path(descriptor.digest))

    def _path(self, digest: Digest) -> str:
        return os.path.join(self.reference.path, "blobs", digest.algorithm, digest.hex)

    def find(self, descriptor: Descriptor) -> Blob:
        path = self._path(descriptor.digest)
        try:
            opened = open_regular(path, self.reference.path)
        except (FileNotFoundError, NotADirectoryError):
            raise missing(self.name, descriptor) from None
        except OSError as error:
            raise ImageError(f"cannot read {path}: {error.strerror}") from None
        return sized(Stored(opened, 0, opened.size), descriptor, self.name)


def _not_a_layout(reference: Reference, name: str) -> ImageError:
    path = reference.path
    if os.path.isfile(path):
        return ImageError(
            f"{path} is a file, not an OCI layout", f"write oci-archive:{path} or docker-archive:{path}"
        )
    if not os.path.lexists(path):
        return ImageError(f"{path} does not exist", _elsewhere(path))
    return ImageError(
        f"{path} is not an OCI image layout: it has no {name}",
        f"skopeo and podman call other directories dir: copy it: skopeo copy dir:{path} oci:image:latest"
        if os.path.lexists(os.path.join(path, "manifest.json"))
        else "",
    )


def _elsewhere(path: str) -> str:
    """What may be meant by a directory that is not there."""
    before, at, tag = path.rpartition("@")
    if at and os.path.isdir(before):
        return f"a tag stands behind a colon: oci:{before}:{tag}"
    if path.startswith("//") and os.path.isdir(path.lstrip("/")):
        return f"write oci:{path.lstrip('/')}"
    return f"oci: is a directory on this disk; this makes one: skopeo copy docker://{os.path.basename(path)} oci:{path}"


def choose_root(source: BlobSource, entries: Sequence[Descriptor], reference: Reference) -> Descriptor:
    """The descriptor that the reference names."""
    root = choose(entries, reference)
    return root if root is not None else _descend(source, entries, reference)


MAX_NESTING = 4
"""Indexes inside indexes. Real ones nest two deep (index.json, then the platforms)."""


def _descend(source: BlobSource, entries: Sequence[Descriptor], reference: Reference) -> Descriptor:
    """The manifest with the reference's digest inside the indexes of the layout."""
    level = [one for one in entries if not reference.tag or reference.tag in names(one)]
    seen: set[Digest] = set()
    for _ in range(MAX_NESTING):
        below: list[Descriptor] = []
        for entry in level:
            if entry.media_type not in INDEXES or entry.digest in seen:
                continue
            seen.add(entry.digest)
            data = read_blob(source, entry, MAX_INDEX, "index")
            below += parse_index(data, f"index {entry.digest}", entry.media_type)[1]
        found = next((one for one in below if one.digest == reference.digest), None)
        if found is not None:
            return found
        level = below
    raise InvalidInput(f"{reference.path} has no manifest {reference.digest}", _listing(entries, reference))
