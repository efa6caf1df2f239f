# SPDX-License-Identifier: Apache-2.0
"""Files, directories, standard input and kustomize: what is read, in which order, and what is said of what is not."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput, ManyInvalid, Unavailable
from caplet.kubernetes import kustomize as kustomize_module
from caplet.kubernetes.pod import pods, read
from caplet.kubernetes.source import manifests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POD = "apiVersion: v1\nkind: Pod\nmetadata: {{name: {0}}}\nspec: {{containers: [{{name: {0}}}]}}\n"


def names(*paths: str, kustomize: str | None = None) -> list[str]:
    return [pod.name for pod in pods(manifests(paths, kustomize))]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("a.yaml", "b/deep/c.yml", "b/z.json", "d.yaml"):
        (tmp_path / name).write_text(POD.format(name.replace("/", "-").partition(".")[0]))
    (tmp_path / "README.md").write_text("# no manifest")
    (tmp_path / "c.tpl").write_text("{{ no manifest }}")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.yaml").symlink_to(tmp_path / "a.yaml")
    return tmp_path


def test_a_directory_to_its_bottom_in_order(tree: Path) -> None:
    assert names(str(tree)) == ["a", "b-deep-c", "b-z", "d", "a"]


def test_what_is_named_is_read_whatever_its_name_is(tree: Path) -> None:
    (tree / "x.txt").write_text(POD.format("x"))
    assert names(str(tree / "x.txt"), str(tree / "a.yaml")) == ["x", "a"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    helm = (
        "---\n# Source: chart/templates/a.yaml\n"
        + POD.format("a")
        + "---\n# Source: chart/templates/none.yaml\n"
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(helm.encode())))
    assert names("-") == ["a"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"kind: Pod\nspec: 3\n")))
    with pytest.raises(InvalidInput, match=r"^stdin:2: spec: must be an object"):
        names("-")


def test_a_pipe_that_is_named(tmp_path: Path) -> None:
    """Process substitution: -f <(helm template .)"""
    reading, writing = os.pipe()
    os.write(writing, POD.format("a").encode())
    os.close(writing)
    try:
        assert names(f"/dev/fd/{reading}") == ["a"]
    finally:
        os.close(reading)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("a: {{ .Values.a }}\n", "x.yaml:1: ", "helm template"),
        ("{{- if .Values.a }}\nkind: Pod\n{{- end }}\n", "x.yaml:1: ", "helm template"),
        ("NAME: x\nSTATUS: pending-install\nMANIFEST:\n---\n", "x.yaml:1: the object has no kind", "helm template"),
        ("kind: Pod\n\tspec: 1\n", "x.yaml:2: ", "tabs"),
        ("kind: Pod\nspec: {containers: [{name: a, x: 1}]}\n", 'unknown field "spec.containers[0].x"', ""),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, message: str, hint: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(InvalidInput) as caught:
        names(str(tmp_path))
    assert message in caught.value.message
    assert caught.value.message.startswith(str(tmp_path))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("nothing.yaml", "nothing.yaml: No such file or directory", ""),
        (
            "https://example.com/pod.yaml",
            "https://example.com/pod.yaml: No such file",
            "curl -L https://example",
        ),
        ("oci:layout", "oci:layout: No such file or directory", "--image NAME=oci:layout"),
    ],
)
def test_what_is_not_there(path: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        names(path)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no manifest in this directory"):
        names(str(tmp_path))


def test_forty_broken_files_give_forty_messages(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"bad{number:02}.yaml").write_text("a: [\n")
    (tmp_path / "good.yaml").write_text(POD.format("good"))
    (tmp_path / "bad40.yaml").write_text("kind: Pod\nspec: 1\n")
    reading = read(manifests([str(tmp_path)]))
    assert [pod.name for pod in reading.pods] == ["good"]
    assert len(reading.problems) == 41
    with pytest.raises(ManyInvalid) as caught:
        names(str(tmp_path))
    assert len(caught.value.problems) == 41


def test_memory_is_flat(tmp_path: Path) -> None:
    """Ten thousand documents in one file, one at a time."""
    path = tmp_path / "many.yaml"
    document = POD.format("a") + "# " + "x" * 1500 + "\n---\n"
    path.write_text(document * 10_000)
    program = """
import resource, sys
from caplet.kubernetes.source import manifests
from caplet.kubernetes.pod import pods
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(sum(len(pods([document])) for document in manifests(sys.argv[1:])))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=True
    ).stdout.split()
    assert done[0] == "10000"
    assert int(done[1]) < 20_000


def fake(directory: Path, name: str, script: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing in it but what the test puts there, and the shell's own."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "bin"


def test_kustomize_needs_a_program(path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        names(kustomize=str(path))
    assert "neither is here" in caught.value.message
    assert "kustomize build" in caught.value.hint


@pytest.mark.parametrize(("program", "arguments"), [("kubectl", "kustomize DIR"), ("kustomize", "build DIR")])
def test_either_program_will_do(path: Path, program: str, arguments: str) -> None:
    expected = arguments.replace("DIR", str(path))
    fake(path, program, f'[ "$*" = "{expected}" ] || exit 3\nprintf "%s" "{POD.format("k")}"')
    assert names(kustomize=str(path)) == ["k"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'error: accumulating resources' >&2; exit 1",
            "kubectl kustomize: error: accumulating resources",
        ),
        ("exit 1", "failed without a word"),
        ("echo 'kind: [' ; exit 0", r"\(kubectl kustomize\):2: "),
    ],
)
def test_what_kustomize_says_is_told(path: Path, script: str, message: str) -> None:
    fake(path, "kubectl", script)
    with pytest.raises(InvalidInput, match=message):
        names(kustomize=str(path))


def test_a_kustomize_that_hangs_is_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kustomize_module, "SECONDS", 0.3)
    fake(path, "kustomize", "/bin/sleep 60 & /bin/sleep 60")
    began = time.monotonic()
    with pytest.raises(InvalidInput, match=r"took more than 0\.3 seconds"):
        names(kustomize=str(path))
    assert time.monotonic() - began < 10


def test_a_kustomize_that_never_ends_is_bounded(path: Path) -> None:
    fake(
        path,
        "kustomize",
        "while :; do echo 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; done",
    )
    with pytest.raises(InvalidInput, match="a document of more than 8 MiB"):
        names(kustomize=str(path))


def test_a_directory_must_be_one() -> None:
    with pytest.raises(InvalidInput, match="not a directory"):
        names(kustomize="/dev/null")


def test_with_kubectl_itself(tool: Callable[[str], str], tmp_path: Path) -> None:
    tool("kubectl")
    (tmp_path / "pod.yaml").write_text(POD.format("real"))
    (tmp_path / "kustomization.yaml").write_text("resources: [pod.yaml]\nnamePrefix: my-\n")
    assert names(kustomize=str(tmp_path)) == ["my-real"]
