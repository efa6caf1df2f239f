# SPDX-License-Identifier: Apache-2.0
"""An OCI layout, as a directory and as a tar file: what is read, which entry a reference means, what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, encode, file

from caplet.errors import CapletError, ImageError, InvalidInput
from caplet.image.image import Image, Index, open_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"


def archived(layout: str, path: str) -> str:
    """The layout as one tar file."""
    with tarfile.open(path, "w") as archive:
        archive.add(layout, ".")
    return path


@pytest.fixture(params=["oci", "oci-archive"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Image | Index]:
    """Opens a layout, as a directory or packed into an archive first."""

    def open_it(layout: Layout, rest: str = "") -> Image | Index:
        path = layout.path
        if request.param == "oci-archive":
            path = archived(path, str(tmp_path / "layout.tar"))
        return open_image(f"{request.param}:{path}{rest}")

    return open_it


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path / "layout"))


LAYER = [file("app", b"program" * 100)]


def read_through(image: Image | Index) -> list[bytes]:
    assert isinstance(image, Image)
    return [b"".join(layer.chunks()) for layer in image.layers]


# What is read


@pytest.mark.parametrize("compression", ["gzip", "zstd", "plain"])
def test_layers_come_lowest_first(layout: Layout, opened: Callable[..., Image], compression: str) -> None:
    layout.image(
        [LAYER, [file("other", os.urandom(3_000_000))]], compression=compression, config={"User": "65535"}
    )
    image = opened(layout)
    assert read_through(image) == [layout.layer(0), layout.layer(1)]
    assert image.config.user == "65535"
    assert str(image.platform) == "linux/amd64"
    assert str(image.digest) == layout.resolve()["digest"]


def test_sha512(layout: Layout, opened: Callable[..., Image]) -> None:
    layout.image([LAYER])
    os.mkdir(os.path.join(layout.path, "blobs", "sha512"))

    def blob(media_type: str, data: bytes) -> dict[str, Any]:
        digest = "sha512:" + hashlib.sha512(data).hexdigest()
        with open(layout.blob_path(digest), "wb") as out:
            out.write(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    config = layout.config()
    config["rootfs"]["diff_ids"] = ["sha512:" + hashlib.sha512(layout.layer(0)).hexdigest()]
    layer = blob(f"{OCI}.layer.v1.tar+gzip", layout.read(layout.manifest()["layers"][0]))
    document = {
        "schemaVersion": 2,
        "config": blob(f"{OCI}.config.v1+json", encode(config)),
        "layers": [layer],
    }
    layout.tag(blob(f"{OCI}.manifest.v1+json", encode(document)), "latest")
    content = layout.layer(0)
    assert read_through(opened(layout)) == [content]


@pytest.mark.parametrize("suffix", ["", ".gzip"], ids=["plain", "gzip"])
def test_docker_media_types(layout: Layout, opened: Callable[..., Image], suffix: str) -> None:
    """Of Docker's plain type containerd looks at the content: some pushed gzip under that name."""
    layout.image([LAYER])
    manifest = layout.manifest()
    manifest["mediaType"] = f"{DOCKER}.distribution.manifest.v2+json"
    manifest["config"]["mediaType"] = f"{DOCKER}.container.image.v1+json"
    manifest["layers"][0]["mediaType"] = f"{DOCKER}.image.rootfs.diff.tar{suffix}"
    layout.tag(layout.blob(manifest["mediaType"], encode(manifest)), "latest")
    assert read_through(opened(layout)) == [layout.layer(0)]


def test_an_image_without_layers(layout: Layout, opened: Callable[..., Image]) -> None:
    layout.image([])
    assert opened(layout).layers == ()


# Which entry a reference means


def test_tags(layout: Layout, opened: Callable[..., Image]) -> None:
    one, two = layout.image([LAYER], "one"), layout.image([], "two")
    assert str(opened(layout, ":one").digest) == one["digest"]
    assert str(opened(layout, ":two").digest) == two["digest"]
    with pytest.raises(InvalidInput, match="several images") as caught:
        opened(layout)
    assert ":one" in caught.value.hint
    assert ":two" in caught.value.hint
    with pytest.raises(InvalidInput, match="no tag 'three'"):
        opened(layout, ":three")


