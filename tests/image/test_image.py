# SPDX-License-Identifier: Apache-2.0
"""Images and indexes are changed into others; what was not changed is the same bytes."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, digest, encode, file, tar

from caplet.errors import ImageError, InvalidInput
from caplet.image.blobs import read_blob
from caplet.image.compression import Compression
from caplet.image.config import History
from caplet.image.copy import write_image
from caplet.image.descriptor import Descriptor, Platform
from caplet.image.image import Image, Index, new_image, new_index, open_image
from caplet.image.newlayer import LayerWriter, NewLayer
from caplet.image.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
LAYER = tar([file("app", b"program" * 1000)])
ADDED = tar([file("etc/added", b"added")])
HISTORY = History("caplet grant")


def new_layer(data: bytes = ADDED, kind: Compression = Compression.STORED) -> NewLayer:
    with LayerWriter(kind) as out:
        out.write(data)
        return out.finish()


def opened(layout: Layout, rest: str = "") -> Image:
    image = open_image(f"oci:{layout.path}{rest}")
    assert isinstance(image, Image)
    return image


def opened_index(layout: Layout, rest: str = "") -> Index:
    index = open_image(f"oci:{layout.path}{rest}")
    assert isinstance(index, Index)
    return index


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path / "layout"))


# One image


def test_append(layout: Layout) -> None:
    layout.image([LAYER], manifest={"annotations": {"a": "b"}, "x-unknown": [1]})
    before = opened(layout)
    after = before.append(new_layer(), HISTORY)
    manifest, config = dict(after.manifest), dict(after.config.raw)
    assert manifest["layers"][:-1] == before.manifest["layers"]
    assert [*manifest] == [*before.manifest], "the same fields in the same order"
    assert manifest["annotations"] == {"a": "b"}
    assert manifest["x-unknown"] == [1]
    assert config["rootfs"]["diff_ids"] == [digest(LAYER), digest(ADDED)]
    assert config["history"][-1] == {"created": "2020-01-01T00:00:00Z", "created_by": "caplet grant"}
    assert [b"".join(layer.chunks()) for layer in after.layers] == [LAYER, ADDED]
    assert validate(after) == []
    assert before.layers[0].descriptor == after.layers[0].descriptor
    assert len(before.layers) == 1, "the image in hand has not changed"


def test_replace(layout: Layout) -> None:
    layout.image([LAYER, tar([]), LAYER], compression="zstd")
    after = opened(layout).replace(1, new_layer(kind=Compression.ZSTD), HISTORY)
    assert [b"".join(layer.chunks()) for layer in after.layers] == [LAYER, ADDED, LAYER]
    assert [layer.descriptor.media_type[-5:] for layer in after.layers] == ["+zstd"] * 3
    assert after.config.history[-1]["empty_layer"] is True
    assert validate(after) == []


def test_changes_add_up(layout: Layout) -> None:
    layout.image([LAYER])
    one = opened(layout).append(new_layer(), HISTORY).append(new_layer(LAYER), HISTORY)
    after = one.with_config(one.config.with_process(User="65532"))
    assert [b"".join(layer.chunks()) for layer in after.layers] == [LAYER, ADDED, LAYER]
    assert after.config.user == "65532"
    assert validate(after) == []


def test_no_change_is_the_same_image(layout: Layout) -> None:
    layout.image([LAYER])
    image = opened(layout)
    same = image.with_config(image.config)
    # The test's JSON has spaces, ours has none: written anew the bytes differ, the second time they do not.
    assert same.with_config(same.config) is same


def test_a_config_for_other_layers_is_refused(layout: Layout) -> None:
    layout.image([LAYER])
    image = opened(layout)
    with pytest.raises(InvalidInput, match="other layers"):
        image.with_config(image.append(new_layer(), HISTORY).config)


def test_embedded_content_of_a_descriptor_is_dropped(layout: Layout) -> None:
    """`data` is the blob itself in base64: kept, it would be the old configuration."""
    layout.image([LAYER])
    manifest = layout.manifest()
    manifest["config"]["data"] = "e30="
    layout.tag(layout.blob(f"{OCI}.manifest.v1+json", encode(manifest)), "latest")
    assert "data" not in opened(layout).append(new_layer(), HISTORY).manifest["config"]


def docker(layout: Layout) -> None:
    layout.image([LAYER])
    manifest = layout.manifest()
    manifest["mediaType"] = f"{DOCKER}.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = f"{DOCKER}.container.image.v1+json"
    manifest["layers"][0]["mediaType"] = f"{DOCKER}.image.rootfs.diff.tar.gzip"
    layout.tag(layout.blob(manifest["mediaType"], encode(manifest)), "latest")


def test_docker_stays_docker(layout: Layout) -> None:
    docker(layout)
    after = opened(layout).append(new_layer(), HISTORY)
    assert (
        after.manifest["mediaType"]
        == after.descriptor.media_type
        == f"{DOCKER}.distribution.manifest.v2+json"
    )
    assert after.manifest["config"]["mediaType"] == f"{DOCKER}.container.image.v1+json"
    assert after.layers[1].descriptor.media_type == f"{DOCKER}.image.rootfs.diff.tar.gzip"
    assert validate(after) == []
    with pytest.raises(InvalidInput, match="zstd"):
        opened(layout).append(new_layer(kind=Compression.ZSTD), HISTORY)


def test_a_platform_is_asked_for(layout: Layout) -> None:
    layout.image([LAYER], architecture="arm64")
    assert isinstance(open_image(f"oci:{layout.path}", Platform.parse("linux/arm64/v8")), Image)
    with pytest.raises(InvalidInput, match="is for linux/arm64, not for linux/amd64"):
        open_image(f"oci:{layout.path}", Platform.parse("linux/amd64"))


def test_new_images(tmp_path: Path) -> None:
    images = [
        new_image({"architecture": architecture, "os": "linux", "config": {"User": "65532"}}, [new_layer()])
        for architecture in ("amd64", "arm64")
    ]
    assert [b"".join(layer.chunks()) for layer in images[0].layers] == [ADDED]
    index = new_index(images)
    assert [str(image.platform) for image in index.images()] == ["linux/amd64", "linux/arm64"]
    for name, image in (("one", images[0]), ("both", index)):
        write_image(image, f"oci:{tmp_path}/{name}")
        assert validate(open_image(f"oci:{tmp_path}/{name}")) == []


# Reading a layer


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("caplet")]


HELPER = ["caplet-decompress"] if (os.cpu_count() or 1) > 1 else []


def test_leaving_a_layer_early_ends_its_thread(layout: Layout) -> None:
    layout.image([os.urandom(8_000_000)])
    reading = opened(layout).layers[0].chunks()
    next(reading)
    assert threads() == HELPER
    start = time.monotonic()
    reading.close()  # type: ignore[attr-defined]
    assert threads() == []
    assert time.monotonic() - start < 1


def test_a_layer_that_nobody_holds_any_more_ends_its_thread(layout: Layout) -> None:
    layout.image([os.urandom(8_000_000)])
    reading = opened(layout).layers[0].chunks()
    next(reading)
    del reading
    assert threads() == []


def test_layers_are_read_side_by_side(layout: Layout) -> None:
    layers = [os.urandom(3_000_000) for _ in range(3)]
    layout.image(layers)
    reading = [layer.chunks() for layer in opened(layout).layers]
    found = [b"" for _ in reading]
    for place in (0, 1, 2) * 50:
        found[place] += next(reading[place], b"")
    assert [one + b"".join(rest) for one, rest in zip(found, reading, strict=True)] == layers
    assert threads() == []


def test_a_layer_gets_a_thread_only_where_a_processor_is_free(layout: Layout) -> None:
    processors = os.cpu_count() or 1
    layout.image([os.urandom(8_000_000)] * (2 * processors))
    reading = [layer.chunks() for layer in opened(layout).layers]
    for one in reading:
        next(one)
    assert len(threads()) == processors // 2
    for one in reading:
        for _ in one:
            pass
    again = opened(layout).layers[0].chunks()
    next(again)
    assert threads() == HELPER
    for _ in again:
        pass


def test_a_wrong_blob_is_noticed_at_the_end(layout: Layout) -> None:
    """The last step raises, and what was read is not taken for proved."""
    layout.image([os.urandom(4_000_000)], compression="plain")
    path = layout.blob_path(layout.manifest()["layers"][0]["digest"])
    with open(path, "r+b") as blob:
        blob.seek(2_000_000)
        blob.write(b"!")
    image = opened(layout)
    with pytest.raises(ImageError, match="does not match its digest"):
        list(image.layers[0].chunks())
    assert image.layers[0].descriptor.digest not in image.source.proofs


# Indexes


def platform(architecture: str, variant: str = "") -> dict[str, Any]:
    return {
        "platform": {"architecture": architecture, "os": "linux"} | ({"variant": variant} if variant else {})
    }


def attestation(layout: Layout, about: dict[str, Any]) -> dict[str, Any]:
    """As BuildKit writes them: an image manifest in form, with a statement for a layer."""
    statement = layout.blob("application/vnd.in-toto+json", encode({"subject": about["digest"]}))
    config = {
        "architecture": "unknown",
        "os": "unknown",
        "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "config": layout.blob(f"{OCI}.config.v1+json", encode(config)),
        "layers": [statement],
    }
    return {
        **layout.blob(f"{OCI}.manifest.v1+json", encode(manifest)),
        "annotations": {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": about["digest"],
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }


def artifact(layout: Layout, about: dict[str, Any]) -> dict[str, Any]:
    """A referrer, as `oras attach` writes it."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{OCI}.manifest.v1+json",
        "artifactType": "application/vnd.example.sbom",
        "config": layout.blob("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [layout.blob("text/plain", b"sbom of " + about["digest"].encode())],
        "subject": {name: about[name] for name in ("mediaType", "digest", "size")},
    }
    return {
        **layout.blob(f"{OCI}.manifest.v1+json", encode(manifest)),
        "artifactType": "application/vnd.example.sbom",
    }


