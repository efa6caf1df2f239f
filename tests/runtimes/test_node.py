# SPDX-License-Identifier: Apache-2.0
"""What `--on` means, and what it says of what it does not know."""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput
from caplet.kernel.versions import Kernel
from caplet.runtimes.model import Version
from caplet.runtimes.node import ENGINES, RUNTIMES, nodes, parse


@pytest.mark.parametrize(
    ("text", "name", "shown"),
    [
        ("containerd:1.7", "containerd:1.7", "containerd 1.7.34 / runc 1.3.6"),
        ("containerd:v1.6.20", "containerd:1.6.20", "containerd 1.6.20 / runc 1.1.5"),
        ("containerd:1", "containerd:1", "containerd 1.7.34 / runc 1.3.6"),
        ("containerd:2.1+crun:1.14", "containerd:2.1+crun:1.14", "containerd 2.1.9 / crun 1.14.4"),
        ("CRI-O:1.30", "crio:1.30", "CRI-O 1.30.14 / runc 1.1.12"),
        ("crio:1.36", "crio:1.36", "CRI-O 1.36.3 / crun 1.27.1"),
        ("docker:28", "docker:28", "Docker 28.5.2 / runc 1.3.3"),
        ("docker:20.10.24", "docker:20.10.24", "Docker 20.10.24 / runc 1.1.4"),
        ("podman:5", "podman:5", "Podman 5.8.2 / crun 1.26"),
        ("podman:4.3+runc:1.0.0-rc93", "podman:4.3+runc:1.0.0-rc93", "Podman 4.3.1 / runc 1.0.0-rc93"),
    ],
)
def test_one(text: str, name: str, shown: str) -> None:
    node = parse(text)
    assert (node.name, str(node)) == (name, shown)


def test_what_is_asked_for_is_not_assumed() -> None:
    node = parse("containerd:2.1.9+runc:1.1+kubernetes:1.30+linux:5.15")
    assert node.assumed == ("runc 1.1.15, the newest 1.1 that is known",)
    assert (node.kubernetes, node.kernel) == (Version(1, 30), Kernel(5, 15))


def test_what_is_assumed_is_said() -> None:
    assert parse("containerd:1.7").assumed == (
        "containerd 1.7.34, the newest 1.7 that is known",
        "runc 1.3.6, as containerd 1.7.34 usually has",
        "Kubernetes 1.35, the newest for containerd 1.7.34",
        "Linux 6.18",
    )


def test_no_kubelet_stands_before_docker_and_podman() -> None:
    assert [parse(name).kubernetes for name in ("docker", "podman")] == [None, None]


def test_several_and_all() -> None:
    assert [node.name for node in nodes("containerd:2.1, crio,docker,crio")] == [
        "containerd:2.1",
        "crio",
        "docker",
    ]
    assert [node.name for node in nodes("all")] == list(ENGINES)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "--on names no engine", "known: containerd:1.4 to 2.4"),
        (",", "--on names no engine", "known: "),
        ("contanerd", "unknown engine 'contanerd'; did you mean containerd?", "crio:1.17 to 1.36"),
        ("containerd:2.9", "unknown version containerd 2.9", "the nearest that is known: containerd:2.4"),
        ("containerd:1.2.3", "unknown version containerd 1.2.3", "containerd:1.4"),
        ("containerd:", "--on containerd:: no version behind the colon", "leave the colon out"),
        ("containerd:x", "not a version: 'x'", "2.1"),
        ("docker:22", "unknown version docker 22", "docker:23.0"),
        ("crio+cron", "crio with 'cron': nothing of that name goes behind a +; did you mean crun?", "+runc"),
        ("docker+kubernetes:1.30", "docker with 'kubernetes'", "+linux"),
        ("containerd+kubernetes:2.0", "unknown version kubernetes 2.0", "kubernetes:1."),
    ],
)  # fmt: skip
def test_what_is_not_known(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        nodes(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_every_engine_names_a_runtime_and_a_kubernetes_that_are_known() -> None:
    for engine in ENGINES.values():
        assert list(engine.releases) == sorted(engine.releases)
        for release in engine.releases:
            node = parse(f"{engine.name}:{release}")
            assert node.runtime.name in RUNTIMES
            assert node.engine_version == release
