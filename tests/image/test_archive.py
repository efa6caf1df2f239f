# SPDX-License-Identifier: Apache-2.0
"""What `docker save` wrote over the years is read in place, and nothing else is taken for it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, directory, file, tar

from caplet.errors import CapletError, ImageError, InvalidInput
from caplet.image.archive import familiar
from caplet.image.copy import write_image
from caplet.image.image import Image, open_image
from caplet.image.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOWER, UPPER = (
    tar([file("app", b"lower" * 300)]),
    tar([directory("etc"), file("etc/x", os.urandom(2_000_000))]),
)


@dataclass
class Archive:
    """A tar file that grows by members."""

    path: str
    members: list[tuple[tarfile.TarInfo, bytes]] = field(default_factory=list)

    def add(self, name: str, data: bytes | object) -> None:
        content = data if isinstance(data, bytes) else json.dumps(data).encode()
        info = tarfile.TarInfo(name)
        info.size = len(content)
        self.members.append((info, content))

    def link(self, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        self.members.append((info, b""))

    def write(self) -> str:
        with tarfile.open(self.path, "w", format=tarfile.USTAR_FORMAT) as out:
            for info, content in self.members:
                out.addfile(info, io.BytesIO(content))
        return self.path


def config(*layers: bytes, **more: Any) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": "65535", "Healthcheck": {"Test": ["NONE"]}},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(one) for one in layers]},
    } | more


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def old_form(path: str, layers: tuple[bytes, ...] = (LOWER, UPPER), tags: object = ("http:v1",)) -> Archive:
    """Docker 1.10 to 24: a directory for each layer, config named by its digest, a twin's layer as a symlink."""
    archive = Archive(path)
    document = json.dumps(config(*layers)).encode()
    names: list[str] = []
    for place, layer in enumerate(layers):
        name = f"{sha(layer + str(place).encode())}/layer.tar"
        archive.add(f"{os.path.dirname(name)}/VERSION", b"1.0")
        archive.add(f"{os.path.dirname(name)}/json", {"id": os.path.dirname(name)})
        if layer in layers[:place]:
            archive.link(name, f"../{names[layers.index(layer)]}")
        else:
            archive.add(name, layer)
        names.append(name)
    archive.add(f"{sha(document)}.json", document)
    archive.add("manifest.json", [{"Config": f"{sha(document)}.json", "RepoTags": tags, "Layers": names}])
    archive.add("repositories", {"http": {"v1": os.path.dirname(names[-1]) if names else ""}})
    return archive


def contents(reference: str) -> list[bytes]:
    image = open_image(reference)
    assert isinstance(image, Image)
    return [b"".join(layer.chunks()) for layer in image.layers]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "image.tar")


def test_old_form(path: str) -> None:
    old_form(path).write()
    assert contents(f"docker-archive:{path}") == [LOWER, UPPER]
    image = open_image(f"docker-archive:{path}")
    assert isinstance(image, Image)
    assert image.config.user == "65535"
    assert image.config.raw["config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert validate(image) == []


def test_the_same_archive_gives_the_same_manifest(path: str) -> None:
    archive = old_form(path)
    first = open_image(f"docker-archive:{archive.write()}").digest
    archive.members.reverse()
    assert open_image(f"docker-archive:{archive.write()}").digest == first


def test_twins_are_links(path: str) -> None:
    old_form(path, (LOWER, UPPER, LOWER)).write()
    assert contents(f"docker-archive:{path}") == [LOWER, UPPER, LOWER]


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: data], ids=["gzip", "plain"])
def test_compressed_layers(path: str, pack: Callable[[bytes], bytes]) -> None:
    archive = Archive(path)
    document = json.dumps(config(LOWER)).encode()
    archive.add("config", document)
    archive.add("layer", pack(LOWER))
    archive.add("manifest.json", [{"Config": "config", "RepoTags": None, "Layers": ["layer"]}])
    archive.write()
    assert contents(f"docker-archive:{path}") == [LOWER]


@pytest.mark.parametrize("program", ["gzip", "zstd"])
def test_a_compressed_archive(path: str, tool: Callable[[str], str], program: str) -> None:
    """`docker save image | gzip`: load takes it, so do we."""
    old_form(path).write()
    packed = subprocess.run([tool(program), "-q", "-c", path], capture_output=True, check=True).stdout
    with open(f"{path}.z", "wb") as out:
        out.write(packed)
    assert contents(f"docker-archive:{path}.z") == [LOWER, UPPER]


