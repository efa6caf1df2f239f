# SPDX-License-Identifier: Apache-2.0
"""A Pod's capability that execve takes away: the reason, and a remedy that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, NET_BIND_SERVICE, Layout, directory, file

from caplet.run.because import because
from caplet.run.pod import Plan, plan

if TYPE_CHECKING:
    from pathlib import Path

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: oci:web
    command: [%s]
    securityContext:
      runAsUser: %d
      allowPrivilegeEscalation: %s
      capabilities: {drop: [ALL], add: [%s]}
"""
CAPS = {"security.capability": NET_BIND_SERVICE}


@pytest.fixture(autouse=True)
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    script = file("start.sh", b"#!/bin/sh\nexec /app\n")
    tini = file("tini", ELF + b"tini")
    shell = file("bin/sh", ELF + b"sh")
    app, granted = file("app", ELF), file("granted", ELF + b"g", xattrs=CAPS)
    Layout("web").image([[directory("bin"), shell, script, tini, app, granted]])


def told(command: str, user: int = 101, escalation: str = "false", add: str = "NET_BIND_SERVICE") -> str:
    found = plan(POD % (command, user, escalation, add), "pod.yaml")
    assert isinstance(found, Plan)
    return "\n".join(because(found))


def test_a_program_without_capabilities() -> None:
    text = told("/app")
    assert "the file /app carries no capabilities: execve(2) takes NET_BIND_SERVICE" in text
    assert "caplet grant oci:web -o OUT /app=NET_BIND_SERVICE" in text


@pytest.mark.parametrize("command", ["/start.sh", "/tini, /app"])
def test_a_script_or_wrapper_under_no_new_privs_is_not_to_be_granted(command: str) -> None:
    text = told(command)
    assert "nothing that" in text
    assert "command: in the Pod" in text
    assert "caplet grant" not in text


def test_a_script_that_may_gain_has_its_program_granted() -> None:
    assert "grant it to the program that /bin/sh starts" in told("/start.sh", escalation="true")


@pytest.mark.parametrize(
    ("command", "user", "add"),
    [
        pytest.param("/granted", 101, "NET_BIND_SERVICE", id="granted"),
        pytest.param("/app", 0, "NET_BIND_SERVICE", id="root"),
        pytest.param("/app", 101, "CAP_NET_BIND_SERVICE", id="misspelt-so-never-there"),
    ],
)
def test_nothing_is_lost(command: str, user: int, add: str) -> None:
    assert not told(command, user, add=add)
