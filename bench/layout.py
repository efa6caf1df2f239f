# SPDX-License-Identifier: Apache-2.0
"""An OCI image layout (image-spec, image-layout.md) around finished layers, written independently of caplet."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

COMPRESSORS = {"gzip": ("gzip", "-6", "-n"), "zstd": ("zstd", "-3", "-q")}
"""As builders compress by default: level 6 (Docker, compress/gzip) and level 3 (BuildKit, containerd)."""

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CHUNK = 1 << 20


def write(directory: str, compression: str, tars: list[str], config: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the layout with one image, tagged `latest`; return its layers' descriptors."""
    os.makedirs(os.path.join(directory, "blobs", "sha256"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        layers = list(pool.map(lambda tar: _layer(directory, compression, tar), tars))
        diff_ids = list(pool.map(_file_digest, tars))
    blob = _blob(directory, "config", _config(config, diff_ids))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob,
        "layers": layers,
    }
    descriptor = _blob(directory, "manifest", manifest)
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    _json(os.path.join(directory, "oci-layout"), {"imageLayoutVersion": "1.0.0"})
    _json(os.path.join(directory, "index.json"), {"schemaVersion": 2, "manifests": [descriptor]})
    return layers


def _config(config: dict[str, Any], diff_ids: list[str]) -> dict[str, Any]:
    return {
        "architecture": ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"bench step {index}"} for index, _ in enumerate(diff_ids)],
    }


def _layer(directory: str, compression: str, tar: str) -> dict[str, Any]:
    temporary = os.path.join(directory, os.path.basename(tar) + "." + compression)
    with open(tar, "rb") as source, open(temporary, "wb") as target:
        subprocess.run(COMPRESSORS[compression], stdin=source, stdout=target, check=True)
    digest = _file_digest(temporary)
    size = os.stat(temporary).st_size
    os.rename(temporary, _path(directory, digest))
    media_type = f"application/vnd.oci.image.layer.v1.tar+{compression}"
    return {"mediaType": media_type, "digest": digest, "size": size}


def _blob(directory: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    data = json.dumps(value).encode()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with open(_path(directory, digest), "wb") as file:
        file.write(data)
    return {
        "mediaType": f"application/vnd.oci.image.{kind}.v1+json",
        "digest": digest,
        "size": len(data),
    }


def _json(path: str, value: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def _path(directory: str, digest: str) -> str:
    return os.path.join(directory, "blobs", *digest.split(":"))


def _file_digest(path: str) -> str:
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