def both_forms(path: str, tmp_path: Path) -> tuple[Archive, dict[str, Any]]:
    """Docker 25 and later: an OCI layout with a manifest.json."""
    layout = Layout(str(tmp_path / "layout"))
    descriptor = layout.image([LOWER, UPPER], compression="plain", config={"User": "1"})
    manifest = layout.manifest()
    archive = Archive(path)
    for name in ("oci-layout", "index.json"):
        with open(f"{layout.path}/{name}", "rb") as source:
            archive.add(name, source.read())
    for one in (descriptor, manifest["config"], *manifest["layers"]):
        archive.add(f"blobs/{one['digest'].replace(':', '/')}", layout.read(one))
    listed = {
        "Config": f"blobs/{manifest['config']['digest'].replace(':', '/')}",
        "RepoTags": ["http:v1"],
        "Layers": [f"blobs/{one['digest'].replace(':', '/')}" for one in manifest["layers"]],
    }
    archive.add("manifest.json", [listed])
    return archive, descriptor


def test_both_forms_are_one_image(path: str, tmp_path: Path) -> None:
    """The manifest of index.json is taken, so that the digest is the registry's."""
    archive, descriptor = both_forms(path, tmp_path)
    archive.write()
    for transport in ("docker-archive", "oci-archive"):
        assert str(open_image(f"{transport}:{path}").digest) == descriptor["digest"]
        assert contents(f"{transport}:{path}") == [LOWER, UPPER]
    assert str(open_image(f"docker-archive:{path}:http:v1").digest) == descriptor["digest"]


def test_two_forms_that_disagree(path: str, tmp_path: Path) -> None:
    """Docker loads the one, skopeo the other: what would be looked at is not what would run."""
    archive, descriptor = both_forms(path, tmp_path)
    other = json.dumps(config(LOWER, UPPER)).encode()
    listed = json.loads(archive.members[-1][1])
    archive.members.pop()
    archive.add("other.json", other)
    archive.add("manifest.json", [{**listed[0], "Config": "other.json"}])
    archive.write()
    with pytest.raises(ImageError, match="ambiguous"):
        open_image(f"docker-archive:{path}")
    assert str(open_image(f"oci-archive:{path}").digest) == descriptor["digest"]


def test_names_and_numbers(path: str) -> None:
    one, two = old_form(path), old_form(path, (UPPER,), ["docker.io/library/other:2", "localhost:5000/x/y"])
    listed = json.loads(one.members[-2][1]) + json.loads(two.members[-2][1])
    archive = Archive(path, one.members[:-2] + two.members[:-2])
    archive.add("manifest.json", listed)
    archive.write()
    for name in ("http:v1", "docker.io/library/http:v1", "@0"):
        assert contents(f"docker-archive:{path}:{name}") == [LOWER, UPPER]
    for name in ("other:2", "localhost:5000/x/y", "localhost:5000/x/y:latest", "@1"):
        assert contents(f"docker-archive:{path}:{name}") == [UPPER]
    for name, message in (("", "several images"), (":http", "no image 'http'"), (":@2", "none at 2")):
        with pytest.raises(InvalidInput, match=message) as caught:
            open_image(f"docker-archive:{path}{name}")
        assert message == "none at 2" or f"docker-archive:{path}:http:v1" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("busybox", "busybox:latest"),
        ("docker.io/library/busybox", "busybox:latest"),
        ("docker.io/a/b:c", "a/b:c"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
    ],
)
def test_familiar(name: str, short: str) -> None:
    assert familiar(name) == short


# What is refused


def manifest(change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Archive], None]:
    def hostile(archive: Archive) -> None:
        listed = json.loads(archive.members[-2][1])
        change(listed)
        archive.members.pop(-2)
        archive.add("manifest.json", listed)

    return hostile


def gone(index: int) -> Callable[[Archive], None]:
    def hostile(archive: Archive) -> None:
        del archive.members[index]

    return hostile


