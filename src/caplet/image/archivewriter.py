# SPDX-License-Identifier: Apache-2.0
"""Writes an image into one tar file: an OCI layout, for a Docker archive with a manifest.json in it.

That is the form of containerd and of Docker since 25 (moby image/tarexport/save.go): the blobs lie there once, as they
are, and docker load, podman load, skopeo and ctr all read it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from caplet.image import jsontext
from caplet.image.archive import MANIFEST_FILE, familiar
from caplet.image.descriptor import CONTAINERD_NAME, REF_NAME
from caplet.image.layer import Entry, Kind, TarWriter
from caplet.image.layout import INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT
from caplet.image.place import write_all, write_out
from caplet.image.tarwriter import header_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.image.blobs import Blob
    from caplet.image.descriptor import Descriptor

BLOCK = 512


def write_archive(fd: int, index: Any, docker: Any, blobs: Iterable[tuple[Descriptor, Blob]]) -> None:
    """The whole archive, in one order for the same image: nothing in it depends on time, user or machine."""
    members = {_name(descriptor): blob for descriptor, blob in blobs}
    tar = TarWriter(lambda data: write_all(fd, data))
    _file(tar, LAYOUT_FILE, LAYOUT_TEXT)
    _file(tar, INDEX_FILE, jsontext.dump(index))
    if docker is not None:
        _file(tar, MANIFEST_FILE, jsontext.dump(docker))
    for directory in sorted({"blobs", *(os.path.dirname(name) for name in members)}):
        tar.add(Entry(f"{directory}/".encode(), Kind.DIRECTORY, 0o755))
    for name in sorted(members):
        _blob(fd, name, members[name])
    tar.close()


def _name(descriptor: Descriptor) -> str:
    return f"blobs/{descriptor.digest.algorithm}/{descriptor.digest.hex}"


def _file(tar: TarWriter, name: str, data: bytes) -> None:
    tar.add(Entry(name.encode(), size=len(data)), [data])


def _blob(fd: int, name: str, blob: Blob) -> None:
    """As TarWriter.add, but the content stays in the kernel."""
    write_all(fd, header_blocks(Entry(name.encode(), size=blob.size)))
    write_out(blob, fd)
    write_all(fd, bytes(-blob.size % BLOCK))


def docker_manifest(config: Descriptor, layers: Iterable[Descriptor], tag: str) -> list[dict[str, Any]]:
    """manifest.json of one image."""
    return [
        {
            "Config": _name(config),
            "RepoTags": [familiar(tag)] if tag else None,
            "Layers": [_name(layer) for layer in layers],
        }
    ]


def docker_names(tag: str) -> dict[str, str]:
    """The annotations under which containerd and Docker know an image (containerd core/images/archive, exporter.go)."""
    if not tag:
        return {}
    name = familiar(tag)
    host, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in host and ":" not in host and host != "localhost":
        name = f"docker.io/{name}"
    return {CONTAINERD_NAME: name, REF_NAME: name.rpartition(":")[2]}
