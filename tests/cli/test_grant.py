# SPDX-License-Identifier: Apache-2.0
"""`caplet grant`, `strip` and `relax` as commands: what they print, where, and what they leave on disk."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import ELF, Layout, digest, directory, encode, file, hardlink, symlink, tar
from tests.pack.conftest import program

from caplet.cli.main import run
from caplet.image.image import open_image
from caplet.image.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

APP = file("usr/bin/app", ELF + b"app")
STACK = (
    [
        directory("usr"),
        directory("usr/bin"),
        symlink("bin", "usr/bin"),
        APP,
        hardlink("usr/bin/b", "usr/bin/app"),
    ],
    [directory("etc"), file("etc/x", b"1")],
)


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """An image `oci:web` in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    made = Layout("web")
    made.image(STACK, config={"Entrypoint": ["/bin/app"]})
    return made


def files(root: str) -> dict[str, str]:
    """Every file below, by its digest."""
    found = {}
    for at, _, names in os.walk(root):
        for name in names:
            path = os.path.join(at, name)
            with open(path, "rb") as source:
                found[path] = hashlib.sha256(source.read()).hexdigest()
    return found


def neutral(text: str) -> str:
    """Digests by the order in which they come."""
    seen: dict[str, str] = {}
    return re.sub(
        r"sha256:[0-9a-f]{64}", lambda found: seen.setdefault(found[0], f"sha256:{len(seen)}"), text
    )


def test_what_a_grant_says(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["grant", "oci:web:latest", "-o", "oci:web:granted", "NET_BIND_SERVICE"]) == 0
    out, err = capsys.readouterr()
    assert neutral(out) == (
        "/usr/bin/app: none -> cap_net_bind_service=ep  (hard links: /usr/bin/b)\n"
        "layer added: +5,655 bytes\n"
        "digest: sha256:0 -> sha256:1\n"
        "written: oci:web:granted\n"
    )
    assert err == (
        "caplet: note: /usr/bin/app will start only where NET_BIND_SERVICE is allowed: by the Pod's capabilities.add, or the "
        "engine's default set\n"
    )
    assert layout.resolve("granted")["digest"] in out


def test_a_link_and_what_is_so_already(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["grant", "oci:web:latest", "-o", "oci:web:granted", "/bin/app=cap_kill=p"]) == 0
    assert capsys.readouterr().out.startswith("/bin/app -> /usr/bin/app: none -> cap_kill=p")
    assert run(["grant", "oci:web:granted", "-o", "oci:web:again", "/bin/app=cap_kill=p"]) == 0
    out, err = capsys.readouterr()
    assert neutral(out) == (
        "/bin/app -> /usr/bin/app: cap_kill=p already  (hard links: /usr/bin/b)\n"
        "nothing to change: sha256:0\n"
        "written: oci:web:again\n"
    )
    assert err == ""
    assert layout.resolve("granted")["digest"] == layout.resolve("again")["digest"]


