# SPDX-License-Identifier: Apache-2.0
"""`caplet pack` as a user calls it: what it prints, what independent readers find, what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests import engines
from tests.pack.conftest import program

from caplet.cli.main import run
from caplet.image.image import Image, Index, open_image
from caplet.image.validate import validate
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable

BIND = FileCaps.parse("NET_BIND_SERVICE").encode()


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user stands: programs of two architectures, nothing else."""
    program(tmp_path / "server", "amd64")
    for architecture in ("amd64", "arm64"):
        program(tmp_path / architecture / "server", architecture)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return tmp_path


SAID = """\
oci:image  DIGEST
  linux/amd64  6,173 bytes
  /server cap_net_bind_service=ep
  runs as 65532:65532: /server --port 80
  where a Pod drops ALL and does not add NET_BIND_SERVICE, it does not start: operation not permitted
"""
SAID_OF_TWO = """\
oci:image:both  DIGEST
  linux/amd64  6,142 bytes  DIGEST
  linux/arm64  6,142 bytes  DIGEST
  /server
  runs as 1000:0: /server
"""


def masked(text: str) -> str:
    return re.sub(r"[0-9,]+ bytes", "N bytes", re.sub(r"sha256:[0-9a-f]{64}", "DIGEST", text))


def test_it_says_what_it_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run(["pack", "./server", "-o", "oci:image", "--caps", "NET_BIND_SERVICE", "--", "--port", "80"]) == 0
    )
    assert masked(capsys.readouterr().out) == masked(SAID)
    assert run(["pack", "arm64/server", "amd64/server", "-o", "oci:image:both", "--user", "1000:0"]) == 0
    assert masked(capsys.readouterr().out) == masked(SAID_OF_TWO)


