# SPDX-License-Identifier: Apache-2.0
"""Each limit at its bound, which is accepted, and one past it, which is refused; the largest ones made small for the test."""

from __future__ import annotations

import gzip
import itertools
import json
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import CAPABILITY, RAW, file, header, pax, record, symlink, tar
from tests.hostile.case import Blob, Draft, text, write_image
from tests.hostile.dockerarchives import GOOD, archived, link
from tests.hostile.test_scan import assert_refusal, scan
from tests.layouts import OCI, Layout, digest

from caplet.image import apply, archive, compression, image, layout, rootfs, tarfiles

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]

ANSWER = "/x cap_net_raw=ep\n"
X = file("x", cap=RAW)
KIB = 1024


def extended(size: int) -> bytes:
    """A PAX header of exactly so many bytes of records."""
    rest = size - len(record(CAPABILITY, RAW))
    comment = b"c" * (rest - len(record("comment", b"")) - 8)
    while len(record("comment", comment)) < rest:
        comment += b"c"
    return tar(pax(record(CAPABILITY, RAW) + record("comment", comment)), header("x"))


LAYERS: dict[str, tuple[Callable[[int], bytes], int]] = {
    "extended header": (extended, 1 << 20),
    "component": (lambda size: tar(X, file("n" * size)), 255),
    "attribute's name": (
        lambda size: tar(
            pax({"SCHILY.xattr." + "user.".ljust(size, "n"): b"", CAPABILITY: RAW}), header("x")
        ),
        255,
    ),
    "attribute's value": (
        lambda size: tar(pax({"SCHILY.xattr.user.x": b"v" * size, CAPABILITY: RAW}), header("x")),
        65536,
    ),
    "target of a link": (lambda size: tar(symlink("l", "t" * size), X), 4095),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_limit_of_a_layer(name: str, tmp_path: Path, capsys: Capture) -> None:
    make, bound = LAYERS[name]
    made = Layout(str(tmp_path))
    write_image(made, [make(bound)], "latest")
    assert scan(capsys, f"oci:{tmp_path}")[:2] == (0, ANSWER)
    write_image(made, [make(bound + 1)], "latest")
    assert_refusal(*scan(capsys, f"oci:{tmp_path}"))


def layout_file(draft: Draft, size: int) -> None:
    draft.file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'.ljust(size))


def configuration(draft: Draft, size: int) -> None:
    draft.put_config(text(draft.config).ljust(size))


def manifest(draft: Draft, size: int) -> None:
    draft.put_config()
    draft.put_manifest(text(draft.manifest).ljust(size))


def index(draft: Draft, size: int) -> None:
    draft.put_manifest()
    draft.put_index(text(draft.index).ljust(size))


def nesting(draft: Draft, depth: int) -> None:
    deep = b"[" * (depth - 1) + b"]" * (depth - 1)
    draft.put_config(text(draft.config)[:-1] + b', "x": ' + deep + b"}")


DOCUMENTS: dict[str, tuple[Callable[[Draft, int], None], int]] = {
    "oci-layout": (layout_file, 4096),
    "configuration": (configuration, 8 << 20),
    "manifest": (manifest, 4 << 20),
    "index.json": (index, 4 << 20),
    "nesting of JSON": (nesting, 128),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_limit_of_a_document(name: str, tmp_path: Path, capsys: Capture) -> None:
    make, bound = DOCUMENTS[name]
    for size, accepted in ((bound, True), (bound + 1, False)):
        draft = Draft(str(tmp_path / str(size)), tar(X))
        make(draft, size)
        if not draft.finished:
            draft.put_index()
        code, out, err = scan(capsys, f"oci:{draft.directory}")
        if accepted:
            assert (code, out) == (0, ANSWER), err
        else:
            assert_refusal(code, out, err)


def layers_of(count: int) -> list[bytes]:
    return [*(tar(file(f"f{number}")) for number in range(count - 1)), tar(X)]


def indexed(draft: Draft, count: int) -> None:
    """An index of so many manifests, all but one of which are not there."""
    draft.put_manifest()
    one = draft.index["manifests"][0]
    one.pop("annotations")
    others = [one | {"digest": digest(str(number).encode())} for number in range(count - 1)]
    body = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [one, *others]}
    draft.index["manifests"] = [draft.layout.blob(f"{OCI}.index.v1+json", text(body))]
    draft.put_index()


def test_layers_of_an_image(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_LAYERS", 5)
    made = Layout(str(tmp_path))
    write_image(made, layers_of(5), "latest")
    assert scan(capsys, f"oci:{tmp_path}")[:2] == (0, ANSWER)
    write_image(made, layers_of(6), "latest")
    assert_refusal(*scan(capsys, f"oci:{tmp_path}"))


def test_entries_of_all_layers(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rootfs, "MAX_ENTRIES", 10)
    made = Layout(str(tmp_path))
    write_image(made, layers_of(10), "latest")
    assert scan(capsys, f"oci:{tmp_path}")[:2] == (0, ANSWER)
    write_image(made, [*layers_of(10), tar(file("more"))], "latest")
    assert_refusal(*scan(capsys, f"oci:{tmp_path}"))


def test_bytes_of_a_layer(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tar(X, file("y", bytes(20_000)))
    made = Layout(str(tmp_path))
    for blob in (content, gzip.compress(content)):
        write_image(made, [Blob(blob, f"{OCI}.layer.v1.tar+gzip", digest(content))], "latest")
        monkeypatch.setattr(compression, "MAX_DECOMPRESSED", len(content))
        assert scan(capsys, f"oci:{tmp_path}")[:2] == (0, ANSWER)
        monkeypatch.setattr(compression, "MAX_DECOMPRESSED", len(content) - 1)
        assert_refusal(*scan(capsys, f"oci:{tmp_path}"))


def test_members_of_a_layer(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_MEMBERS", 20)
    content = tar(X)
    made = Layout(str(tmp_path))
    for count, accepted in ((20, True), (21, False)):
        members = [gzip.compress(b"")] * (count - 1) + [gzip.compress(content)]
        write_image(made, [Blob(b"".join(members), f"{OCI}.layer.v1.tar+gzip", digest(content))], "latest")
        code, out, err = scan(capsys, f"oci:{tmp_path}")
        if accepted:
            assert (code, out) == (0, ANSWER), err
        else:
            assert_refusal(code, out, err)


def test_memory_for_metadata(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "MAX_METADATA", 100 * KIB)
    made = Layout(str(tmp_path))
    write_image(made, [tar(X, file("d/" * 20 + "y"))], "latest")
    assert scan(capsys, f"oci:{tmp_path}")[:2] == (0, ANSWER)
    write_image(made, [tar(X, file("d/" * 1000 + "y"))], "latest")
    assert_refusal(*scan(capsys, f"oci:{tmp_path}"))


def test_manifests_of_an_index(tmp_path: Path, capsys: Capture) -> None:
    for count, accepted in ((image.MAX_IMAGES, True), (image.MAX_IMAGES + 1, False)):
        draft = Draft(str(tmp_path / str(count)), tar(X))
        indexed(draft, count)
        code, out, err = scan(capsys, f"oci:{draft.directory}")
        if accepted:
            assert (code, out) == (0, ANSWER), err
        else:
            assert_refusal(code, out, err)


def test_indexes_in_indexes(tmp_path: Path, capsys: Capture) -> None:
    """index.json lists the first; so many may be inside it."""
    for depth, accepted in ((layout.MAX_NESTING + 1, True), (layout.MAX_NESTING + 2, False)):
        draft = Draft(str(tmp_path / str(depth)), tar(X))
        draft.put_manifest()
        inner = draft.index["manifests"][0]
        inner.pop("annotations")
        for _ in range(depth):
            body = {"schemaVersion": 2, "mediaType": f"{OCI}.index.v1+json", "manifests": [inner]}
            inner = draft.layout.blob(f"{OCI}.index.v1+json", text(body))
        draft.index["manifests"] = [inner]
        draft.put_index()
        code, out, err = scan(capsys, f"oci:{draft.directory}")
        assert (code, out) == ((0, ANSWER) if accepted else (2, "")), err


def test_members_of_an_archive(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "image.tar"
    monkeypatch.setattr(tarfiles, "MAX_MEMBERS", 10)
    for count, accepted in ((10, True), (11, False)):
        more = [(f"f{number}", b"") for number in range(count - len(GOOD))]
        path.write_bytes(archived([*GOOD, *more]))
        code, out, err = scan(capsys, f"docker-archive:{path}")
        assert (code, out) == ((0, ANSWER) if accepted else (2, "")), err


def test_links_to_a_file_of_an_archive(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "image.tar"
    config, layer, listed = GOOD
    assert isinstance(layer, tuple)
    for count, accepted in ((tarfiles.MAX_LINKS - 1, True), (tarfiles.MAX_LINKS + 1, False)):
        names = ["1/layer.tar", *(f"{number}/layer.tar" for number in range(2, count + 1)), "last"]
        links = [link(one, f"../{other}") for one, other in itertools.pairwise(names)]
        path.write_bytes(archived([config, *links, ("last", layer[1]), listed]))
        code, out, err = scan(capsys, f"docker-archive:{path}")
        assert (code, out) == ((0, ANSWER) if accepted else (2, "")), err


def test_layers_of_an_archive(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_LAYERS", 3)
    path = tmp_path / "image.tar"
    for count, accepted in ((3, True), (4, False)):
        layers = layers_of(count)
        document = {"os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]}}
        names = [f"{number}.tar" for number in range(count)]
        listed = [{"Config": "c.json", "RepoTags": None, "Layers": names}]
        members = list(zip(names, layers, strict=True))
        path.write_bytes(
            archived([("c.json", text(document)), *members, ("manifest.json", json.dumps(listed).encode())])
        )
        code, out, err = scan(capsys, f"docker-archive:{path}")
        assert (code, out) == ((0, ANSWER) if accepted else (2, "")), err