def test_the_same_image_under_two_tags_needs_none(layout: Layout, opened: Callable[..., Image]) -> None:
    layout.tag(layout.image([LAYER], "one"), "two")
    assert len(opened(layout).layers) == 1


def test_the_untagged_image_beside_tagged_ones(layout: Layout, opened: Callable[..., Image]) -> None:
    """What `grant oci:image -o oci:image:granted` leaves: oci:image still means what it meant."""
    one = layout.image([LAYER], None)
    layout.image([], "granted")
    write(layout, "index.json", {"schemaVersion": 2, "manifests": [one, *layout.entries()]})
    assert str(opened(layout).digest) == one["digest"]


def test_the_name_that_docker_writes(layout: Layout, opened: Callable[..., Image]) -> None:
    one = layout.image([LAYER], None)
    one["annotations"] = {"io.containerd.image.name": "docker.io/library/http:v1"}
    layout.tag(one, "v1")
    layout.image([], "v2")
    assert str(opened(layout, ":docker.io/library/http:v1").digest) == one["digest"]


def test_a_digest_names_what_no_tag_does(layout: Layout, opened: Callable[..., Image]) -> None:
    arm, amd = layout.image([LAYER], None, architecture="arm64"), layout.image([LAYER], None)
    layout.index([arm, amd], "both")
    layout.image([], "other")
    for rest in (f"@{arm['digest']}", f":both@{arm['digest']}"):
        assert str(opened(layout, rest).platform) == "linux/arm64"
    for rest in (f":other@{arm['digest']}", "@sha256:" + "0" * 64):
        with pytest.raises(InvalidInput, match="no manifest"):
            opened(layout, rest)


def test_a_number(layout: Layout, opened: Callable[..., Image]) -> None:
    layout.image([LAYER], "one")
    two = layout.image([], "two")
    assert str(opened(layout, ":@1").digest) == two["digest"]
    with pytest.raises(InvalidInput, match="none at 2"):
        opened(layout, ":@2")


def test_one_tag_for_two_images_is_ambiguous(layout: Layout, opened: Callable[..., Image]) -> None:
    one = layout.image([LAYER], "v1")
    two = {**layout.image([], None), "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    write(layout, "index.json", {"schemaVersion": 2, "manifests": [*layout.entries(), two]})
    assert one != two
    with pytest.raises(InvalidInput, match="'v1' stands for several images"):
        opened(layout, ":v1")


# What is refused


def write(layout: Layout, name: str, document: object) -> None:
    with open(os.path.join(layout.path, name), "w", encoding="utf-8") as out:
        out.write(document if isinstance(document, str) else json.dumps(document))


def edited_index(change: Callable[[dict[str, Any]], object]) -> Callable[[Layout], None]:
    def hostile(layout: Layout) -> None:
        index = {"schemaVersion": 2, "manifests": layout.entries()}
        change(index)
        write(layout, "index.json", index)

    return hostile


def edited_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Layout], None]:
    def hostile(layout: Layout) -> None:
        manifest = layout.manifest()
        change(manifest)
        layout.tag(layout.blob(layout.resolve()["mediaType"], encode(manifest)), "latest")

    return hostile


def edited_config(change: Callable[[dict[str, Any]], object]) -> Callable[[Layout], None]:
    def hostile(layout: Layout) -> None:
        manifest, config = layout.manifest(), layout.config()
        change(config)
        manifest["config"] = layout.blob(manifest["config"]["mediaType"], encode(config))
        layout.tag(layout.blob(layout.resolve()["mediaType"], encode(manifest)), "latest")

    return hostile


def layer_path(layout: Layout) -> str:
    return layout.blob_path(layout.manifest()["layers"][0]["digest"])


def replaced(data: bytes) -> Callable[[Layout], None]:
    def hostile(layout: Layout) -> None:
        with open(layer_path(layout), "wb") as out:
            out.write(data)

    return hostile


def same_size(layout: Layout) -> None:
    path = layer_path(layout)
    size = os.path.getsize(path)
    with open(path, "r+b") as out:
        out.seek(size - 5)
        out.write(b"wrong")


def removed(name: str) -> Callable[[Layout], None]:
    return lambda layout: os.unlink(os.path.join(layout.path, name))


def text(name: str, data: str) -> Callable[[Layout], None]:
    return lambda layout: write(layout, name, data)