def many(layout: Layout) -> list[dict[str, Any]]:
    """Two platforms, each with an attestation and a referrer, and something unknown."""
    amd = {**layout.image([LAYER], None), **platform("amd64"), "annotations": {"kept": "1"}, "x": 1}
    arm = {**layout.image([LAYER], None, architecture="arm64"), **platform("arm64", "v8")}
    unknown = {"mediaType": "application/x-unknown", **digest_of(layout, b"unknown")}
    entries = [
        amd, arm, attestation(layout, amd), attestation(layout, arm), artifact(layout, amd), artifact(layout, arm), unknown,
    ]  # fmt: skip
    layout.index(entries, "many")
    return entries


def digest_of(layout: Layout, data: bytes) -> dict[str, Any]:
    return {name: value for name, value in layout.blob("x", data).items() if name != "mediaType"}


def granted(image: Image) -> Image:
    return image.append(new_layer(), HISTORY)


def only_arm(image: Image) -> Image:
    return granted(image) if image.platform.architecture == "arm64" else image


def test_index_is_read(layout: Layout) -> None:
    entries = many(layout)
    index = opened_index(layout)
    assert [str(child.platform) for child in index.children if child.image] == [
        "linux/amd64",
        "linux/arm64/v8",
    ]
    assert [str(one.digest) for one in index.attestations()] == [one["digest"] for one in entries[2:4]]
    assert str(index.select(Platform.parse("arm64")).digest) == entries[1]["digest"]
    with pytest.raises(InvalidInput, match="no image for linux/s390x") as caught:
        index.select(Platform.parse("linux/s390x"))
    assert caught.value.hint == "it has: linux/amd64, linux/arm64/v8"
    assert validate(index) == []


