# SPDX-License-Identifier: Apache-2.0
"""References as containers-transports(5) writes them; what is not on disk gets a hint instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from caplet.errors import CapletError, InvalidInput, Unavailable
from caplet.image.descriptor import Digest
from caplet.image.reference import Reference, Transport, parse_reference

if TYPE_CHECKING:
    from pathlib import Path

HEX = "0123456789abcdef" * 4
DIGEST = Digest("sha256", HEX)
OCI, OCI_ARCHIVE, DOCKER = Transport.OCI, Transport.OCI_ARCHIVE, Transport.DOCKER_ARCHIVE

GOOD = {
    "oci:dir": Reference(OCI, "dir"),
    "oci:/a/b": Reference(OCI, "/a/b"),
    "oci:.": Reference(OCI, "."),
    "oci:dir:v1": Reference(OCI, "dir", "v1"),
    "oci:a@b:v1": Reference(OCI, "a@b", "v1"),
    "oci:dir:registry.example/http:v1.0": Reference(OCI, "dir", "registry.example/http:v1.0"),
    f"oci:dir@sha256:{HEX}": Reference(OCI, "dir", "", DIGEST),
    f"oci:dir:v1@sha256:{HEX}": Reference(OCI, "dir", "v1", DIGEST),
    f"oci-archive:a.tar:v1@sha256:{HEX}": Reference(OCI_ARCHIVE, "a.tar", "v1", DIGEST),
    "oci:dir:@0": Reference(OCI, "dir", index=0),
    "oci-archive:a.tar": Reference(OCI_ARCHIVE, "a.tar"),
    "docker-archive:a.tar": Reference(DOCKER, "a.tar"),
    "docker-archive:a.tar:busybox": Reference(DOCKER, "a.tar", "busybox"),
    "docker-archive:a.tar:busybox:1": Reference(DOCKER, "a.tar", "busybox:1"),
    "docker-archive:a.tar:localhost:5000/x:1": Reference(DOCKER, "a.tar", "localhost:5000/x:1"),
    "docker-archive:a.tar:@12": Reference(DOCKER, "a.tar", index=12),
}


@pytest.mark.parametrize(("text", "reference"), GOOD.items())
def test_good(text: str, reference: Reference) -> None:
    assert parse_reference(text) == reference
    assert str(reference) == text


BAD = {
    "oci:": "names no path",
    "oci::tag": "names no path",
    "oci:dir:-tag": "not a valid tag",
    "oci:dir:a b": "not a valid tag",
    "oci:dir:v1\n": "not a valid tag",
    "oci:dir:a/../b": "not a valid tag",
    "oci:dir@sha256:abc": "not 64 lower-case",
    f"oci:dir@md5:{HEX}": "unknown algorithm",
    f"oci:dir@sha256:{HEX.upper()}": "lower-case",
    "oci:d\0ir": "NUL",
    "docker-archive:a.tar:@x": "not a valid tag",
    "": "empty",
}


@pytest.mark.parametrize(("text", "message"), BAD.items())
def test_bad(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_reference(text)


ELSEWHERE = {
    "nginx": "skopeo copy docker://nginx oci:",
    "registry.example/a/b:v1": "skopeo copy docker://registry.example/a/b:v1 oci:",
    "docker://nginx:1": "skopeo copy docker://nginx:1 oci:",
    "docker-daemon:nginx:1": "skopeo copy docker-daemon:nginx:1 oci:",
    "containers-storage:localhost/x": "skopeo copy containers-storage:localhost/x oci:",
    f"nginx@sha256:{HEX}": f"skopeo copy docker://nginx@sha256:{HEX} oci:",
}


@pytest.mark.parametrize(("text", "hint"), ELSEWHERE.items())
def test_not_on_disk(text: str, hint: str) -> None:
    with pytest.raises(Unavailable, match="not on this disk") as caught:
        parse_reference(text)
    assert hint in caught.value.hint


@pytest.mark.parametrize("scheme", ["dir", "sif", "ostree", "atomic", "tarball"])
def test_another_form_is_named(scheme: str) -> None:
    with pytest.raises(Unavailable, match=f"image layouts and archives only, not {scheme}:") as caught:
        parse_reference(f"{scheme}:image")
    assert f"skopeo copy {scheme}:image oci:image:latest" in caught.value.hint


def test_a_path_gets_the_right_spelling(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image.tar").write_bytes(b"")
    for name, hint in (
        ("image", f"oci:{tmp_path}/image"),
        ("image.tar", f"docker-archive:{tmp_path}/image.tar"),
    ):
        with pytest.raises(InvalidInput) as caught:
            parse_reference(f"{tmp_path}/{name}")
        assert hint in caught.value.hint
    with pytest.raises(CapletError, match="no such file"):
        parse_reference(f"{tmp_path}/none.tar")