def duplicate_key(layout: Layout) -> None:
    data = layout.read(layout.resolve()).replace(b'"layers"', b'"layers": [], "layers"')
    layout.tag(layout.blob(f"{OCI}.manifest.v1+json", data), "latest")


def unmentioned(data: bytes) -> Callable[[Layout], None]:
    """A manifest of other bytes than JSON."""
    return lambda layout: layout.tag(layout.blob(f"{OCI}.manifest.v1+json", data), "latest")


Change = dict[str, Any]
HEX = "0" * 64
HOSTILE: dict[str, tuple[Callable[[Layout], object], str]] = {
    "no oci-layout": (removed("oci-layout"), "no oci-layout"),
    "no index.json": (removed("index.json"), "no index.json"),
    "version 9.9.9": (text("oci-layout", '{"imageLayoutVersion":"9.9.9"}'), "version '9.9.9'"),
    "version is a number": (text("oci-layout", '{"imageLayoutVersion":1.0}'), "must be a string"),
    "oci-layout with rubbish": (text("oci-layout", '{"imageLayoutVersion":"1.0.0"}x'), "not JSON"),
    "oci-layout of 1 MB": (text("oci-layout", " " * 1_000_000), "more than 4096"),
    "empty index.json": (text("index.json", ""), "not JSON"),
    "index.json of 5 MB": (text("index.json", " " * 5_000_000), "more than 4194304"),
    "rubbish after index.json": (text("index.json", '{"schemaVersion":2,"manifests":[]}{}'), "not JSON"),
    "index.json is a list": (text("index.json", "[]"), "not a JSON object"),
    "an empty layout": (edited_index(lambda index: index.update(manifests=[])), "empty image layout"),
    "manifests is an object": (edited_index(lambda index: index.update(manifests={})), "must be a list"),
    "no manifests": (edited_index(lambda index: index.pop("manifests")), "no 'manifests'"),
    "schemaVersion 1": (edited_index(lambda index: index.update(schemaVersion=1)), "schemaVersion 1"),
    "no schemaVersion": (edited_index(lambda index: index.pop("schemaVersion")), "'schemaVersion' must be"),
    "schemaVersion true": (
        edited_index(lambda index: index.update(schemaVersion=True)),
        "must be an integer",
    ),
    "index.json says it is a manifest": (
        edited_index(lambda index: index.update(mediaType=f"{OCI}.manifest.v1+json")),
        "media type",
    ),
    "index.json with layers": (edited_index(lambda index: index.update(layers=[])), "ambiguous"),
    "index.json with Manifests": (edited_index(lambda index: index.update(Manifests=[])), "ambiguous"),
    "an entry is a text": (edited_index(lambda index: index["manifests"].append("x")), "not a JSON object"),
    "an entry with a path for a digest": (
        edited_index(lambda index: index["manifests"][0].update(digest="sha256:../../../etc/passwd")),
        "lower-case hexadecimal",
    ),
    "an entry of negative size": (
        edited_index(lambda index: index["manifests"][0].update(size=-1)),
        "out of range",
    ),
    "an entry of another size": (
        edited_index(lambda index: index["manifests"][0].update(size=7)),
        "descriptor says 7",
    ),
    "an entry of 5 MB": (
        edited_index(lambda index: index["manifests"][0].update(size=5_000_000)),
        "more than 4194304",
    ),
    "an entry without a media type": (
        edited_index(lambda index: index["manifests"][0].pop("mediaType")),
        "mediaType",
    ),
    "an entry of an unknown type": (
        edited_index(lambda index: index["manifests"][0].update(mediaType="text/plain")),
        "'text/plain': not supported",
    ),
    "an entry of schema 1": (
        edited_index(
            lambda index: index["manifests"][0].update(
                mediaType=f"{DOCKER}.distribution.manifest.v1+prettyjws"
            )
        ),
        "schema 1",
    ),
    "an entry that calls the manifest an index": (
        edited_index(lambda index: index["manifests"][0].update(mediaType=f"{OCI}.index.v1+json")),
        "ambiguous",
    ),
    "an entry that calls it Docker's": (
        edited_index(
            lambda index: index["manifests"][0].update(mediaType=f"{DOCKER}.distribution.manifest.v2+json")
        ),
        "its descriptor says",
    ),
    "manifest missing": (
        edited_index(lambda index: index["manifests"][0].update(digest=f"sha256:{HEX}")),
        "is missing",
    ),
    "manifest is not JSON": (unmentioned(b"\x7fELF"), "not JSON"),
    "manifest of nothing": (unmentioned(b""), "not JSON"),
    "manifest with a duplicate key": (duplicate_key, "'layers' twice"),
    "manifest nests too deep": (unmentioned(b'{"a":' * 200 + b"1" + b"}" * 200), "128 levels"),
    "manifest with manifests": (edited_manifest(lambda one: one.update(manifests=[])), "ambiguous"),
    "manifest with Layers": (edited_manifest(lambda one: one.update(Layers=[])), "ambiguous"),
    "manifest of schema 1": (edited_manifest(lambda one: one.update(schemaVersion=1)), "schemaVersion 1"),
    "manifest says it is an index": (
        edited_manifest(lambda one: one.update(mediaType=f"{OCI}.index.v1+json")),
        "media type",
    ),
    "no layers": (edited_manifest(lambda one: one.pop("layers")), "no 'layers'"),
    "layers null": (edited_manifest(lambda one: one.update(layers=None)), "no 'layers'"),
    "no config": (edited_manifest(lambda one: one.pop("config")), "config"),
    "an artifact": (
        edited_manifest(
            lambda one: one.update(
                artifactType="application/vnd.example.sbom",
                config={**one["config"], "mediaType": "application/vnd.oci.empty.v1+json"},
            )
        ),
        "artifact of the type 'application/vnd.example.sbom'",
    ),
    "a helm chart": (
        edited_manifest(
            lambda one: one["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json")
        ),
        "artifact of the type 'application/vnd.cncf.helm",
    ),
    "layer of an unknown type": (
        edited_manifest(lambda one: one["layers"][0].update(mediaType="application/vnd.in-toto+json")),
        "in-toto+json': not supported",
    ),
    "layer that is encrypted": (
        edited_manifest(lambda one: one["layers"][0].update(mediaType=f"{OCI}.layer.v1.tar+gzip+encrypted")),
        "encrypted': not supported",
    ),
    "layer of negative size": (edited_manifest(lambda one: one["layers"][0].update(size=-5)), "out of range"),
    "layer of another size": (
        edited_manifest(lambda one: one["layers"][0].update(size=5)),
        "descriptor says 5",
    ),
    "layer with an unknown algorithm": (
        edited_manifest(lambda one: one["layers"][0].update(digest=f"crc32:{HEX}")),
        "unknown algorithm",
    ),
    "layer missing": (lambda layout: os.unlink(layer_path(layout)), "is missing"),
    "layer empty": (replaced(b""), "has 0 bytes"),
    "layer of other bytes": (same_size, "layer 0"),
    "foreign layer": (
        edited_manifest(
            lambda one: one["layers"][0].update(
                mediaType=f"{OCI}.layer.nondistributable.v1.tar+gzip",
                digest=f"sha256:{HEX}",
                urls=["https://example.com/a"],
            )
        ),
        "foreign",
    ),
    "gzip under the plain type": (
        edited_manifest(lambda one: one["layers"][0].update(mediaType=f"{OCI}.layer.v1.tar")),
        "media type says a plain tar",
    ),
    "config missing": (
        edited_manifest(lambda one: one["config"].update(digest=f"sha256:{HEX}")),
        "is missing",
    ),
    "config of 9 MB": (
        edited_manifest(lambda one: one["config"].update(size=9_000_000)),
        "more than 8388608",
    ),
    "config without rootfs": (edited_config(lambda one: one.pop("rootfs")), "rootfs"),
    "a diff_id too few": (edited_config(lambda one: one["rootfs"].update(diff_ids=[])), "1 layers"),
    "a diff_id too many": (
        edited_config(lambda one: one["rootfs"]["diff_ids"].append(f"sha256:{HEX}")),
        "2 diff_ids",
    ),
    "a wrong diff_id": (
        edited_config(lambda one: one["rootfs"].update(diff_ids=[f"sha256:{HEX}"])),
        "does not match its diff_id",
    ),
    "Rootfs beside rootfs": (edited_config(lambda one: one.update(RootFS={})), "ambiguous"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_refused(
    layout: Layout, opened: Callable[..., Image], make: Callable[[Layout], object], message: str
) -> None:
    layout.image([LAYER])
    make(layout)
    with pytest.raises(CapletError, match=re.escape(message)) as caught:
        read_through(opened(layout))
    assert "\n" not in caught.value.message


SPECIAL: dict[str, Callable[[str], None]] = {
    "a FIFO": os.mkfifo,
    "a directory": os.mkdir,
    "out of the image": lambda path: os.symlink("/etc/hostname", path),
    "symbolic link out": lambda path: os.symlink("/dev/zero", path),
}


@pytest.mark.parametrize("where", ["oci-layout", "index.json", "manifest", "layer"])
@pytest.mark.parametrize(("kind", "make"), SPECIAL.items(), ids=SPECIAL)
def test_special_files(layout: Layout, where: str, kind: str, make: Callable[[str], None]) -> None:
    """Neither read nor waited for."""
    layout.image([LAYER])
    path = {
        "manifest": layout.blob_path(layout.resolve()["digest"]),
        "layer": layer_path(layout),
    }.get(where, os.path.join(layout.path, where))
    os.unlink(path)
    make(path)
    with pytest.raises(ImageError, match=kind):
        read_through(open_image(f"oci:{layout.path}"))


@pytest.mark.usefixtures("root")
def test_devices(layout: Layout) -> None:
    layout.image([LAYER])
    path = layer_path(layout)
    os.unlink(path)
    os.mknod(path, 0o020666, os.makedev(1, 5))
    with pytest.raises(ImageError, match="a character device"):
        read_through(open_image(f"oci:{layout.path}"))


def test_a_link_inside_the_layout_is_followed(layout: Layout) -> None:
    """Some builders make layouts whose blobs are links to each other; what is read is proved by its digest anyhow."""
    layout.image([LAYER])
    path = layer_path(layout)
    os.rename(path, os.path.join(layout.path, "kept"))
    os.symlink("../../kept", path)
    assert read_through(open_image(f"oci:{layout.path}")) == [layout.layer(0)]


def test_blobs_that_lead_out(layout: Layout, tmp_path: Path) -> None:
    layout.image([LAYER])
    os.rename(os.path.join(layout.path, "blobs"), tmp_path / "shared")
    os.symlink("../shared", os.path.join(layout.path, "blobs"))
    with pytest.raises(ImageError, match="out of the image"):
        open_image(f"oci:{layout.path}")


def test_a_layout_behind_a_link(layout: Layout, tmp_path: Path) -> None:
    layout.image([LAYER])
    (tmp_path / "link").symlink_to(layout.path)
    assert read_through(open_image(f"oci:{tmp_path}/link")) == [layout.layer(0)]


@pytest.mark.parametrize(
    ("name", "message"),
    [("none", "does not exist"), ("file", "is a file"), ("dir", "not an OCI image layout")],
)
def test_not_a_layout(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "dir").mkdir()
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ImageError, match=message):
        open_image(f"oci:{tmp_path}/{name}")


# Indexes


def nested(layout: Layout, depth: int) -> None:
    below = layout.image([LAYER], None)
    for _ in range(depth):
        below = layout.index([below])


def test_indexes_nest(layout: Layout, opened: Callable[..., Index]) -> None:
    nested(layout, 4)
    (image,) = opened(layout).images()
    assert read_through(image) == [b"".join(image.layers[0].chunks())]


def test_indexes_nest_too_deep(layout: Layout, opened: Callable[..., Index]) -> None:
    nested(layout, 6)
    with pytest.raises(ImageError, match="nest more than 4 deep"):
        opened(layout).images()


def test_an_index_of_many_is_refused_in_time(layout: Layout) -> None:
    """Every level names the level below a thousand times: 10^12 images, if each were opened."""
    below = layout.image([LAYER], None)
    for _ in range(4):
        below = layout.index([below] * 1000)
    index = open_image(f"oci:{layout.path}")
    assert isinstance(index, Index)
    assert len(index.images()) == 1
    many = [layout.image([], None, config={"User": str(number)}) for number in range(1100)]
    layout.index(many)
    index = open_image(f"oci:{layout.path}")
    assert isinstance(index, Index)
    with pytest.raises(ImageError, match="more than 1024"):
        index.images()