def test_map_one_platform(layout: Layout) -> None:
    entries = many(layout)
    index = opened_index(layout).map(only_arm)
    found = [dict(one) for one in index.raw["manifests"]]
    assert [one["digest"] for one in found] == [
        entries[0]["digest"], found[1]["digest"], entries[2]["digest"], entries[4]["digest"], entries[6]["digest"],
    ]  # fmt: skip
    assert found[0] == entries[0], "untouched, with its annotations and unknown fields"
    assert found[1]["platform"] == entries[1]["platform"]
    assert found[1]["digest"] != entries[1]["digest"]
    assert [str(one.digest) for one in index.dropped] == [entries[3]["digest"], entries[5]["digest"]]
    assert validate(index) == []


def test_map_all(layout: Layout, tmp_path: Path) -> None:
    many(layout)
    index = opened_index(layout).map(granted)
    assert [len(image.layers) for image in index.images()] == [2, 2]
    assert len(index.dropped) == 4
    write_image(index, f"oci:{tmp_path}/out:v1")
    again = open_image(f"oci:{tmp_path}/out:v1")
    assert again.digest == index.digest
    assert validate(again) == []


def test_map_without_change(layout: Layout) -> None:
    many(layout)
    index = opened_index(layout)
    assert index.map(lambda image: image) is index


