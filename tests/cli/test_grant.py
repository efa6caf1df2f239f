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
from tests.layouts import ELF, Layout, directory, encode, file, hardlink, symlink

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
