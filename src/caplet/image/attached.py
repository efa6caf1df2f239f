# SPDX-License-Identifier: Apache-2.0
"""What lies beside an image and speaks of it by its digest: signatures, attestations, other referrers.

They hold for that digest alone. Three ways are in use: cosign's tags `sha256-HEX.sig`, `.att`, `.sbom` (sigstore/cosign
specs/SIGNATURE_SPEC.md, "Tag-based Discovery"), manifests with a `subject` (OCI image-spec manifest.md), and the index
of such manifests under the tag `sha256-HEX` (distribution-spec, "Referrers Tag Schema").
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import CapletError
from caplet.image import jsontext
from caplet.image.blobs import read_blob
from caplet.image.descriptor import MANIFESTS, Descriptor, Digest
from caplet.image.layout import MAX_INDEX, names

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from caplet.image.blobs import BlobSource

MAX_READ = 1024
"""Manifests of one layout that are looked into: reading them is a courtesy, and a hostile layout could list 20,000."""

_TAG = re.compile(r"(sha256|sha512)-([0-9a-f]+)(?:\.(sig|att|sbom))?")
_KINDS = {
    "sig": "cosign signature",
    "att": "cosign attestation",
    "sbom": "cosign SBOM",
    None: "list of referrers",
}


@dataclass(frozen=True, slots=True)
class Attached:
    """Something that is about an image."""

    about: Digest
    descriptor: Descriptor
    kind: str
    """"cosign signature", or the artifact's type, e.g. "application/vnd.dev.sigstore.bundle.v0.3+json"."""
    tag: str = ""


def attached(source: BlobSource, digests: Collection[Digest]) -> tuple[Attached, ...]:
    """What the source lists about these digests, in its order."""
    return tuple(_attached(source, digests))


def _attached(source: BlobSource, digests: Collection[Digest]) -> Iterator[Attached]:
    left = MAX_READ
    for entry in source.entries():
        if entry.digest in digests:
            continue
        by_tag = [(tag, found) for tag in names(entry) if (found := _TAG.fullmatch(tag))]
        for tag, found in by_tag:
            about = Digest(found[1], found[2])
            if about in digests:
                yield Attached(about, entry, _KINDS[found[3]], tag)
        if not by_tag and entry.media_type in MANIFESTS and left:
            left -= 1
            with contextlib.suppress(CapletError):  # another image that is damaged is no concern of this one
                yield from _by_subject(source, entry, digests)


def _by_subject(source: BlobSource, entry: Descriptor, digests: Collection[Digest]) -> Iterator[Attached]:
    what = f"manifest {entry.digest}"
    raw = jsontext.parse_object(read_blob(source, entry, MAX_INDEX, "manifest"), what)
    if raw.get("subject") is None:
        return
    about = Descriptor.from_json(raw["subject"], f"{what}: subject").digest
    if about in digests:
        config = raw.get("config")
        kind = raw.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else None)
        yield Attached(about, entry, str(kind or "artifact"))
