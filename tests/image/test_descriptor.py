# SPDX-License-Identifier: Apache-2.0
"""Digests, descriptors and platforms: what is accepted, and that nothing is lost."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.image.descriptor import Descriptor, Digest, Platform

HEX = "0123456789abcdef" * 4
GOOD: dict[str, Any] = {"mediaType": "a/b", "digest": f"sha256:{HEX}", "size": 3}

BAD_DIGESTS = {
    "empty": "",
    "no algorithm": HEX,
    "empty algorithm": f":{HEX}",
    "unknown algorithm": f"md5:{HEX[:32]}",
    "sha384, which OCI does not register": f"sha384:{HEX}{HEX[:32]}",
    "upper-case algorithm": f"SHA256:{HEX}",
    "upper-case digits": f"sha256:{HEX.upper()}",
    "short": f"sha256:{HEX[:-1]}",
    "long": f"sha256:{HEX}0",
    "sha512 with 64 digits": f"sha512:{HEX}",
    "path": "sha256:../../../../etc/passwd",
    "path of the right length": "sha256:" + "../" * 21 + "x",
    "NUL": f"sha256:{HEX[:-1]}\0",
    "newline": f"sha256:{HEX}\n",
    "space": f"sha256: {HEX[:-1]}",
    "digits of another script": "sha256:" + "\u0661" * 64,
    "full-width letters": "sha256:" + "\uff41" * 64,
    "two colons": f"sha256:sha256:{HEX[7:]}",
}


@pytest.mark.parametrize("text", BAD_DIGESTS.values(), ids=BAD_DIGESTS)
def test_digests_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="digest"):
        Digest.parse(text)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@given(data=st.binary())
def test_digest_is_of_its_algorithm(algorithm: str, data: bytes) -> None:
    text = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    digest = Digest.parse(text)
    hasher = digest.hasher()
    hasher.update(data)
    assert hasher.hexdigest() == digest.hex
    assert str(digest) == text


BAD_DESCRIPTORS: dict[str, object] = {
    "null": None,
    "a list": [],
    "no media type": {"digest": GOOD["digest"], "size": 3},
    "media type is a number": {**GOOD, "mediaType": 3},
    "no digest": {"mediaType": "a/b", "size": 3},
    "digest is a list": {**GOOD, "digest": []},
    "no size": {"mediaType": "a/b", "digest": GOOD["digest"]},
    "negative size": {**GOOD, "size": -1},
    "size is a text": {**GOOD, "size": "3"},
    "size is a fraction": {**GOOD, "size": 3.0},
    "size is true": {**GOOD, "size": True},
    "size beyond reason": {**GOOD, "size": 1 << 62},
    "annotations are a list": {**GOOD, "annotations": ["a"]},
    "annotation is a number": {**GOOD, "annotations": {"a": 1}},
    "platform is a text": {**GOOD, "platform": "linux/amd64"},
    "platform's architecture is a number": {**GOOD, "platform": {"os": "linux", "architecture": 1}},
    "os.features is a text": {**GOOD, "platform": {"os": "linux", "os.features": "a"}},
    "Digest": {"mediaType": "a/b", "digest": GOOD["digest"], "Digest": GOOD["digest"], "size": 3},
    "Size": {"mediaType": "a/b", "digest": GOOD["digest"], "Size": 3},
}


@pytest.mark.parametrize("value", BAD_DESCRIPTORS.values(), ids=BAD_DESCRIPTORS)
def test_descriptors_refused(value: object) -> None:
    with pytest.raises(InvalidInput):
        Descriptor.from_json(value)


def test_what_is_not_understood_is_kept() -> None:
    value = {
        **GOOD,
        "urls": ["https://a"],
        "annotations": {"b": "1", "a": "2"},
        "platform": {
            "architecture": "arm64",
            "os": "linux",
            "os.version": "1",
            "os.features": ["x"],
            "variant": "v8",
        },
        "com.example.unknown": {"deep": [1]},
        "artifactType": "x/y",
    }
    found = Descriptor.from_json(value)
    assert found.to_json() == value
    assert found.urls == ("https://a",)
    assert found.artifact_type == "x/y"
    assert {found} == {Descriptor.from_json(value)}


PLATFORMS = {
    "linux/amd64": "linux/amd64",
    "amd64": "linux/amd64",
    "linux/x86_64": "linux/amd64",
    "Linux/AMD64": "linux/amd64",
    "linux/aarch64": "linux/arm64",
    "linux/arm64/v8": "linux/arm64",
    "linux/arm": "linux/arm/v7",
    "linux/arm/7": "linux/arm/v7",
    "linux/armhf": "linux/arm/v7",
    "linux/arm/v6": "linux/arm/v6",
    "linux/amd64/v3": "linux/amd64/v3",
    "windows/amd64": "windows/amd64",
}


@pytest.mark.parametrize(("text", "normal"), PLATFORMS.items())
def test_platforms(text: str, normal: str) -> None:
    """The spellings of containerd's platforms.Parse and Normalize."""
    assert str(Platform.parse(text)) == normal
    assert Platform.parse(text).matches(Platform.parse(normal))


@pytest.mark.parametrize(
    "text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux/amd64\n", "li nux/amd64"]
)
def test_platforms_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a platform"):
        Platform.parse(text)
