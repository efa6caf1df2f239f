# SPDX-License-Identifier: Apache-2.0
"""`caplet verify` on the command line: which container, on what, how it ended, and which engines could not be asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.conftest import missing
from tests.layouts import Layout, directory, file

from caplet.cli.main import run
from caplet.image.elf import read_elf
from caplet.run import installed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POD = """
kind: Pod
metadata: {name: web}
spec:
  volumes: [{name: run, emptyDir: {}}]
  initContainers:
    - {name: setup, image: a}
    - {name: proxy, image: b, restartPolicy: Always}
  containers:
    - name: web
      command: %s
      volumeMounts: [{name: run, mountPath: /data}]
      securityContext: {runAsUser: 101, capabilities: {drop: [ALL]}}
"""
HEADING = "pod/web  container web (of setup, proxy, web)  oci:web"
DIES = '[sh, -c, "echo out; echo early >&2; for i in 1 2 3 4 5; do echo line $i >&2; done; exit 3"]'
IMAGE = ("-f", "pod.yaml", "--image", "oci:web")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[[str], str]
) -> Callable[[str], None]:
    """Write pod.yaml with that command; oci:web has a shell, and a /data that is uid 0's alone."""
    monkeypatch.chdir(tmp_path)
    with open(tool("busybox"), "rb") as program:
        if not read_elf(program).static:
            missing("a static busybox (apt install busybox-static)")
        program.seek(0)
        shell = program.read()
    Layout("web").image(
        [
            [
                directory("bin"),
                file("bin/sh", shell, 0o755),
                file("bin/sleep", shell, 0o755),
                directory("data"),
            ]
        ],
        config={"Env": ["PATH=/bin"]},
    )

    def write(words: str) -> None:
        (tmp_path / "pod.yaml").write_text(POD % words)

    return write


def verify(*arguments: str) -> int:
    return run(("verify", *IMAGE, *arguments))


@pytest.mark.root
@pytest.mark.usefixtures("root")
class TestAContainer:
    def test_that_ends_by_itself(
        self, command: Callable[[str], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        command(DIES)
        assert verify("--on", "containerd:1.7") == 0
        heading, first, *lines = capsys.readouterr().out.splitlines()
        assert heading == HEADING
        assert first.endswith(": started, and ended with exit code 3; the start is as predicted (effective)")
        assert lines[:5] == [f"  | line {number}" for number in range(1, 6)]

    def test_the_same_as_json(
        self, command: Callable[[str], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        command(DIES)
        assert verify("--on", "containerd:1.7,crio", "-o", "json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["pod"] == {"kind": "Pod", "name": "web", "container": "web"}
        assert (document["image"], document["notAsked"]) == ({"reference": "oci:web"}, [])
        assert [one["node"] for one in document["verified"]] == ["containerd:1.7", "crio"]
        for one in document["verified"]:
            assert (one["started"], one["asPredicted"], one["exitCode"]) == (True, True, 3)
            assert (one["stdout"], one["stderr"].splitlines()[0]) == ("out\n", "early")

    def test_that_goes_on(self, command: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
        command("[sleep, '9']")
        assert verify("--on", "containerd:1.7", "--seconds", "0.2") == 0
        assert ": started, as predicted (effective)\n" in capsys.readouterr().out

    def test_has_its_volumes_where_the_node_is_emulated(
        self, command: Callable[[str], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        command('[sh, -c, "echo a > /data/file"]')
        assert verify("--on", "containerd:1.7") == 0
        assert "ended with exit code 0;" in capsys.readouterr().out

    def test_on_a_platform_which_is_named_as_asked(
        self, command: Callable[[str], None], capsys: pytest.CaptureFixture[str]
    ) -> None:
        command("[sleep, '9']")
        assert verify("--on", "openshift") == 0
        assert "\nopenshift = crio " in capsys.readouterr().out

    def test_by_a_runtime_that_is_not_in_path(
        self,
        command: Callable[[str], None],
        capsys: pytest.CaptureFixture[str],
        tool: Callable[[str], str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As for a user whose PATH has no sbin."""
        (tmp_path / "sbin").mkdir()
        (tmp_path / "sbin" / "runc").symlink_to(tool("runc"))
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
        monkeypatch.setattr(installed, "SBIN", (str(tmp_path / "sbin"),))
        command(DIES)
        assert verify("--on", "containerd:1.7") == 0
        assert " / runc " in capsys.readouterr().out


def test_engines_that_do_not_answer(
    command: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(DIES)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert verify("--engine", "docker") == 4
    assert (
        "no engine answers: docker needs a running dockerd: there is no /nowhere.sock"
        in capsys.readouterr().err
    )


@pytest.mark.root
@pytest.mark.usefixtures("root")
def test_the_others_are_asked(
    command: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(DIES)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert verify("--engine", "docker", "--on", "containerd:1.7") == 0
    said = capsys.readouterr()
    assert said.err == "not asked: docker needs a running dockerd: there is no /nowhere.sock\n"
    assert "\ncontainerd 1.7" in said.out


def test_a_context_that_is_none(
    command: Callable[[str], None], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command(DIES)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(installed, "SBIN", ())
    assert verify("--context", "none") == 4
    said = capsys.readouterr().err
    assert "no engine answers: --context none needs a cluster that answers: kubectl is not installed" in said
