# SPDX-License-Identifier: Apache-2.0
"""`caplet run --on`: each engine's container for real, as predicted; and what this machine is not."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, file
from tests.run.containers import NBS_EP

from caplet.cli.main import run
from caplet.errors import InvalidInput
from caplet.kernel.versions import Kernel
from caplet.programs.shipped import path
from caplet.run.engine import engine_shown, node_here, on_this_machine
from caplet.runtimes import crun
from caplet.runtimes.model import Version

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


@pytest.mark.parametrize(
    ("runtime", "said", "version"),
    [
        ("runc", "runc version 1.1.5+ds1\ncommit: 1.1.5\nspec: 1.0.2-dev", Version(1, 1, 5)),
        ("runc", "runc version 1.0.0-rc93\n", Version(1, 0, 0, 93)),
        ("crun", "crun version 1.14\ncommit: x", Version(1, 14)),
        ("crun", "what?", crun.NEWEST),
    ],
)
def test_the_oci_runtime_is_this_machines(runtime: str, said: str, version: Version, tmp_path: Path) -> None:
    """As it calls itself; one that says nothing is taken for the newest."""
    program = tmp_path / runtime
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    node = on_this_machine(node_here("crio"), runtime, str(program))
    assert (node.runtime.name, node.runtime_version) == (runtime, version)
    assert node.kernel == Kernel.parse(os.uname().release)
    assert engine_shown(node).startswith("CRI-O ")
    without = on_this_machine(node, runtime, str(tmp_path / "none"))
    assert without.runtime_version == node.runtime.releases[-1]


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
