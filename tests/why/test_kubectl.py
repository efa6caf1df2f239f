# SPDX-License-Identifier: Apache-2.0
"""kubectl as a program: its errors, endless answers and silence, each one clear line."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from caplet.errors import CapletError, InvalidInput
from caplet.why import kubectl
from caplet.why.kubectl import Kubectl, checked_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A kubectl that is a shell script."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def be(script: str) -> None:
        path = tmp_path / "kubectl"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return be


def test_arguments_are_get_and_logs_alone(pretend: Callable[[str], None], tmp_path: Path) -> None:
    pretend(f'echo "$@" >> {tmp_path}/asked; echo "{{}}"')
    one = Kubectl("shop", "east", "/k")
    one.get("pods", "web")
    one.logs("web", "--http", previous=True)
    own = "--request-timeout=15s --namespace=shop --context=east --kubeconfig=/k"
    assert (tmp_path / "asked").read_text().splitlines() == [
        f"get pods web --output=json {own}",
        f"logs web --container=--http --tail=200 --limit-bytes=4194304 --previous {own}",
    ]


def test_its_last_line_is_the_error(pretend: Callable[[str], None]) -> None:
    pretend("echo E1124 memcache.go: retrying >&2; echo 'error: you must be logged in' >&2; exit 1")
    with pytest.raises(CapletError) as raised:
        Kubectl().get("pods", "web")
    assert raised.value.message == "kubectl get pods: error: you must be logged in"


@pytest.mark.parametrize("script", ["exit 3", "kill -9 $$"])
def test_a_silent_failure_has_its_code(pretend: Callable[[str], None], script: str) -> None:
    pretend(script)
    with pytest.raises(CapletError, match=r"exit code -?\d"):
        Kubectl().get("pods", "web")


@pytest.mark.parametrize("answer", ["", "no JSON", "{", "[" * 100_000])
def test_an_answer_that_is_no_json(pretend: Callable[[str], None], tmp_path: Path, answer: str) -> None:
    (tmp_path / "answer").write_text(answer)
    pretend(f"cat {tmp_path}/answer")
    with pytest.raises(CapletError, match="gave no JSON"):
        Kubectl().get("pods", "web")


def test_it_does_not_wait_for_ever(pretend: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "TIMEOUT", 0.3)
    pretend("exec sleep 60")
    started = time.monotonic()
    with pytest.raises(CapletError, match="no answer within"):
        Kubectl().get("pods", "web")
    assert time.monotonic() - started < 10


def test_an_endless_answer_is_left(pretend: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubectl, "MAX_OUTPUT", 1 << 20)
    pretend("exec yes")
    with pytest.raises(CapletError, match="an answer of more than 1 MiB"):
        Kubectl().get("pods", "web")


@pytest.mark.parametrize("name", ["", "-n", "--all", "a/b", "Web", "a b", "a\n", "x" * 254, "web-", "wéb"])
def test_what_cannot_be_a_name(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_name(name)


@pytest.mark.parametrize(
    "name", ["web", "0", "web-6d4cf56db6-abcde", "ip-10-0-0-1.eu-west-1.compute.internal"]
)
def test_what_is_a_name(name: str) -> None:
    assert checked_name(name) == name
