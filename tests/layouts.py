# SPDX-License-Identifier: Apache-2.0
"""Images for tests as OCI layouts on disk, written by the standard library's tarfile, zlib and json: nothing of caplet's.

>>> tar([directory("usr"), file("usr/app", b"program")])[:3]
b'usr'
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ELF = b"\x7fELF\x02\x01\x01\0" + bytes(56)
"""What looks like a program to everything that does not execute it."""

CAPS = "SCHILY.xattr.security.capability"
NET_BIND_SERVICE = bytes.fromhex("0100000200040000000000000000000000000000")
"""cap_net_bind_service=ep (FACTS: include/uapi/linux/capability.h, revision 2)."""

OCI = "application/vnd.oci.image"
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True, slots=True)
class Item:
    """One tar entry."""

    name: str
    type: bytes = tarfile.REGTYPE
    data: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float | int = 1_600_000_000
    link: str = ""
    xattrs: Mapping[str, bytes] = field(default_factory=dict)
    uname: str = ""
    gname: str = ""
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, str] = field(default_factory=dict)

    def header(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name)
        info.type, info.size, info.mode = self.type, len(self.data), self.mode
        info.uid, info.gid, info.uname, info.gname = self.uid, self.gid, self.uname, self.gname
        info.mtime, info.linkname = self.mtime, self.link
        info.devmajor, info.devminor = self.device
        info.pax_headers = dict(self.pax) | {
            f"SCHILY.xattr.{name}": value.decode("utf-8", "surrogateescape")
            for name, value in self.xattrs.items()
        }
        return info


def file(name: str, data: bytes = b"", mode: int = 0o755, **more: Any) -> Item:
    return Item(name, data=data, mode=mode, **more)


def directory(name: str, mode: int = 0o755, **more: Any) -> Item:
    return Item(name, tarfile.DIRTYPE, mode=mode, **more)


def symlink(name: str, target: str, **more: Any) -> Item:
    return Item(name, tarfile.SYMTYPE, link=target, mode=0o777, **more)


def hardlink(name: str, target: str, mode: int = 0o755, **more: Any) -> Item:
    return Item(name, tarfile.LNKTYPE, link=target, mode=mode, **more)


def whiteout(name: str) -> Item:
    head, _, tail = name.rpartition("/")
    return Item(f"{head}/.wh.{tail}" if head else f".wh.{tail}")


def opaque(name: str) -> Item:
    return Item(f"{name}/.wh..wh..opq")


def tar(items: Iterable[Item], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A layer's archive. surrogateescape carries bytes that are not UTF-8."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as archive:
        for item in items:
            archive.addfile(item.header(), io.BytesIO(item.data))
    return out.getvalue()


def compress(data: bytes, compression: str) -> tuple[str, bytes]:
    """The media type's suffix and the blob."""
    if compression == "gzip":
        return "+gzip", gzip.compress(data, 6, mtime=0)
    if compression == "zstd":
        from backports import zstd

        return "+zstd", zstd.compress(data, 3)
    return "", data


@dataclass(slots=True)
class Layout:
    """An OCI layout that grows: each call of `image` adds one under its tag."""

    path: str

    def __post_init__(self) -> None:
        os.makedirs(os.path.join(self.path, "blobs", "sha256"), exist_ok=True)
        self._json("oci-layout", {"imageLayoutVersion": "1.0.0"})

    def image(
        self,
        layers: Sequence[bytes | Sequence[Item]],
        tag: str | None = "latest",
        *,
        config: Mapping[str, Any] | None = None,
        compression: str = "gzip",
        architecture: str = "amd64",
        manifest: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Writes an image; returns its descriptor. `config` is the process part, `more` goes beside it."""
        tars = [layer if isinstance(layer, bytes) else tar(layer) for layer in layers]
        descriptors = []
        for one in tars:
            suffix, blob = compress(one, compression)
            descriptors.append(self.blob(f"{OCI}.layer.v1.tar{suffix}", blob))
        document = {
            "created": "2020-01-01T00:00:00Z",
            "architecture": architecture,
            "os": "linux",
            "config": dict(config or {}),
            "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in tars]},
            "history": [{"created_by": f"step {number}"} for number in range(len(tars))],
        } | dict(more or {})
        kind = f"{OCI}.manifest.v1+json"
        body = {
            "schemaVersion": 2,
            "mediaType": kind,
            "config": self.blob(f"{OCI}.config.v1+json", encode(document)),
            "layers": descriptors,
        } | dict(manifest or {})
        descriptor = self.blob(kind, encode(body))
        if tag is not None:
            self.tag(descriptor, tag)
        return descriptor

    def index(self, images: Sequence[Mapping[str, Any]], tag: str = "latest") -> dict[str, Any]:
        """An index over descriptors, which carry their platform and annotations."""
        body = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": list(images)}
        descriptor = self.blob(f"{OCI}.index.v1+json", encode(body))
        self.tag(descriptor, tag)
        return descriptor

    def blob(self, media_type: str, data: bytes) -> dict[str, Any]:
        with open(self.blob_path(digest(data)), "wb") as out:
            out.write(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    def tag(self, descriptor: Mapping[str, Any], tag: str) -> None:
        annotations = dict(descriptor.get("annotations", {})) | {REF_NAME: tag}
        entries = [one for one in self.entries() if one.get("annotations", {}).get(REF_NAME) != tag]
        self._json(
            "index.json",
            {"schemaVersion": 2, "manifests": [*entries, dict(descriptor) | {"annotations": annotations}]},
        )

    def entries(self) -> list[dict[str, Any]]:
        """The descriptors of index.json."""
        try:
            with open(os.path.join(self.path, "index.json"), encoding="utf-8") as source:
                entries: list[dict[str, Any]] = json.load(source)["manifests"]
        except FileNotFoundError:
            return []
        return entries

    def resolve(self, tag: str = "latest") -> dict[str, Any]:
        """The descriptor with that tag."""
        (found,) = [one for one in self.entries() if one["annotations"].get(REF_NAME) == tag]
        return found

    def read(self, descriptor: Mapping[str, Any]) -> bytes:
        with open(self.blob_path(descriptor["digest"]), "rb") as source:
            return source.read()

    def manifest(self, tag: str = "latest") -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.read(self.resolve(tag)))
        return document

    def config(self, tag: str = "latest") -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.read(self.manifest(tag)["config"]))
        return document

    def layer(self, number: int, tag: str = "latest") -> bytes:
        """The uncompressed archive of a layer."""
        blob = self.read(self.manifest(tag)["layers"][number])
        if blob.startswith(b"\x1f\x8b"):
            return gzip.decompress(blob)
        if blob.startswith(b"\x28\xb5\x2f\xfd"):
            from backports import zstd

            return zstd.decompress(blob)
        return blob

    def members(self, number: int, tag: str = "latest") -> list[tarfile.TarInfo]:
        """The entries of a layer, as tarfile reads them."""
        with tarfile.open(fileobj=io.BytesIO(self.layer(number, tag)), errors="surrogateescape") as archive:
            return archive.getmembers()

    def blob_path(self, name: str) -> str:
        return os.path.join(self.path, "blobs", *name.split(":"))

    def _json(self, name: str, document: Mapping[str, Any]) -> None:
        with open(os.path.join(self.path, name), "w", encoding="utf-8") as out:
            json.dump(document, out)


def attribute(member: tarfile.TarInfo, name: str = "security.capability") -> bytes | None:
    """An extended attribute of an entry."""
    value = member.pax_headers.get(f"SCHILY.xattr.{name}")
    return None if value is None else value.encode("utf-8", "surrogateescape")


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def encode(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document).encode()