def test_strip_and_relax_say_what_they_did(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    run(["grant", "oci:web:latest", "-o", "oci:web:granted", "NET_RAW"])
    capsys.readouterr()
    assert run(["relax", "oci:web:granted", "-o", "oci:web:relaxed", "--rewrite"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "/usr/bin/app: cap_net_raw=ep -> cap_net_raw=p  (hard links: /usr/bin/b)"
    assert out.splitlines()[1].startswith("layer 2 rewritten: -")
    assert "only if it raises them itself" in err
    assert run(["strip", "oci:web:relaxed", "-o", "oci:web:stripped", "--all"]) == 0
    assert "/usr/bin/app: cap_net_raw=p -> none" in capsys.readouterr().out
    assert run(["strip", "oci:web:stripped", "-o", "oci:web:again"]) == 0
    assert neutral(capsys.readouterr().out) == (
        "no file has capabilities\nnothing to change: sha256:0\nwritten: oci:web:again\n"
    )


def test_quiet_prints_the_digest(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["grant", "oci:web:latest", "-q", "-o", "oci:web:granted", "NET_RAW"]) == 0
    assert capsys.readouterr().out == layout.resolve("granted")["digest"] + "\n"


def test_a_dry_run_writes_nothing_and_knows_the_digest(
    layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(".")
    assert run(["grant", "oci:web:latest", "--dry-run", "NET_RAW"]) == 0
    out = capsys.readouterr().out
    assert "dry run: nothing written" in out
    assert run(["grant", "oci:web:latest", "-n", "-o", "oci:other", "NET_RAW"]) == 0
    assert capsys.readouterr().out == out
    assert files(".") == before
    run(["grant", "oci:web:latest", "-o", "oci:web:granted", "NET_RAW"])
    assert layout.resolve("granted")["digest"] in out


def test_the_json_document(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    name = layout.resolve()["digest"].replace(":", "-")
    layout.tag(layout.blob("application/vnd.oci.image.manifest.v1+json", encode({"n": 1})), f"{name}.sig")
    assert (
        run(
            [
                "grant",
                "oci:web:latest",
                "-o",
                "oci:web:granted",
                "/bin/app=cap_net_raw=ep",
                "--format",
                "json",
            ]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert document["schemaVersion"] == 1
    assert (document["reference"], document["output"], document["changed"]) == (
        "oci:web:latest",
        "oci:web:granted",
        True,
    )
    assert document["digest"] == {
        "old": layout.resolve()["digest"],
        "new": layout.resolve("granted")["digest"],
    }
    (image,) = document["images"]
    manifest = layout.manifest("granted")
    (layer,) = image["layers"]
    assert layer == {
        "index": 2,
        "digest": manifest["layers"][2]["digest"],
        "diffId": layout.config("granted")["rootfs"]["diff_ids"][2],
        "size": manifest["layers"][2]["size"],
    }
    assert image["bytesAdded"] == layer["size"]
    (found,) = image["files"]
    assert (found["path"], bytes.fromhex(found["pathHex"])) == ("/usr/bin/app", b"/usr/bin/app")
    assert found["asked"]["path"] == "/bin/app"
    assert [link["path"] for link in found["links"]] == ["/usr/bin/b"]
    assert found["old"] is None
    assert found["new"]["hex"] == "0100000200200000000000000000000000000000"
    assert found["new"]["permitted"] == {"names": ["NET_RAW"], "mask": "0x0000000000002000"}
    assert document["noLongerMatches"][0]["kind"] == "cosign signature"


def test_a_platform_that_is_not_there_is_named(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    image = layout.image([[file("app", ELF)]], None)
    gone = {"mediaType": image["mediaType"], "digest": "sha256:" + "0" * 64, "size": 7}
    platforms = [{"architecture": one, "os": "linux"} for one in ("amd64", "s390x")]
    layout.index([image | {"platform": platforms[0]}, gone | {"platform": platforms[1]}], "two")
    assert run(["grant", "oci:web:two", "-o", "oci:web:granted", "/app=cap_kill=p"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("/app: none -> cap_kill=p\n")
    assert err == "caplet: note: linux/s390x is listed and was not changed, because it is not there\n"


def test_names_cannot_move_the_cursor(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    layout.image([[file("\x1b[31m\u202e\udcff", ELF)]], "odd")
    assert run(["grant", "oci:web:odd", "-o", "oci:web:granted", "/\x1b[31m\u202e\udcff=cap_kill=p"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("/\\x1b[31m\\u202e\\xff: none -> cap_kill=p\n")
    assert run(["grant", "oci:web:odd", "-o", "oci:web:x", "/\x1b[31m=cap_kill=p"]) == 2
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/bin/apq=NET_RAW"],
            "/bin/apq: not in the image",
            "Did you mean /usr/bin/app?",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/bin/app=NET_RWA"],
            "unknown capability 'NET_RWA'; did you mean NET_RAW?",
            "",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/usr=NET_RAW"],
            "/usr is a directory: only a regular file has capabilities",
            "",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out"],
            "no capabilities are named",
            "caplet grant oci:web:latest -o OUT NET_BIND_SERVICE",
        ),
        (["grant", "oci:web:latest", "NET_RAW"], "no output is named", "--dry-run"),
        (
            ["setcap", "oci:web:latest", "-o", "oci:out", "cap_net_raw+ep", "/bin/app"],
            "PATH and CAPS are one",
            "write /bin/app=cap_net_raw+ep",
        ),
        (["grant", "oci:gone", "-o", "oci:out", "NET_RAW"], "gone does not exist", ""),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "NET_RAW", "--platform", "linux/arm64"],
            "is for linux/amd64, not for linux/arm64",
            "",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:missing/dir/out", "NET_RAW"],
            "cannot write oci:missing/dir/out",
            "",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:web:latest@sha256:" + "0" * 64, "NET_RAW"],
            "an output is named by a tag",
            "",
        ),
        (
            ["strip", "oci:web:latest", "-o", "oci:out", "usr/bin/app"],
            "a path in the image begins with /",
            "write /usr/bin/app",
        ),
        (
            ["strip", "oci:web:latest", "-o", "oci:out", "--all", "/bin/app"],
            "--all and a PATH exclude each other",
            "",
        ),
        (["relax", "oci:web:latest", "-o", "oci:out", "/bin/gone"], "/bin/gone: not in the image", ""),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/bin/app=NET_RAW", "KILL"],
            "KILL has no path and is not the first",
            "joined by commas: /bin/app=NET_RAW,KILL; those of the entrypoint's program come first",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "NET_RAW", "KILL"],
            "KILL has no path and is not the first",
            "joined by commas: NET_RAW,KILL",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/bin/app", "=", "NET_RAW"],
            "PATH and CAPS are one argument",
            "write /bin/app=NET_RAW",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/bin/app", "NET_RAW"],
            "PATH and CAPS are one argument",
            "write /bin/app=NET_RAW",
        ),
        (
            ["grant", "NET_RAW", "oci:web:latest", "-o", "oci:out"],
            "the image comes first",
            "write: caplet grant oci:web:latest -o OUT NET_RAW",
        ),
        (
            ["grant", "oci:web:latest", "/bin/app=NET_RAW", "oci:out"],
            "oci:out is one image too many",
            "-o oci:out",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "/bin/app=NET_RAW", "/bin/app=KILL"],
            "/bin/app is named twice",
            "name it once",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "app=NET_RAW"],
            "app: a path in the image begins with /",
            "write /usr/bin/app=NET_RAW",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:out", "gone=NET_RAW"],
            "gone: a path in the image begins with /",
            "there is no such program",
        ),
        (
            ["strip", "oci:web:latest", "-o", "oci:out", "app"],
            "app: a path in the image begins with /",
            "write /usr/bin/app",
        ),
        (
            ["strip", "oci:web:latest", "-o", "oci:out", "NET_RAW"],
            "NET_RAW is a capability, not a file",
            "caplet grant",
        ),
        (["relax", "oci:web:latest", "-o", "oci:out", ""], "the path of a file is empty", "/usr/bin/app"),
        (
            ["grant", "oci:web:latest", "-o", "out", "NET_RAW"],
            "'out' does not say what kind of image to write",
            "write oci:out",
        ),
        (
            ["grant", "oci:web:latest", "-o", "oci:web:latest", "NET_RAW"],
            "oci:web:latest is the input itself, and would be replaced",
            "another tag for the output, or say --in-place",
        ),
        (["scan", "dir:web"], "image layouts and archives only, not dir:", "skopeo copy dir:web"),
        (["scan", "oci:gone"], "gone does not exist", "skopeo copy docker://gone oci:gone"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, hint: str, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(".")
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    first, *rest = err.splitlines()
    assert first.startswith("caplet: ")
    assert message in first
    assert hint in " ".join(rest)
    assert len(rest) <= 1
    assert out == ""
    assert files(".") == before
    assert os.listdir(".") == ["web"]
    del layout


def test_the_input_stays_byte_for_byte(layout: Layout) -> None:
    before = files("web")
    assert run(["grant", "oci:web", "-o", "oci:out", "NET_RAW"]) == 0
    assert files("web") == before
    assert run(["grant", "oci:web", "-o", "oci-archive:out.tar:tag", "NET_RAW"]) == 0
    assert files("web") == before
    assert run(["grant", "oci:web", "-o", "oci:web:second", "--rewrite", "NET_RAW"]) == 0
    after = files("web")
    assert {path: after[path] for path in before if path != "web/index.json"} == {
        path: before[path] for path in before if path != "web/index.json"
    }
    assert layout.resolve("latest") in layout.entries()


@pytest.mark.parametrize(
    "image", ["oci:web:latest", "oci-archive:web.tar:latest", "docker-archive:web.tar:web:1"]
)
def test_the_input_is_replaced_on_request_only(
    image: str, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    if image != "oci:web:latest":
        run(["strip", "oci:web:latest", "-o", image])
    before = files(".")
    assert run(["grant", image, "-o", image, "NET_RAW"]) == 2
    assert "or say --in-place" in capsys.readouterr().err
    assert files(".") == before
    assert run(["grant", image, "-o", image, "--in-place", "NET_RAW"]) == 0
    assert validate(open_image(image)) == []
    capsys.readouterr()
    assert run(["scan", image]) == 0
    assert capsys.readouterr().out.startswith("/usr/bin/app cap_net_raw=ep\n")
    del layout


@pytest.mark.parametrize("way", ["--append", "--rewrite"])
def test_what_is_verified(way: str, layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """As the page says: of a layer below, the blob is proved when it is written, the diff_id is not."""
    below, top = tar([file("below", bytes(9000))]), tar([file("app", ELF)])
    wrong = {"rootfs": {"type": "layers", "diff_ids": ["sha256:" + "0" * 64, digest(top)]}}
    layout.image([below, top], "wrong", more=wrong)
    assert run(["grant", "oci:web:wrong", "-q", way, "-o", "oci:out", "/app=KILL"]) == 0
    capsys.readouterr()
    assert run(["scan", "oci:out"]) == 2
    assert capsys.readouterr().err.startswith(
        "caplet: oci:out: the content of layer 0 does not match its diff_id"
    )
    with open(layout.blob_path(layout.manifest("wrong")["layers"][0]["digest"]), "r+b") as blob:
        blob.write(b"\0")
    assert run(["grant", "oci:web:wrong", "-q", way, "-n", "/app=KILL"]) == 0
    capsys.readouterr()
    assert run(["grant", "oci:web:wrong", "-q", way, "-o", "oci:other", "/app=KILL"]) == 2
    assert "a blob does not match its digest" in capsys.readouterr().err
    assert not os.path.exists("other")


# What is said of the program

ENTRYPOINTS: dict[str, tuple[dict[str, list[str]], str, str]] = {
    "none": ({}, "the image names no program", "name the file: /usr/bin/app=NET_RAW"),
    "a script": (
        {"Entrypoint": ["/entry.sh"], "Cmd": ["app", "-v"]},
        "/entry.sh is a script: the capabilities would go to /usr/bin/dash",
        "name the program: /usr/bin/app=NET_RAW",
    ),
    "env": (
        {"Entrypoint": ["/usr/bin/env", "app"]},
        "is /usr/bin/env, which starts another program",
        "name the program: /usr/bin/app=NET_RAW",
    ),
    "env and an interpreter": (
        {"Entrypoint": ["/usr/bin/env", "python3", "x.py"]},
        "is /usr/bin/env, which starts another program",
        "name a compiled program that does what needs them: /usr/bin/app=NET_RAW\n",
    ),
    "an interpreter": (
        {"Entrypoint": ["python3", "x.py"]},
        "is /usr/bin/python3, which runs scripts",
        "name a compiled program that does what needs them: /usr/bin/app=NET_RAW; --allow-interpreter means",
    ),
    "an init": (
        {"Entrypoint": ["tini", "--", "app"]},
        "is /usr/bin/tini, which starts another program",
        "name the program: /usr/bin/app=NET_RAW",
    ),
    "a shell": (
        {"Cmd": ["sh", "-c", "exec app"]},
        "is /usr/bin/dash, which runs scripts",
        "name the program: /usr/bin/app=NET_RAW",
    ),
    "a missing program": (
        {"Cmd": ["gone"]},
        "the image's program does not start: gone: not found along PATH",
        "name the file that is to have them: /usr/bin/app=NET_RAW",
    ),
}

WRAPPED = [
    directory("usr"),
    directory("usr/bin"),
    APP,
    *(file(f"usr/bin/{name}", ELF) for name in ("env", "dash", "tini", "python3")),
    symlink("usr/bin/sh", "dash"),
    symlink("bin", "usr/bin"),
    file("entry.sh", b'#!/bin/sh\nexec "$@"\n'),
]


@pytest.mark.parametrize(("config", "message", "hint"), ENTRYPOINTS.values(), ids=list(ENTRYPOINTS))
def test_without_a_path_the_program_behind_the_entrypoint_is_proposed(
    config: dict[str, list[str]], message: str, hint: str, layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    layout.image([WRAPPED], "wrapped", config=config)
    assert run(["grant", "oci:web:wrapped", "-n", "NET_RAW"]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 2
    assert message in err
    assert hint in err


BEHIND = (
    "/usr/bin/app gains nothing when a program without capabilities starts it, as the image's entrypoint /entry.sh may, "
    "and the Pod has allowPrivilegeEscalation: false (no_new_privs)"
)
BY = "by the Pod's capabilities.add, or the engine's default set"
SCRIPT = (
    "/entry.sh is a script: execve(2) ignores its capabilities, and takes those of its interpreter /bin/sh; grant a "
    "compiled program that does what needs them instead"
)
NOTES: dict[str, tuple[str, list[str]]] = {
    "one": (
        "/bin/app=NET_RAW",
        [
            f"/usr/bin/app will start only where NET_RAW is allowed: {BY}",
            BEHIND,
        ],
    ),
    "two": (
        "/bin/app=NET_RAW,KILL",
        [
            f"/usr/bin/app will start only where KILL and NET_RAW are allowed: {BY}",
            BEHIND,
        ],
    ),
    "all": (
        "/bin/app=ALL",
        [
            f"/usr/bin/app will start only where all 41 of them are allowed: {BY}",
            BEHIND,
        ],
    ),
    "permitted only": ("/bin/app=cap_kill=p", [BEHIND]),
    "inheritable only": ("/bin/app=cap_kill=i", []),
    "a script": (
        "/entry.sh=NET_RAW",
        [SCRIPT],
    ),
    "a shell": (
        "/bin/sh=cap_kill=p",
        ["/usr/bin/dash runs scripts: every script that it runs gets these capabilities"],
    ),
}


@pytest.mark.parametrize(("grant", "notes"), NOTES.values(), ids=list(NOTES))
def test_the_notes_of_a_grant(
    grant: str, notes: list[str], layout: Layout, capsys: pytest.CaptureFixture[str]
) -> None:
    """One truth each: a script's are not said to keep it from starting, a shell is never the remedy."""
    layout.image([WRAPPED], "wrapped", config={"Entrypoint": ["/entry.sh"], "Cmd": ["app"]})
    assert run(["grant", "oci:web:wrapped", "-n", grant]) == 0
    assert capsys.readouterr().err.splitlines() == [f"caplet: note: {note}" for note in notes]


def test_notes_of_an_index_name_the_platform_and_follow_its_heading(layout: Layout, tmp_path: Path) -> None:
    layout.index(
        [
            layout.image([WRAPPED], None, architecture=name, config={"Entrypoint": ["/usr/bin/app"]})
            | {"platform": {"os": "linux", "architecture": name}}
            for name in ("amd64", "arm64")
        ],
        "both",
    )
    command = (sys.executable, "-m", "caplet", "grant", "oci:web:both", "-n", "KILL")
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True, cwd=tmp_path
    )
    words = [line.split()[:4] for line in done.stdout.splitlines()]
    begun = [" ".join(line[:4] if "note:" in line else line[:1]) for line in words]
    assert begun == [
        "#",
        "/usr/bin/app:",
        "layer",
        "digest:",
        "caplet: note: linux/amd64: /usr/bin/app",
        "#",
        "/usr/bin/app:",
        "layer",
        "digest:",
        "caplet: note: linux/arm64: /usr/bin/app",
        "digest:",
        "dry",
    ]


LOST = {
    "grant": ["grant", "oci:web:latest", "-o", "oci:out", "NET_RAW"],
    "pack": ["pack", "./app", "-o", "oci:out"],
}


@pytest.mark.parametrize("command", LOST.values(), ids=list(LOST))
@pytest.mark.parametrize(("full", "code"), [(True, 2), (False, 141)], ids=["full", "closed"])
def test_a_report_that_is_lost_does_not_hide_what_was_written(
    command: list[str], full: bool, code: int, layout: Layout, tmp_path: Path
) -> None:
    program(tmp_path / "app", "amd64")
    if full:
        out = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, out = os.pipe()
        os.close(reader)
    try:
        done = subprocess.run(
            (sys.executable, "-m", "caplet", *command),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
        )
    finally:
        os.close(out)
    written = Layout("out").entries()[0]["digest"]
    (said,) = [line for line in done.stderr.splitlines() if "note" not in line]
    why = "No space left on device" if full else "its reader is gone"
    assert said == f"caplet: oci:out was written ({written}), but not all of this report: {why}"
    assert done.returncode == code
    assert validate(open_image("oci:out")) == []
    del layout


@pytest.mark.parametrize("out", ["oci:out", "oci-archive:out.tar:tag", "docker-archive:out.tar:web:tag"])
def test_every_output_is_valid_and_again_an_input(out: str, layout: Layout) -> None:
    assert run(["grant", "oci:web", "-o", out, "NET_RAW"]) == 0
    assert validate(open_image(out)) == []
    assert run(["grant", out, "-o", "oci:second", "--rewrite", "KILL"]) == 0
    assert validate(open_image("oci:second")) == []
    del layout


def test_untouched_blobs_are_linked(layout: Layout) -> None:
    assert run(["grant", "oci:web", "-o", "oci:out", "NET_RAW"]) == 0
    for layer in layout.manifest()["layers"]:
        assert os.path.samefile(layout.blob_path(layer["digest"]), Layout("out").blob_path(layer["digest"]))


def written_bytes() -> int:
    with open("/proc/self/io", encoding="ascii") as counters:
        return int(dict(line.split(": ") for line in counters)["wchar"])


@pytest.mark.parametrize("size", [10_000, 5_000_000])
def test_little_more_than_the_new_layer_is_written(size: int, layout: Layout) -> None:
    layout.image([[file("app", random.Random(1).randbytes(size))], [file("x")]], "big", compression="none")
    before = written_bytes()
    assert run(["grant", "oci:web:big", "-q", "-o", "oci:out", "/app=NET_RAW"]) == 0
    assert written_bytes() - before < size + (64 << 10)


# One input, one digest

SURROUNDINGS: list[dict[str, str]] = [
    {},
    {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati"},
    {"PYTHONHASHSEED": "4294967295", "TZ": "America/St_Johns", "LC_ALL": "C"},
    {"PYTHONHASHSEED": "0", "LC_ALL": "POSIX", "PYTHONUTF8": "0"},
    {"LC_ALL": "tr_TR.UTF-8", "TMPDIR": "/var/tmp"},
]


@pytest.mark.parametrize("way", ["--append", "--rewrite"])
def test_the_digest_does_not_depend_on_where_it_is_made(way: str, layout: Layout) -> None:
    layout.image(
        [[file(f"{number}-\u00e9", ELF, xattrs={"user.b": b"1", "user.a": b"2"}) for number in range(9)]],
        "many",
    )
    arguments = ["grant", "oci:web:many", "-q", way, *(f"/{number}-\u00e9=NET_RAW" for number in range(9))]
    digests = set()
    for number, more in enumerate(SURROUNDINGS):
        environment = {
            name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"
        } | more
        command = (sys.executable, "-m", "caplet", *arguments, "-o", f"oci:out{number}")
        done = subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, umask=(0, 0o77)[number % 2]
        )
        digests.add(done.stdout)
    assert len(digests) == 1


# Ends

KILLS = int(os.environ.get("CAPLET_KILLS", "5"))
"""Rounds of two killed processes; `CAPLET_KILLS=100` for 200."""


def big(layout: Layout) -> None:
    noise = random.Random(1).randbytes(6_000_000)
    layout.image([[file("app", ELF + noise)], [file("b", noise[::-1])]], "big", compression="none")


def start(out: str) -> subprocess.Popen[Any]:
    command = (sys.executable, "-m", "caplet", "grant", "oci:web:big", "-o", out, "/app=NET_RAW")
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_at_any_moment_the_output_is_old_or_new(layout: Layout) -> None:
    """A sample of moments over the length of one run."""
    big(layout)
    began = time.monotonic()
    assert start("oci:whole").wait() == 0
    length = time.monotonic() - began
    new = Layout("whole").entries()[0]["digest"]
    assert run(["grant", "oci:web:latest", "-q", "-o", "oci:out", "NET_RAW"]) == 0
    old = Layout("out").entries()[0]["digest"]
    source = random.Random(7)
    for number in range(KILLS):
        for out in ("oci:out", f"oci:fresh{number}"):
            process = start(out)
            time.sleep(source.random() * length * 1.2)
            process.send_signal(signal.SIGKILL)
            process.wait()
            path = out.removeprefix("oci:")
            if not os.path.exists(path):
                continue
            assert validate(open_image(out)) == []
            assert Layout(path).entries()[0]["digest"] in {old, new}
        run(["grant", "oci:web:latest", "-q", "-o", "oci:out", "NET_RAW"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_leaves_nothing(number: signal.Signals, layout: Layout) -> None:
    big(layout)
    for delay in (0.05, 0.2, 0.3, 0.4):
        process = start("oci:out")
        time.sleep(delay)
        process.send_signal(number)
        code = process.wait()
        assert sorted(name for name in os.listdir(".") if name.startswith(".")) == []
        if os.path.exists("out"):
            # The signal may have come when all was written: then the output is whole, whatever the process says.
            assert code in {0, -number, 128 + number}
            assert validate(open_image("oci:out")) == []
            shutil.rmtree("out")