def test_map_reaches_nested_indexes(layout: Layout) -> None:
    amd = {**layout.image([LAYER], None), **platform("amd64")}
    arm = {**layout.image([LAYER], None, architecture="arm64"), **platform("arm64")}
    inner, other = layout.index([arm], "inner"), layout.index([amd], "other")
    layout.index([inner, other, inner], "outer")
    index = opened_index(layout, ":outer").map(only_arm)
    found = [one["digest"] for one in index.raw["manifests"]]
    assert found[0] == found[2] != inner["digest"]
    assert found[1] == other["digest"], "an index without a changed image stays as it is"
    assert sorted(len(image.layers) for image in index.images()) == [1, 2]
    assert validate(index) == []


def test_a_docker_list_stays_one(layout: Layout) -> None:
    docker(layout)
    media_type = f"{DOCKER}.distribution.manifest.list.v2+json"
    body = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [{**layout.resolve(), **platform("amd64"), "annotations": {}}],
    }
    layout.tag(layout.blob(media_type, encode(body)), "list")
    index = opened_index(layout, ":list").map(granted)
    assert index.raw["mediaType"] == index.descriptor.media_type == media_type
    assert validate(index) == []


def test_platforms_that_were_left_elsewhere(layout: Layout, tmp_path: Path) -> None:
    """`docker save` lists all platforms and holds one."""
    entries = many(layout)
    os.unlink(layout.blob_path(entries[0]["digest"]))
    index = opened_index(layout)
    assert [str(one.digest) for one in index.absent()] == [entries[0]["digest"]]
    assert len(index.images()) == 1
    with pytest.raises(ImageError, match="does not contain it"):
        index.select(Platform.parse("amd64"))
    changed = index.map(only_arm)
    write_image(changed, f"oci:{tmp_path}/out")
    assert validate(open_image(f"oci:{tmp_path}/out")) == []
    os.unlink(layout.blob_path(entries[1]["digest"]))
    with pytest.raises(ImageError, match="none of its images"):
        opened_index(layout).images()


def test_documents_of_a_changed_index_are_compact_json(layout: Layout) -> None:
    many(layout)
    index = opened_index(layout).map(granted)
    root = index.source.root()
    assert isinstance(root, Descriptor)
    data = read_blob(index.source, root, 1 << 20, "index")
    assert data == json.dumps(json.loads(data), separators=(",", ":")).encode()
