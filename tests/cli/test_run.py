# SPDX-License-Identifier: Apache-2.0
"""`caplet run` on the command line: whatever goes wrong on our side is 125, as with Podman, and told in one line."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from tests.layouts import Layout, file
from tests.run.containers import NBS_EP, RUNTIMES

from caplet.cli.main import run
from caplet.programs.shipped import path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POD = """
kind: Pod
metadata: {name: web}
spec:
  containers:
    - name: http
      securityContext:
        runAsUser: 65535
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
"""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With pod.yaml, and the image oci:web of the server that has its capability."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pod.yaml").write_text(POD)
    program = path("http").read_bytes()
    Layout("web").image(
        [[file("http", program, 0o755, xattrs={"security.capability": NBS_EP}), file("text", b"x\n", 0o755)]],
        config={"Entrypoint": ["/http"]},
    )
    return tmp_path


IMAGE = ("--image", "oci:web")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing argument 'POD.yaml'"),
        (("pod.yaml", "--frobnicate"), "No such option"),
        (("pod.yaml", "more"), "unexpected extra argument"),
        (("pod.yaml", "--image"), "requires an argument"),
        (("pod.yaml", "--runtime", "runsc"), "'runsc' is not one of 'runc', 'crun', 'embedded'"),
        (("pod.yaml", "-o", "yaml"), "'yaml' is not one of 'text', 'json'"),
        (("pod.yaml", "--timeout", "0", "--probe", "http://:80/"), "0.0 is not in the range"),
        (("pod.yaml", "--timeout", "nan", "--probe", "http://:80/"), "not a number of seconds"),
        (("pod.yaml", "--timeout", "5"), "--timeout says how long --probe tries; without --probe"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_is_125(
    directory: Path, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`podman run --foo` is podman-run(1)'s own example of 125: 2 may be what the container says."""
    assert run(["run", *arguments]) == 125
    out, err = capsys.readouterr()
    assert not out
    assert message in err.splitlines()[0]
    assert len(err.splitlines()) <= 2


def test_podman_says_125_too(tool: Callable[[str], str]) -> None:
    ended = subprocess.run([tool("podman"), "run", "--foo", "x"], capture_output=True, check=False)
    assert ended.returncode == 125


@pytest.mark.parametrize("arguments", [["--frobnicate", "run"], ["rum"], []])
def test_a_wrong_word_before_the_command_is_2(arguments: list[str]) -> None:
    assert run(arguments) == 2


@pytest.mark.root
@pytest.mark.usefixtures("root", "directory")
class TestAsRoot:
    @pytest.mark.parametrize(
        ("arguments", "message", "hint"),
        [
            (("oci:web",), "oci:web is an image", "caplet run POD.yaml --image oci:web"),
            (("none.yaml", *IMAGE), "none.yaml: No such file or directory", "name one manifest"),
            ((".", *IMAGE), ".: Is a directory", "name one manifest"),
            (("pod.yaml", "--image", ""), "--image names no image", "--image oci:DIR[:TAG]"),
            (("pod.yaml", *IMAGE, "--on", "cryo"), "did you mean crio?", "known: containerd:"),
            (("pod.yaml", *IMAGE, "--probe", "https://:443/"), "only http:// is asked", "TLS"),
            (("pod.yaml", *IMAGE, "--probe", "http://10.1.2.3/"), "has loopback alone", "http://:80/"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_what_cannot_be_done_is_125_and_says_what_to_do(
        self,
        arguments: tuple[str, ...],
        message: str,
        hint: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert run(["run", *arguments]) == 125
        out, err = capsys.readouterr()
        assert not out
        said, advice = err.splitlines()
        assert message in said
        assert hint in advice

    @pytest.mark.parametrize("name", RUNTIMES)
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (("add: [NET_BIND_SERVICE]", "add: []"), "operation not permitted"),
            (("- name: http", "- name: http\n      command: [/none]"), "no such file or directory"),
            (("- name: http", "- name: http\n      command: [/text]"), "exec format error"),
        ],
        ids=["dropped", "missing", "text"],
    )
    def test_a_failed_start_is_told_once(
        self,
        directory: Path,
        name: str,
        change: tuple[str, str],
        words: str,
        tool: Callable[[str], str],
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        """runc and crun say it on the container's standard error; the report has it."""
        if name != "embedded":
            tool(name)
        (directory / "pod.yaml").write_text(POD.replace(*change))
        assert run(["run", "pod.yaml", *IMAGE, "--runtime", name]) in {126, 127}
        err = capfd.readouterr().err.lower()
        assert err.count(words) == 1, err
        assert err.startswith("pod/web "), err

    def test_a_port_that_the_machine_uses_is_not_probed(
        self, directory: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Else the other server would answer for the container, which cannot listen."""
        (directory / "pod.yaml").write_text(POD.replace("spec:", "spec:\n  hostNetwork: true", 1))
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            assert run(["run", "pod.yaml", *IMAGE, "--probe", f"http://:{port}/"]) == 125
        assert f"port {port} is taken" in capsys.readouterr().err


@pytest.mark.root
@pytest.mark.usefixtures("root")
def test_remedies_are_values_in_json(directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same fields as in `caplet explain -o json`; `because` has sentences alone."""
    (directory / "plain").mkdir()
    Layout("plain").image(
        [[file("http", path("http").read_bytes(), 0o755)]], config={"Entrypoint": ["/http"]}
    )
    image = ("--image", "oci:plain", "--on", "containerd:1.7")
    run(
        (
            "run",
            "pod.yaml",
            *image,
            "--runtime",
            "embedded",
            "--probe",
            "http://:80/",
            "--timeout",
            "1",
            "-o",
            "json",
        )
    )
    said = json.loads(capfd.readouterr().out)
    assert [text.partition(" ")[0] for text in said["because"]] == ["because"]
    assert run(("explain", "-f", "pod.yaml", *image, "-o", "json")) == 1
    (explained,) = json.loads(capfd.readouterr().out)["explanations"]
    assert said["remedies"] == explained["remedies"]
    assert any(remedy["commands"] for remedy in said["remedies"])
