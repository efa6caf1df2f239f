# SPDX-License-Identifier: Apache-2.0
"""Content descriptors: media type, digest and size of a blob, and for which platform it is.

OCI image-spec descriptor.md and image-index.md (v1.1.1). Docker's types are those of distribution's
manifest/schema2 and manifest/manifestlist (v2.8.3).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caplet.errors import ImageError, InvalidInput
from caplet.image import jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping
    from hashlib import _Hash

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})
FOREIGN_LAYERS = frozenset(
    {OCI_NONDISTRIBUTABLE + end for end in ("", "+gzip", "+zstd")}
    | {DOCKER_FOREIGN, DOCKER_FOREIGN + ".gzip"}
)
LAYERS = (
    frozenset({OCI_LAYER + end for end in ("", "+gzip", "+zstd")})
    # Docker has no name for zstd; BuildKit and containers/image write this one.
    | frozenset({DOCKER_LAYER + end for end in ("", ".gzip", ".zstd")})
    | FOREIGN_LAYERS
)
"""Layers that hold a tar archive. `+encrypted` and in-toto statements are not among them."""

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that carries a tag in index.json (image-spec annotations.md)."""
CONTAINERD_NAME = "io.containerd.image.name"
"""The full name that containerd and Docker write beside it (containerd core/images/archive)."""
ATTESTS_TYPE = "vnd.docker.reference.type"
"""`attestation-manifest` on BuildKit's attestations (buildkit docs/attestations/attestation-storage.md)."""
ATTESTS_DIGEST = "vnd.docker.reference.digest"

MAX_BLOB = 1 << 40
"""1 TiB: no blob of an image comes near; what is larger is a lie about the size."""

_HEX_LENGTH = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Digest:
    """`sha256:` and 64 lower-case hexadecimal digits, or `sha512:` and 128: nothing that a path could hide in."""

    algorithm: str
    hex: str

    @classmethod
    def parse(cls, text: str, what: str = "") -> Digest:
        """The digest that `text` spells; `what` says in messages where it stands."""
        where = f"{what}: " if what else ""
        algorithm, colon, digits = text.partition(":")
        if not colon:
            raise InvalidInput(f"{where}{text!r} is not a digest: ALGORITHM:HEX expected")
        length = _HEX_LENGTH.get(algorithm)
        if length is None:
            raise InvalidInput(
                f"{where}digest {text!r}: unknown algorithm {algorithm!r} (known: {', '.join(_HEX_LENGTH)})"
            )
        if len(digits) != length or not _HEX.fullmatch(digits):
            raise InvalidInput(f"{where}digest {text!r}: not {length} lower-case hexadecimal digits")
        return cls(algorithm, digits)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        return cls("sha256", hashlib.sha256(data).hexdigest())

    def hasher(self) -> _Hash:
        return hashlib.new(self.algorithm)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on: `linux/amd64`, `linux/arm64/v8`."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Platform:
        parts = text.split("/")
        if len(parts) == 1 and parts[0] in _ARCHITECTURES:
            parts.insert(0, "linux")
        if not 2 <= len(parts) <= 3 or not all(re.fullmatch(r"[A-Za-z0-9_.-]+", part) for part in parts):
            raise InvalidInput(
                f"{text!r} is not a platform", "write OS/ARCHITECTURE[/VARIANT], as linux/amd64"
            )
        system, architecture, variant = (*parts, "")[:3]
        return cls(system, architecture, variant).normal()

    @classmethod
    def from_json(cls, value: Mapping[str, Any], what: str) -> Platform:
        jsontext.spelled(value, ("os", "architecture", "variant", "os.version", "os.features"), what)
        return cls(
            jsontext.string(value, "os", what, ""),
            jsontext.string(value, "architecture", what, ""),
            jsontext.string(value, "variant", what, ""),
            jsontext.string(value, "os.version", what, ""),
            jsontext.strings(value, "os.features", what),
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        if self.os_version:
            value["os.version"] = self.os_version
        if self.os_features:
            value["os.features"] = list(self.os_features)
        if self.variant:
            value["variant"] = self.variant
        return value

    def normal(self) -> Platform:
        """The spelling of containerd (platforms v1.0.0 database.go, normalizeArch): x86_64 is amd64, arm64/v8 is arm64."""
        architecture, variant = self.architecture.lower(), self.variant.lower()
        architecture, variant = _SYNONYMS.get(architecture, (architecture, variant))
        if (architecture, variant) in {("arm64", "v8"), ("arm64", "8"), ("amd64", "v1")}:
            variant = ""
        if architecture == "arm":
            variant = {"": "v7", "5": "v5", "6": "v6", "7": "v7", "8": "v8"}.get(variant, variant)
        return Platform(self.os.lower(), architecture, variant, self.os_version, self.os_features)

    def matches(self, wanted: Platform) -> bool:
        """Whether an image for this platform is what somebody means who asks for `wanted`."""
        mine, theirs = self.normal(), wanted.normal()
        return (mine.os, mine.architecture, mine.variant) == (theirs.os, theirs.architecture, theirs.variant)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os or "?", self.architecture or "?", self.variant) if part)


_SYNONYMS = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "i386": ("386", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
}
_ARCHITECTURES = frozenset(
    {*_SYNONYMS, "amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64"}
)

_FIELDS = ("mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Where a blob is (its digest), how long and what it is. Fields this version does not know are kept in `extra`."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_json(cls, value: object, what: str = "descriptor") -> Descriptor:
        raw = jsontext.as_object(value, what)
        jsontext.spelled(raw, _FIELDS, what)
        size = jsontext.integer(raw, "size", what)
        if not 0 <= size <= MAX_BLOB:
            raise InvalidInput(f"{what}: size {size} is out of range")
        platform = raw.get("platform")
        return cls(
            jsontext.string(raw, "mediaType", what),
            Digest.parse(jsontext.string(raw, "digest", what), what),
            size,
            jsontext.texts(raw, "annotations", what),
            None
            if platform is None
            else Platform.from_json(jsontext.as_object(platform, what), f"{what}: platform"),
            {name: one for name, one in raw.items() if name not in _OWN},
        )

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.platform is not None:
            value["platform"] = self.platform.to_json()
        return value | dict(self.extra)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where a blob may be fetched that the image does not carry (foreign layers)."""
        return jsontext.strings(self.extra, "urls", "descriptor")

    @property
    def artifact_type(self) -> str:
        return jsontext.string(self.extra, "artifactType", "descriptor", "")

    @property
    def is_attestation(self) -> bool:
        return self.annotations.get(ATTESTS_TYPE) == "attestation-manifest"

    def expect(self, media_types: frozenset[str], what: str) -> None:
        if self.media_type not in media_types:
            raise ImageError(f"{what} {self.digest} has the media type {self.media_type!r}: not supported")


_OWN = frozenset({"mediaType", "digest", "size", "annotations", "platform"})
