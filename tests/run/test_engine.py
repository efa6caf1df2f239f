# SPDX-License-Identifier: Apache-2.0
"""`caplet run --on`: each engine's container for real, as predicted; and what this machine is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, file
from tests.run.containers import NBS_EP

from caplet.cli.main import run
from caplet.errors import InvalidInput
from caplet.programs.shipped import path
from caplet.run.engine import engine_shown, node_here

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("containerd:1.7", "containerd 1.7"),
        ("containerd:v2.1.9", "containerd 2.1.9"),
        ("docker:20.10", "Docker 20.10"),
        ("podman:4.3.1", "Podman 4.3.1"),
        ("cri-o:1.30", "CRI-O 1.30"),
        ("crio:1.30+kubernetes:1.29", "CRI-O 1.30"),
    ],
)
def test_engines(text: str, shown: str) -> None:
    assert engine_shown(node_here(text)) == shown


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("containrd", "unknown engine 'containrd'; did you mean containerd?", "known: containerd:"),
        ("docker:99", "unknown version docker 99", "the nearest that is known: docker:29"),
        ("containerd:x", "not a version: 'x'", "write it as 2.1"),
        ("", "--on names no engine", "known: containerd:"),
        ("crio,podman:5", "a container runs as one engine makes it, and this names 2", "one of them: crio, podman:5"),
        ("all", "a container runs as one engine makes it", "name one of them: containerd"),
        ("crio+crun:1.14", "the OCI runtime is one of this machine's", "leave +crun:1.14 out, and choose with --runtime crun"),
        ("crio+linux:5.4", "the kernel is this machine's", "leave +linux:5.4 out"),
    ],
)  # fmt: skip
def test_what_this_machine_is_not(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        node_here(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


POD = """
kind: Pod
metadata: {{name: web}}
spec:
  containers:
    - name: app
      command: [{program}]
      securityContext:
        runAsUser: 65535
        allowPrivilegeEscalation: false
        capabilities: {{drop: [ALL], add: [NET_BIND_SERVICE]}}
"""


@pytest.mark.root
@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("engine", "plain", "granted"),
    [
        ("containerd:1.7", False, True),
        ("crio", False, True),
        ("docker", False, True),
        ("docker:20.10", False, False),  # a user other than root has it in the bounding set alone
        ("podman:5", True, True),  # what is added is ambient
    ],
)
def test_each_engine_gives_what_it_gives(
    engine: str,
    plain: bool,
    granted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A program without and with the file capability, as uid 65535 under no_new_privs."""
    monkeypatch.chdir(tmp_path)
    probe = path("probe").read_bytes()
    Layout("image").image(
        [[file("plain", probe, 0o755), file("ep", probe, 0o755, xattrs={"security.capability": NBS_EP})]]
    )
    for program, has in (("/plain", plain), ("/ep", granted)):
        (tmp_path / "pod.yaml").write_text(POD.format(program=program))
        code = run(
            ["run", "pod.yaml", "--image", "oci:image", "--on", engine, "--runtime", "embedded", "-o", "json"]
        )
        report: dict[str, Any] = json.loads(capfd.readouterr().out)
        assert (code, report["started"], report["asPredicted"]) == (0, True, True), report
        effective = report["observed"]["capabilities"]["effective"]["names"]
        assert effective == (["NET_BIND_SERVICE"] if has else []), program