PAGE = (Path(__file__).parents[2] / "docs" / "cli" / "pack.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"```console\n\$ caplet (.*)\n((?:.*\n)*?)```", PAGE)


@pytest.mark.parametrize(
    ("command", "output"), SESSIONS, ids=[str(number) for number in range(len(SESSIONS))]
)
def test_the_page_shows_what_is_printed(
    command: str, output: str, capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    """The digest too: it is the same on every machine. Where the page shows no output, the command succeeds."""
    program(directory / "helper", "amd64")
    for architecture in ("amd64", "arm64"):
        program(directory / "dist" / f"linux_{architecture}" / "server", architecture)
    assert run(command.split()) == 0
    assert output in ("", capsys.readouterr().out)


def test_quiet_prints_the_digest_that_the_layout_has(
    capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    assert run(["pack", "-q", "./server", "-o", "oci:image"]) == 0
    (manifest,) = json.loads((directory / "image" / "index.json").read_bytes())["manifests"]
    assert capsys.readouterr().out == manifest["digest"] + "\n"


OUTPUTS = (
    "oci:image",
    "oci:image:tag",
    "oci-archive:image.tar",
    "docker-archive:image.tar:localhost/server:1",
)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("compression", ["stored", "gzip", "plain"])
def test_what_is_written_is_valid(output: str, compression: str) -> None:
    assert run(["pack", "./server=NET_RAW", "-o", output, "--compression", compression]) == 0
    image = open_image(output)
    assert isinstance(image, Image)
    assert validate(image) == []
    assert image.config.entrypoint == ("/server",)


def test_every_option_reaches_the_configuration(directory: Path) -> None:
    (directory / "ca.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    (directory / "zones").mkdir()
    (directory / "zones" / "UTC").write_bytes(b"TZif2")
    argv = [
        "pack", "./server:/bin/server", "-o", "oci:image", "--entrypoint", "/bin/server", "--entrypoint", "-v",
        "--env", "A=1", "--env", "B=x=y", "--workdir", "/data", "--label", "k=v", "--port", "80", "--port", "53/udp",
        "--ca-certificates=ca.pem", "--time-zones=zones", "--platform", "linux/amd64/v2", "--", "--", "-x",
    ]  # fmt: skip
    assert run(argv) == 0
    image = open_image("oci:image")
    assert isinstance(image, Image)
    assert image.config.raw["config"] == {
        "User": "65532:65532",
        "ExposedPorts": {"53/udp": {}, "80/tcp": {}},
        "Env": ["A=1", "B=x=y"],
        "Entrypoint": ["/bin/server", "-v"],
        "Cmd": ["--", "-x"],
        "WorkingDir": "/data",
        "Labels": {"k": "v"},
    }
    assert image.config.raw["variant"] == "v2"


REFUSED = {
    "a missing file": (["nope"], "nope: no such file"),
    "a directory": (["."], ". is a directory"),
    "a directory with a path": (["arm64:/x"], "arm64 is a directory"),
    "an unknown capability": (["server", "--caps", "NET_BIND_SERVIC"], "did you mean NET_BIND_SERVICE"),
    "capabilities twice": (["server=NET_RAW", "--caps", "NET_RAW"], "already names capabilities"),
    "a user by name": (["server", "--user", "nonroot"], "is not UID[:GID] in numbers"),
    "another platform": (["server", "--platform", "linux/arm64"], "is a program for linux/amd64"),
    "a port by name": (["server", "--port", "http"], "port 'http'"),
    "a label without a value": (["server", "--label", "x"], "'x' is not KEY=VALUE"),
    "a bundle that is none": (["server", "--ca-certificates=server"], "no certificate"),
    "an empty value": (["server", "--time-zones="], "needs a value"),
    "a port that is none": (["server", "--port", "99999"], "port 99999 is not between 1 and 65535"),
    "a mapped port": (["server", "--port", "8080:80"], "write the one on which the program listens: 80"),
    "a user that is none": (["server", "--user", "99999999999"], "allows numbers from 0 to 2147483647"),
    "a variable without a value": (["server", "--env", "A"], "variable 'A' is not KEY=VALUE"),
    "a relative directory": (["server", "--workdir", "data"], "write /data"),
    "two words in one": (
        ["server", "--entrypoint", "server -v"],
        "write --entrypoint /server --entrypoint -v",
    ),
    "no capabilities": (["server", "--caps", ""], "--caps names no capabilities"),
    "capabilities apart": (["server", "--caps", "KILL", "CHOWN"], "joined by commas"),
    "zones that are not there": (["server", "--time-zones=gone"], "gone: no such directory"),
    "a directory of this machine": (["server", "/etc"], "FILE:/etc"),
    "zones that are none": (["server", "--time-zones=arm64"], "no time zones"),
}


@pytest.mark.parametrize(("arguments", "why"), REFUSED.values(), ids=list(REFUSED))
def test_a_refusal_is_one_line_and_leaves_nothing(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    before = sorted(os.listdir(directory))
    assert run(["pack", *arguments, "-o", "oci:image"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert why in err
    assert err.startswith("caplet")
    assert len(err.splitlines()) <= 2
    assert sorted(os.listdir(directory)) == before


OUTPUTS_REFUSED = {
    "a name": ("image", "write oci:image for a layout"),
    "a name with a tag": ("image:tag", "write oci:image:tag for a layout"),
    "a file": ("image.tar", "write oci-archive:image.tar, or docker-archive:image.tar:NAME:TAG"),
    "a registry": ("docker://a/b:1", "skopeo copy oci:image:latest docker://a/b:1"),
    "a directory of blobs": ("dir:x", "skopeo copy oci:image:latest dir:x"),
    "Docker's storage": (
        "docker-daemon:x:1",
        "write docker-archive:image.tar:x:1, then docker load -i image.tar",
    ),
    "Podman's storage": ("containers-storage:x", "podman load -i image.tar"),
    "nothing": ("", "write oci:DIR[:TAG]"),
    "a digest": (f"oci:x@sha256:{'0' * 64}", "write oci:DIR[:TAG]"),
    "a place without files": ("oci:/proc/x", "make the directory"),
}


@pytest.mark.parametrize(("output", "hint"), OUTPUTS_REFUSED.values(), ids=list(OUTPUTS_REFUSED))
def test_an_output_that_is_none_says_what_to_write(
    output: str, hint: str, capsys: pytest.CaptureFixture[str], directory: Path
) -> None:
    before = sorted(os.listdir(directory))
    assert run(["pack", "./server", "-o", output]) == 2
    out, err = capsys.readouterr()
    first, second = err.splitlines()
    assert (out, first[:8], sorted(os.listdir(directory))) == ("", "caplet: ", before)
    assert "reads" not in first
    assert hint in second


def test_names_from_outside_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pack", "./server:/\x1b[2Jx\u202e", "-o", "oci:image"]) == 0
    assert run(["pack", "\x1b[2J\n", "-o", "oci:image"]) == 2
    out, err = capsys.readouterr()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", out + err)


def test_the_other_readers_agree_byte_for_byte(
    tool: Callable[[str], str], directory: Path, root: None
) -> None:
    """umoci, Podman and skopeo take the image apart and find the same files, owners, times and attribute."""
    for name in ("umoci", "podman", "skopeo"):
        tool(name)
    assert run(["pack", "./server=NET_BIND_SERVICE", "-o", "oci:image:tag"]) == 0
    engines.skopeo("image", "tag", str(directory / "copy"))
    trees = []
    for reader in (engines.umoci(str(directory), "image", "tag"), engines.podman("image", "tag")):
        with reader as unpacked:
            found = engines.tree(unpacked)
            found.pop(".")
            trees.append(found)
            assert (Path(unpacked) / "server").read_bytes() == (directory / "server").read_bytes()
    assert trees[0] == trees[1]
    assert sorted(trees[0]) == ["etc", "etc/group", "etc/passwd", "server"]
    _, mode, uid, gid, mtime, attributes, *_ = trees[0]["server"]
    assert (mode, uid, gid, mtime, attributes) == (0o755, 0, 0, 0, (("security.capability", BIND),))


def test_another_reader_selects_the_platform_of_an_index(tool: Callable[[str], str]) -> None:
    assert run(["pack", "amd64/server", "arm64/server", "-o", "oci:image:both"]) == 0
    index = open_image("oci:image:both")
    assert isinstance(index, Index)
    assert validate(index) == []
    for architecture in ("amd64", "arm64"):
        argv = [tool("skopeo"), "--override-arch", architecture, "inspect", "--config", "oci:image:both"]
        config = json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)
        assert config["architecture"] == architecture


def test_it_writes_only_the_output_and_connects_nowhere(tool: Callable[[str], str], directory: Path) -> None:
    """strace's word for it."""
    trace = directory / "trace"
    strace = [
        tool("strace"),
        "-f",
        "-qq",
        "-o",
        str(trace),
        "-e",
        "trace=openat,open,creat,socket,connect,unlink,rename,renameat,renameat2,mkdir",
    ]
    argv = [
        sys.executable,
        "-B",
        "-m",
        "caplet",
        "pack",
        "./server",
        "-o",
        "oci:out/image",
        "--caps",
        "NET_RAW",
    ]
    (directory / "out").mkdir()
    subprocess.run([*strace, *argv], check=True, capture_output=True)
    calls = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    assert not [call for call in calls if re.search(r" (socket|connect)\(", call)]
    written = [
        call
        for call in calls
        if re.search(r"O_(WRONLY|RDWR|CREAT|TMPFILE)| (rename\w*|unlink|mkdir)\(", call)
    ]
    outside = [
        call
        for call in written
        if "out/" not in call and "/dev/null" not in call and f"{directory}/out" not in call
    ]
    assert [call for call in outside if not re.search(r'"\.?(oci|blobs|index|sha256)', call)] == []


def test_no_space_leaves_the_old_image(tool: Callable[[str], str], directory: Path, root: None) -> None:
    """On a full file system: exit 2, and what was there before is whole."""
    script = """
set -e
mount -t tmpfs -o size=64k none out
"$@" -o oci:out/image
before=$(sha256sum out/image/index.json)
head -c 200000 /dev/zero >>big
code=0
"$@" big:/big -o oci:out/image || code=$?
test "$before" = "$(sha256sum out/image/index.json)"
find out -type f | sort
exit $code
"""
    (directory / "out").mkdir()
    (directory / "big").write_bytes((directory / "server").read_bytes())
    argv = [
        tool("unshare"),
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
        sys.executable,
        "-m",
        "caplet",
        "pack",
        "./server",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    left = [line for line in done.stdout.splitlines() if line.startswith("out/")]
    assert len([line for line in left if "/blobs/" in line]) == 4
    assert len(left) == 6
