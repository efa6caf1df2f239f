# SPDX-License-Identifier: Apache-2.0
"""caplet explain as it is typed: exit codes, images, several nodes, every form of output."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from tests.explain.memory import web
from tests.layouts import ELF, Layout, file

from caplet.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

STRICT = (
    "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Layout("plain").image([[file("app", ELF)]], config={"Entrypoint": ["/app"]})
    (tmp_path / "pod.yaml").write_text(web(STRICT), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("on", "verdict", "code"),
    [("containerd:1.7", "inert", 1), ("containerd:2.1", "not-needed", 0), ("podman", "effective", 0)],
)
def test_exit_codes(here: Path, capsys: pytest.CaptureFixture[str], on: str, verdict: str, code: int) -> None:
    assert run(["explain", "-f", "pod.yaml", "--image", "oci:plain", "--on", on, "-o", "json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in document["explanations"]] == [verdict]


@pytest.mark.parametrize("image", ["oci:nowhere", "web.example/app:1", "http=docker://nginx"])
def test_an_image_that_cannot_be_read_is_unknown(
    here: Path, capsys: pytest.CaptureFixture[str], image: str
) -> None:
    arguments = ["explain", "-f", "pod.yaml", "--image", image]
    assert run(arguments) == 4
    said = capsys.readouterr()
    assert "NET_BIND_SERVICE" in said.out  # what config.json has is certain
    assert said.err.startswith("caplet: ")
    assert run([*arguments, "--allow-unknown"]) == 0


def test_a_damaged_image_is_unknown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for blob in (here / "plain" / "blobs" / "sha256").iterdir():
        if blob.read_bytes()[:1] != b"{":
            blob.write_bytes(blob.read_bytes()[:-5])
    assert run(["explain", "-f", "pod.yaml", "--image", "oci:plain"]) == 4
    assert "verdict   unknown" in capsys.readouterr().out


def test_which_image_stands_for_which_container(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("", "http="):
        assert run(["explain", "-f", "pod.yaml", "--image", f"{name}oci:plain", "--on", "podman"]) == 0
    capsys.readouterr()
    assert run(["explain", "-f", "pod.yaml", "--image", "htpp=oci:plain"]) == 2
    assert "did you mean http?" in capsys.readouterr().err


def test_a_directory_with_images_beside_the_manifests(here: Path) -> None:
    assert run(["explain", "-f", ".", "--image", "oci:plain", "--on", "podman"]) == 0


def test_forms(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["explain", "-f", "pod.yaml", "--image", "oci:plain", "--on", "containerd:1.7,crio"]
    for form in ("table", "wide", "json", "yaml", "html"):
        assert run([*arguments, "-o", form]) == 1
        out = capsys.readouterr().out
        assert "CAP101" in out
        if form in ("json", "yaml"):
            assert len((json.loads if form == "json" else yaml.safe_load)(out)["explanations"]) == 2


@pytest.mark.parametrize(
    ("text", "code"),
    [("", 3), ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", 3), ("{", 2), ("a: b\n", 2)],
)
def test_inputs_without_a_pod(here: Path, text: str, code: int) -> None:
    (here / "other.yaml").write_text(text, encoding="utf-8")
    assert run(["explain", "-f", "other.yaml"]) == code
