# SPDX-License-Identifier: Apache-2.0
"""`caplet scan` as a user calls it: getcap's form, the table, the JSON of its page, notes, refusals."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests import engines
from tests.layouts import (
    ELF,
    NET_BIND_SERVICE,
    Layout,
    directory,
    file,
    hardlink,
    symlink,
    whiteout,
)

from caplet.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "cli" / "scan.md"
CAPS = {"security.capability": NET_BIND_SERVICE}
NAMESPACED = {"security.capability": bytes.fromhex("0100000300040000000000000000000000000000e8030000")}

BASE = [
    directory("usr"),
    directory("usr/bin"),
    symlink("bin", "usr/bin"),
    file("usr/bin/ping", ELF, xattrs=CAPS),
    file("usr/bin/su", ELF, 0o4755),
    file("usr/bin/wall", ELF, 0o2755, gid=5),
    file("usr/bin/old", ELF, xattrs=CAPS),
    file("usr/bin/plain", ELF),
]
UPPER = [
    whiteout("usr/bin/old"),
    directory("usr/bin"),
    file("usr/bin/app", ELF, 0o755, xattrs=CAPS),
    hardlink("usr/bin/app2", "usr/bin/app", xattrs=CAPS),
]


@pytest.fixture(autouse=True)
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(tmp_path)
    made = Layout("image")
    made.image([BASE, UPPER])
    return made


def scanned(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    assert run(["scan", "oci:image", *arguments]) == 0
    out, err = capsys.readouterr()
    return out, err


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(scanned(capsys, "-o", "json")[0])
    return found


def test_a_file_a_line_as_getcap_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = scanned(capsys)
    assert out == (
        "/usr/bin/app cap_net_bind_service=ep\n"
        "/usr/bin/app2 cap_net_bind_service=ep\n"
        "/usr/bin/ping cap_net_bind_service=ep\n"
        "/usr/bin/su setuid=0 mode=4755\n"
        "/usr/bin/wall setgid=5 mode=2755\n"
    )
    assert not err


def test_getcap_reads_the_same_from_an_unpacked_image(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, tool: Callable[[str], str], root: None
) -> None:
    tool("umoci")
    tool("getcap")
    ours = dict(line.split(" ", 1) for line in scanned(capsys)[0].splitlines() if " cap_" in line)
    with engines.umoci(str(tmp_path), "image", "latest") as unpacked:
        assert engines.getcap(unpacked) == ours


def test_the_layer_is_named_on_request(capsys: pytest.CaptureFixture[str], layout: Layout) -> None:
    digests = [one["digest"] for one in layout.manifest()["layers"]]
    out, _ = scanned(capsys, "--layer")
    assert f"/usr/bin/app cap_net_bind_service=ep layer=1@{digests[1]}\n" in out
    assert f"/usr/bin/su setuid=0 mode=4755 layer=0@{digests[0]}\n" in out


def test_the_table_has_a_head_and_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = scanned(capsys, "-o", "table")[0].splitlines()
    assert lines[0].split() == ["FILE", "CAPABILITIES", "SET-ID", "MODE", "OWNER"]
    assert lines[3].split() == ["/usr/bin/ping", "cap_net_bind_service=ep", "-", "0755", "0:0"]
    assert lines[4].split() == ["/usr/bin/su", "-", "setuid=0", "4755", "0:0"]
    assert len({line.index(word) for line, word in zip(lines, ("MODE", "0755", "0755"), strict=False)}) == 1


def test_nothing_found_prints_nothing(capsys: pytest.CaptureFixture[str], layout: Layout) -> None:
    layout.image([[file("app", ELF)]])
    assert scanned(capsys) == ("", "")
    assert scanned(capsys, "-o", "table")[0] == "FILE  CAPABILITIES  SET-ID  MODE  OWNER\n"
    assert document(capsys)["images"][0]["files"] == []


def test_the_json_is_what_its_page_tells(capsys: pytest.CaptureFixture[str]) -> None:
    found = document(capsys)
    (image,) = found["images"]
    first = image["files"][0]
    assert found["schemaVersion"] == 1
    assert first["path"] == "/usr/bin/app"
    assert bytes.fromhex(first["pathHex"]) == b"/usr/bin/app"
    assert [link["path"] for link in first["links"]] == ["/usr/bin/app2"]
    assert first["capability"]["hex"] == NET_BIND_SERVICE.hex()
    assert first["capability"]["permitted"] == {"names": ["NET_BIND_SERVICE"], "mask": "0x0000000000000400"}
    assert image["layers"][first["layer"]["index"]] == first["layer"]["digest"]
    told = PAGE.read_text(encoding="utf-8").partition("## JSON")[2]
    for part in (found, image, first, first["capability"], first["layer"]):
        for key in part:
            assert re.search(rf"`(images\[\]\.)?{key}(\[\])?`", told), f"docs/cli/scan.md does not tell {key}"


def test_hostile_names_cannot_touch_the_terminal(capsys: pytest.CaptureFixture[str], layout: Layout) -> None:
    name = "x\n\x1b[31m\u202e\udcff"
    layout.image([[file(name, ELF, 0o4755)]])
    out, _ = scanned(capsys)
    assert out == "/x\\x0a\\x1b[31m\\u202e\\xff setuid=0 mode=4755\n"
    (one,) = document(capsys)["images"][0]["files"]
    assert bytes.fromhex(one["pathHex"]) == b"/x\n\x1b[31m\xe2\x80\xae\xff"
    assert one["path"] == "/x\\x0a\\x1b[31m\\u202e\\xff"


NOTED = {
    "script": (file("f", b"#!/bin/sh", 0o755, xattrs=CAPS), "it is a script"),
    "no execute bit": (file("f", ELF, 0o644, xattrs=CAPS), "nobody can execute it"),
    "empty attribute": (file("f", ELF, xattrs={"security.capability": b""}), "execve(2) fails with EINVAL"),
    "rootid": (file("f", ELF, xattrs=NAMESPACED), "whose root is uid 1000"),
    "locking bit": (file("f", ELF, 0o2705), "set-group-ID has no effect"),
    "both": (file("f", ELF, 0o4755, xattrs=CAPS), "set-user-ID root as well"),
    "unknown bits": (
        file(
            "f",
            ELF,
            xattrs={"security.capability": bytes.fromhex("01000002 00000000 00000000 00000080 00000000")},
        ),
        "bits that no kernel knows",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_would_surprise_is_noted_on_stderr(
    name: str, capsys: pytest.CaptureFixture[str], layout: Layout
) -> None:
    item, note = NOTED[name]
    layout.image([[item]])
    out, err = scanned(capsys)
    assert out.startswith("/f ")
    assert len(out.splitlines()) == 1
    assert err.startswith("caplet: note: /f: ")
    assert note in err
    assert any(note in one for one in document(capsys)["images"][0]["files"][0]["notes"])


def test_an_index_is_scanned_for_all_platforms_or_some(
    capsys: pytest.CaptureFixture[str], layout: Layout
) -> None:
    platforms = {"amd64": 0o4755, "arm64": 0o2755}
    layout.index(
        [
            layout.image([[file("app", ELF, mode)]], None, architecture=name)
            | {"platform": {"os": "linux", "architecture": name}}
            for name, mode in platforms.items()
        ]
    )
    heads = [line.split()[1] for line in scanned(capsys)[0].splitlines() if line.startswith("#")]
    assert heads == ["linux/amd64", "linux/arm64"]
    assert [one["platform"] for one in document(capsys)["images"]] == ["linux/amd64", "linux/arm64"]
    assert scanned(capsys, "--platform", "linux/arm64")[0] == "/app setgid=0 mode=2755\n"
    assert run(["scan", "oci:image", "--platform", "linux/s390x"]) == 2
    assert "linux/arm64" in capsys.readouterr().err


def test_a_note_names_its_platform(capsys: pytest.CaptureFixture[str], layout: Layout) -> None:
    layout.index(
        [
            layout.image([[file("app", ELF, mode)]], None, architecture=name)
            | {"platform": {"os": "linux", "architecture": name}}
            for name, mode in {"amd64": 0o4755, "arm64": 0o4644}.items()
        ]
    )
    _, err = scanned(capsys)
    assert err == "caplet: note: linux/arm64: /app: nobody can execute it: it has no execute bit\n"


DAMAGED = {
    "in a header": ("none", 5, "a blob does not match its digest"),
    "in a content": ("none", 600, "a blob does not match its digest"),
    "in a stream's header": ("gzip", 0, "a blob does not match its digest"),
    "in a stream": ("gzip", -9, "a blob does not match its digest"),
    "in a frame": ("zstd", 5, "a blob does not match its digest"),
}


@pytest.mark.parametrize(("compression", "at", "said"), DAMAGED.values(), ids=list(DAMAGED))
def test_a_flipped_bit_is_told_as_damage_of_the_blob(
    compression: str, at: int, said: str, capsys: pytest.CaptureFixture[str], layout: Layout
) -> None:
    """Not as a wrong tar header or a broken stream, which is only what it looks like."""
    layout.image([[file("app", ELF * 99, xattrs=CAPS)]], "bad", compression=compression)
    name = layout.manifest("bad")["layers"][0]["digest"]
    with open(layout.blob_path(name), "r+b") as blob:
        data = bytearray(blob.read())
        data[at] ^= 4
        blob.seek(0)
        blob.write(data)
    for command in (["scan", "oci:image:bad"], ["grant", "oci:image:bad", "-n", "/app=KILL"]):
        assert run(command) == 2
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith(f"caplet: layer 0: {said}: {name} expected, ")
        assert second == "  oci:image:bad is damaged: copy it again from where it came"


def test_a_layer_that_was_made_wrong_is_not_damaged(
    capsys: pytest.CaptureFixture[str], layout: Layout
) -> None:
    layout.image([b"no tar " * 200], "odd", compression="none")
    assert run(["scan", "oci:image:odd"]) == 2
    assert "layer 0: tar header: wrong checksum" in capsys.readouterr().err


def test_a_difference_between_engines_is_told(capsys: pytest.CaptureFixture[str], layout: Layout) -> None:
    layout.image([[file("app", ELF, xattrs=CAPS), hardlink("app2", "app")]])
    out, err = scanned(capsys)
    assert not out
    assert err.startswith("caplet: divergent: /app2: ")
    (note,) = document(capsys)["images"][0]["divergent"]
    assert "podman" in note["engines"]


def test_a_refused_attribute_refuses_the_image(capsys: pytest.CaptureFixture[str], layout: Layout) -> None:
    layout.image([BASE, [file("usr/bin/app", ELF, xattrs={"security.capability": NET_BIND_SERVICE[:-1]})]])
    assert run(["scan", "oci:image"]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err == (
        "caplet: layer 1: usr/bin/app: the kernel refuses this security.capability: 19 bytes, revision 2, "
        "01000002000400000000000000000000000000\n"
        "  No containerd node can unpack this image: setxattr: EINVAL.\n"
    )
