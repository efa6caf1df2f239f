# SPDX-License-Identifier: Apache-2.0
"""A Pod's capability that execve takes away: the reason, and a remedy that works."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, NET_BIND_SERVICE, Layout, directory, file

from caplet.kernel.caps import Caps
from caplet.kernel.credentials import ThreadCaps
from caplet.run.available import own_credentials
from caplet.run.because import because, remedies, sentences
from caplet.run.engine import node_here, on_this_machine
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


def told(
    command: str,
    user: int = 101,
    escalation: str = "false",
    add: str = "NET_BIND_SERVICE",
    on: str = "containerd:1.7",
) -> str:
    return "\n".join(because(planned(POD % (command, user, escalation, add), on)))


def planned(text: str, on: str = "containerd:1.7") -> Plan:
    found = plan(text, "my pod.yaml", container="web", node=on_this_machine(node_here(on), "embedded", ""))
    assert isinstance(found, Plan)
    return found


def test_a_program_without_capabilities() -> None:
    text = told("/app")
    assert text.startswith("because NET_BIND_SERVICE: uid 101 is not root and /app carries no capabilities")
    assert "(CAP101 added-cap-inert)\nto mend it: " in text
    assert "caplet grant oci:web -o oci:OUT /app=NET_BIND_SERVICE" in text


@pytest.mark.parametrize("command", ["/start.sh", "/tini, /app"])
def test_what_a_script_or_wrapper_starts_is_mended_as_a_whole(command: str) -> None:
    """The remedy was tried on the model; one that no_new_privs would defeat is not named."""
    text = told(command)
    assert text.startswith("because ")
    assert "start /app itself" in text
    assert "/start.sh=" not in text
    assert "/tini=" not in text


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("CAP_NET_BIND_SERVICE", "write NET_BIND_SERVICE"),
        ("NET_BIND", "no such capability; did you mean NET_BIND_SERVICE?"),
    ],
)
def test_names_that_do_nothing_are_pointed_out(name: str, right: str) -> None:
    text = told("/app", add=name)
    assert "because containerd and runc ignore" in text
    assert right in text


def test_a_capability_that_is_not_needed_there() -> None:
    text = told("/app", on="containerd:2.1")
    assert "CAP133 needless-added-cap" in text
    assert "to mend it: leave NET_BIND_SERVICE out" in text


def test_a_program_that_does_not_start() -> None:
    text = told("/granted", add="")
    assert "CAP102 exec-eperm-bounding" in text
    assert "to mend it: " in text


@pytest.mark.parametrize(
    ("command", "user", "add"),
    [
        pytest.param("/granted", 101, "NET_BIND_SERVICE", id="granted"),
        pytest.param("/app", 0, "NET_BIND_SERVICE", id="root"),
    ],
)
def test_nothing_is_lost(command: str, user: int, add: str) -> None:
    assert not told(command, user, add=add)


def test_what_only_this_machine_lacks_has_no_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The note says it; on the node it would be there."""
    own = replace(own_credentials(), caps=ThreadCaps.root(Caps.parse("NET_BIND_SERVICE")))
    monkeypatch.setattr("caplet.run.pod.own_credentials", lambda: own)
    found = plan(POD % ("/app", 0, "false", "NET_ADMIN"), "pod.yaml")
    assert isinstance(found, Plan)
    assert found.missing == Caps.parse("NET_ADMIN")
    assert not list(because(found))
    assert found.notes == (
        "the node would give NET_ADMIN; this machine cannot: its own bounding set lacks it",
    )


def test_that_there_are_more_remedies_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = planned(POD % ("/app", 101, "false", "NET_BIND_SERVICE"))
    every = len(remedies(found))
    monkeypatch.setattr("caplet.run.because.FEW", every - 1)
    assert list(because(found))[-1] == "1 more: caplet explain -f 'my pod.yaml' --on containerd:1.7"
    monkeypatch.setattr("caplet.run.because.FEW", every)
    assert "more: " not in "\n".join(because(found))


def test_the_command_that_shows_more_names_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caplet.run.because.FEW", 0)
    found = planned(POD % ("/app", 101, "false", "NET_BIND_SERVICE") + "  - {name: other, image: x}\n")
    assert list(because(found))[-1].endswith(" --container web --on containerd:1.7")


def test_sentences_have_no_remedies() -> None:
    found = planned(POD % ("/app", 101, "false", "NET_BIND_SERVICE"))
    (sentence,) = sentences(found)
    assert sentence.startswith("because NET_BIND_SERVICE: ")
    assert not remedies(planned(POD % ("/granted", 101, "false", "NET_BIND_SERVICE")))
