# SPDX-License-Identifier: Apache-2.0
"""An odd or hostile image, made by a dozen lines, and what `caplet scan` has to say of it.

The modules beside this one are tables of cases, one for each class of attack. What is expected is not an opinion: layers
are unpacked by a real containerd and read by Go's archive/tar (`test_engines`, `test_gotar`), documents follow the OCI
specifications. Where another answer than the installed containerd's is right, the case says why (`apart`).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.layouts import OCI, REF_NAME, Layout, digest, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ANY = "amd64"


@dataclass(frozen=True, slots=True)
class Refused:
    """One line on standard error with this in it, exit code 2, nothing on standard output."""

    message: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Accepted: path -> what the scan prints after it."""

    files: Mapping[str, str] = field(default_factory=dict)
    divergent: tuple[str, ...] = ()
    """Every engine that some note names; empty: there is no such note."""


Expected = Refused | Seen


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer's blob as it is, with what its descriptor says."""

    data: bytes
    media_type: str = f"{OCI}.layer.v1.tar+gzip"
    diff_id: str = digest(b"")


@dataclass(frozen=True, slots=True)
class Case:
    """One image. `make` writes it into an empty directory and returns the reference."""

    name: str
    expected: Expected
    make: Callable[[str], str]
    layers: tuple[bytes | Blob, ...] = ()
    """What a container engine is given to unpack, where that is the question."""
    apart: str = ""
    """Why the installed containerd answers otherwise."""


def as_expected(expected: Expected | Mapping[str, str], divergent: Sequence[str] = ()) -> Expected:
    if isinstance(expected, Refused | Seen):
        return expected
    return Seen(expected, tuple(sorted(divergent)))


def stack(
    name: str,
    layers: Sequence[bytes | Blob] | bytes | Blob,
    expected: Expected | Mapping[str, str],
    divergent: Sequence[str] = (),
    apart: str = "",
    config: Mapping[str, Any] | None = None,
) -> Case:
    """An image in a layout of one directory, with these layers."""
    many = (layers,) if isinstance(layers, bytes | Blob) else tuple(layers)

    def make(directory: str) -> str:
        layout = Layout(directory)
        write_image(layout, many, "latest", config)
        return f"oci:{directory}"

    return Case(name, as_expected(expected, divergent), make, many, apart)


def write_image(
    layout: Layout,
    layers: Sequence[bytes | Blob],
    tag: str,
    config: Mapping[str, Any] | None = None,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """As `Layout.image`, but a layer may be a blob of any kind."""
    blobs = [
        one if isinstance(one, Blob) else Blob(one, f"{OCI}.layer.v1.tar", digest(one)) for one in layers
    ]
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config or {}),
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in blobs]},
    } | dict(more or {})
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": layout.blob(f"{OCI}.config.v1+json", encode(document)),
        "layers": [layout.blob(one.media_type, one.data) for one in blobs],
    }
    descriptor = layout.blob(f"{OCI}.manifest.v1+json", encode(manifest))
    layout.tag(descriptor, tag)
    return descriptor


@dataclass(slots=True)
class Draft:
    """A good image as documents that a case may spoil before they are written.

    `spoil_config` and `spoil_manifest` change the JSON; what was changed is described truthfully by what points to it.
    `write_config`, `write_manifest`, `write_index` return the bytes to store, so that a text can be no JSON at all.
    """

    directory: str
    layer: bytes
    tag: str | None = "latest"
    config: dict[str, Any] = field(init=False)
    manifest: dict[str, Any] = field(init=False)
    index: dict[str, Any] = field(init=False)
    layout: Layout = field(init=False)
    finished: bool = field(init=False, default=False)
    """index.json was written."""

    def __post_init__(self) -> None:
        self.layout = Layout(self.directory)
        self.config = {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [digest(self.layer)]},
            "history": [{"created_by": "test"}],
        }
        self.manifest = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "layers": [self.layout.blob(f"{OCI}.layer.v1.tar", self.layer)],
        }

    def put_config(self, data: bytes | None = None, **descriptor: Any) -> None:
        """Stores the configuration and points the manifest at it."""
        stored = self.layout.blob(f"{OCI}.config.v1+json", encode(self.config) if data is None else data)
        self.manifest["config"] = stored | descriptor

    def put_manifest(self, data: bytes | None = None, **descriptor: Any) -> None:
        if "config" not in self.manifest:
            self.put_config()
        stored = self.layout.blob(f"{OCI}.manifest.v1+json", encode(self.manifest) if data is None else data)
        if self.tag is not None:
            stored["annotations"] = {REF_NAME: self.tag}
        self.index = {"schemaVersion": 2, "manifests": [stored | descriptor]}

    def put_index(self, data: bytes | None = None) -> None:
        if not hasattr(self, "index"):
            self.put_manifest()
        self.file("index.json", encode(self.index) if data is None else data)
        self.finished = True

    def file(self, name: str, data: bytes) -> None:
        with open(self.path(name), "wb") as out:
            out.write(data)

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def blob_path(self, descriptor: Mapping[str, Any]) -> str:
        return self.layout.blob_path(descriptor["digest"])


def text(document: Any, **options: Any) -> bytes:
    return json.dumps(document, **options).encode()