def raw_manifest(data: bytes) -> Callable[[Archive], None]:
    def hostile(archive: Archive) -> None:
        archive.members.pop(-2)
        archive.add("manifest.json", data)

    return hostile


def link_layer(target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[Archive], None]:
    def hostile(archive: Archive) -> None:
        name = archive.members[2][0].name
        archive.members.pop(2)
        archive.link(name, target, kind)

    return hostile


def other_layer(archive: Archive) -> None:
    archive.members[2] = (
        archive.members[2][0],
        bytes([archive.members[2][1][0] ^ 1]) + archive.members[2][1][1:],
    )


def false_name(archive: Archive) -> None:
    listed = json.loads(archive.members[-2][1])
    archive.members.pop(-2)
    name = f"blobs/sha256/{'0' * 64}"
    archive.add(name, json.dumps(config(LOWER, UPPER)).encode())
    archive.add("manifest.json", [{**listed[0], "Config": name}])


HOSTILE: dict[str, tuple[Callable[[Archive], None], str]] = {
    "no manifest.json": (gone(-2), "has no manifest.json"),
    "no config": (gone(-3), "is missing"),
    "no layer": (gone(2), "is missing"),
    "manifest.json twice": (lambda archive: archive.add("./manifest.json", []), "twice"),
    "manifest.json is not JSON": (raw_manifest(b"["), "not JSON"),
    "manifest.json is an object": (raw_manifest(b"{}"), "must be a list"),
    "manifest.json is empty": (raw_manifest(b"[]"), "lists no image"),
    "manifest.json has a duplicate key": (raw_manifest(b'[{"Config":"a","Config":"b"}]'), "twice"),
    "manifest.json of 5 MB": (raw_manifest(b" " * 5_000_000), "more than 4194304"),
    "config beside Config": (manifest(lambda listed: listed[0].update(config="x")), "ambiguous"),
    "no Config": (manifest(lambda listed: listed[0].pop("Config")), "'Config' must be"),
    "Config is a path out": (
        manifest(lambda listed: listed[0].update(Config="../../etc/passwd")),
        "is missing",
    ),
    "Config is absolute": (manifest(lambda listed: listed[0].update(Config="/etc/passwd")), "is missing"),
    "Layers is a text": (manifest(lambda listed: listed[0].update(Layers="x")), "list of strings"),
    "a layer too few": (manifest(lambda listed: listed[0]["Layers"].pop()), "1 layers, the configuration 2"),
    "a layer too many": (
        manifest(lambda listed: listed[0]["Layers"].append("x")),
        "3 layers, the configuration 2",
    ),
    "RepoTags is a text": (manifest(lambda listed: listed[0].update(RepoTags="a")), "list of strings"),
    "layer is a link out": (link_layer("../../../../etc/hostname"), "is missing"),
    "layer is an absolute link": (link_layer("/etc/hostname"), "is missing"),
    "layer is a link to itself": (link_layer("layer.tar"), "leads nowhere"),
    "layer is a hard link to nothing": (link_layer("none", tarfile.LNKTYPE), "is missing"),
    "layer is a FIFO": (link_layer("", tarfile.FIFOTYPE), "is missing"),
    "layer is a directory": (link_layer("", tarfile.DIRTYPE), "is missing"),
    "layer of other bytes": (other_layer, "layer 0"),
    "config with the name of another digest": (false_name, "does not match its digest"),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_refused(path: str, make: Callable[[Archive], None], message: str) -> None:
    archive = old_form(path)
    make(archive)
    archive.write()
    with pytest.raises(CapletError, match=re.escape(message)):
        contents(f"docker-archive:{path}")


def test_a_truncated_archive(path: str) -> None:
    old_form(path).write()
    with open(path, "rb") as source:
        whole = source.read()
    for size in (100, 511, 513, 2000, len(whole) // 2, len(whole) - 12_000):
        with open(path, "wb") as out:
            out.write(whole[:size])
        with pytest.raises(ImageError, match=f"{path} is truncated: it ends at byte {size}, "):
            contents(f"docker-archive:{path}")


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_a_truncated_archive_is_told_wherever_it_ends(transport: str, tmp_path: Path) -> None:
    """At every block: inside a header, inside a content, and between two files, where only the end's mark is missing."""
    layout = Layout(str(tmp_path / "layout"))
    layout.image([LOWER])
    whole_path, path = f"{tmp_path}/whole.tar", f"{tmp_path}/cut.tar"
    write_image(open_image(f"oci:{layout.path}"), f"{transport}:{whole_path}:web:1")
    with open(whole_path, "rb") as source:
        whole = source.read()
    for size in range(256, len(whole.rstrip(b"\0")), 256):
        with open(path, "wb") as out:
            out.write(whole[:size])
        with pytest.raises(ImageError, match=f"^{path} is truncated: it ends at byte {size}, ") as caught:
            contents(f"{transport}:{path}")
        assert caught.value.hint == "copy or save the image again"


def test_an_empty_archive(path: str) -> None:
    with open(path, "wb"):
        pass
    with pytest.raises(ImageError, match=f"{path} is empty"):
        contents(f"docker-archive:{path}")


def test_damage_is_told_at_its_byte_of_the_archive(path: str) -> None:
    """Also behind a large file, where the reader has begun anew."""
    big = 3 << 20
    with tarfile.open(path, "w") as out:
        for name, size in (("big", big), ("oci-layout", 30)):
            member = tarfile.TarInfo(name)
            member.size = size
            out.addfile(member, io.BytesIO(bytes(size)))
    with open(path, "r+b") as archive:
        archive.seek(big + 512 + 200)
        archive.write(b"\xff")
    with pytest.raises(ImageError, match=f"is damaged at byte {big + 512}: tar header"):
        open_image(f"oci-archive:{path}")


def test_a_truncated_compressed_archive_is_named_with_its_size(path: str) -> None:
    old_form(path).write()
    with open(path, "rb") as source:
        packed = gzip.compress(source.read())
    with open(path, "wb") as out:
        out.write(packed[:-100])
    said = f"{path}, a compressed archive of {len(packed) - 100} bytes: a gzip stream is truncated"
    with pytest.raises(ImageError, match=re.escape(said)):
        contents(f"docker-archive:{path}")


@pytest.mark.parametrize("transport", ["docker-archive", "oci-archive"])
def test_not_an_archive(tmp_path: Path, transport: str) -> None:
    os.mkdir(tmp_path / "directory")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text").write_bytes(b"hello " * 1000)
    for name, message in (
        ("none", "does not exist"),
        ("directory", "a directory"),
        ("fifo", "a FIFO"),
        ("text", "is not a tar archive"),
    ):
        with pytest.raises(ImageError, match=message):
            open_image(f"{transport}:{tmp_path}/{name}")


def test_the_other_transport_is_named(path: str, tmp_path: Path) -> None:
    old_form(path).write()
    with pytest.raises(ImageError, match="not an OCI archive") as caught:
        open_image(f"oci-archive:{path}")
    assert caught.value.hint == f"write docker-archive:{path}"
    layout = Layout(str(tmp_path / "layout"))
    layout.image([LOWER])
    with tarfile.open(path, "w") as out:
        out.add(layout.path, ".")
    with pytest.raises(ImageError, match="not a Docker archive") as caught:
        open_image(f"docker-archive:{path}")
    assert caught.value.hint == f"write oci-archive:{path}"


@pytest.mark.usefixtures("root")
def test_podman_saves_and_loads(path: str, tmp_path: Path, tool: Callable[[str], str]) -> None:
    """What we write podman loads; what podman then saves, in both forms, we read: the layers stay the same."""
    old_form(path).write()
    image = open_image(f"docker-archive:{path}")
    write_image(image, f"docker-archive:{tmp_path}/ours.tar:localhost/http:v1")
    with tempfile.TemporaryDirectory(
        prefix="podman"
    ) as store:  # a runroot longer than 50 characters is refused
        where = ("--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs")
        podman = [tool("podman"), *where]
        subprocess.run([*podman, "load", "-i", f"{tmp_path}/ours.tar"], check=True, capture_output=True)
        for form in ("docker-archive", "oci-archive"):
            saved = f"{tmp_path}/{form}.tar"
            command = [*podman, "save", "--format", form, "-o", saved, "localhost/http:v1"]
            subprocess.run(command, check=True, capture_output=True)
            assert contents(f"{form}:{saved}") == [LOWER, UPPER]
