# SPDX-License-Identifier: Apache-2.0
"""Each invariant of an image, broken alone, is named; a whole image has nothing to say."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, digest, encode, file, tar

from caplet.image.image import open_image
from caplet.image.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
LAYER = tar([file("app", b"program")])


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([LAYER, tar([])])
    return layout


def found(layout: Layout, rest: str = "") -> list[str]:
    return validate(open_image(f"oci:{layout.path}{rest}"))


def test_a_whole_image(layout: Layout) -> None:
    assert found(layout) == []


def change(layout: Layout, manifest: dict[str, Any], config: dict[str, Any] | None = None) -> None:
    if config is not None:
        manifest["config"] = layout.blob(manifest["config"]["mediaType"], encode(config))
    layout.tag(layout.blob(manifest.get("mediaType", f"{OCI}.manifest.v1+json"), encode(manifest)), "latest")


def removed(layout: Layout) -> None:
    os.unlink(layout.blob_path(layout.manifest()["layers"][0]["digest"]))


def shortened(layout: Layout) -> None:
    os.truncate(layout.blob_path(layout.manifest()["layers"][0]["digest"]), 10)


def altered(layout: Layout) -> None:
    with open(layout.blob_path(layout.manifest()["layers"][0]["digest"]), "r+b") as blob:
        blob.seek(15)
        blob.write(b"!!")


def other_diff_id(layout: Layout) -> None:
    config = layout.config()
    config["rootfs"]["diff_ids"].reverse()
    change(layout, layout.manifest(), config)


def not_a_tar(layout: Layout) -> None:
    data = b"no archive" * 100
    config, manifest = layout.config(), layout.manifest()
    config["rootfs"]["diff_ids"][0] = digest(data)
    manifest["layers"][0] = layout.blob(f"{OCI}.layer.v1.tar", data)
    change(layout, manifest, config)


def more_history(layout: Layout) -> None:
    config = layout.config()
    config["history"].append({"created_by": "one more"})
    change(layout, layout.manifest(), config)


def no_architecture(layout: Layout) -> None:
    config = layout.config()
    del config["architecture"]
    change(layout, layout.manifest(), config)


def docker_manifest(layout: Layout) -> None:
    manifest = layout.manifest()
    manifest["mediaType"] = f"{DOCKER}.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = f"{DOCKER}.container.image.v1+json"
    change(layout, manifest)


BROKEN: dict[str, tuple[Callable[[Layout], None], str]] = {
    "a blob is missing": (removed, "is missing"),
    "a blob is short": (shortened, "its descriptor says"),
    "a blob is altered": (altered, "does not match its digest"),
    "diff_ids of other layers": (other_diff_id, "does not match its diff_id"),
    "a layer is no tar": (not_a_tar, "layer 0"),
    "history of another length": (more_history, "history has 3 steps"),
    "no architecture": (no_architecture, "lacks 'os' or 'architecture'"),
    "OCI layers in a Docker manifest": (docker_manifest, "a Docker manifest with"),
}


@pytest.mark.parametrize(("break_it", "sentence"), BROKEN.values(), ids=BROKEN)
def test_broken(layout: Layout, break_it: Callable[[Layout], None], sentence: str) -> None:
    break_it(layout)
    problems = found(layout)
    assert problems
    assert any(sentence in one for one in problems), problems


def test_an_index_lists_the_right_platform(layout: Layout) -> None:
    one = {**layout.resolve(), "annotations": {}, "platform": {"os": "linux", "architecture": "arm64"}}
    layout.index([one], "index")
    assert found(layout, ":index") == [
        f"index {layout.resolve('index')['digest']}: lists {one['digest']} for linux/arm64, which is for linux/amd64"
    ]


def test_an_attestation_is_about_an_image_that_is_listed(layout: Layout) -> None:
    about = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": "sha256:" + "0" * 64,
    }
    layout.index([{**layout.resolve(), "annotations": about}], "index")
    (problem,) = found(layout, ":index")
    assert "which is not listed" in problem
