# SPDX-License-Identifier: Apache-2.0
"""A cause's example as Explanations: its image is made in memory, each of its nodes explains it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.causes.elves import LOADER, dynamic, glibc_loader, library
from tests.explain.memory import ELF

from caplet.explain.container import explain
from caplet.explain.facts import ImageFacts
from caplet.image.config import ImageConfig
from caplet.image.rootfs import File, Rootfs
from caplet.kernel.filecaps import FileCaps
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caplet.causes.cause import Example
    from caplet.explain.explanation import Explanation
    from caplet.kubernetes.podspec import Container, PodSpec


def file(said: str) -> File:
    """What `Example.files` says."""
    if not said.startswith("elf"):
        return File(said.encode(), mode=0o755)
    words = said.split()[1:]
    content, runpath = ELF, ""
    if words[:1] == ["needs"]:
        name, words = words[1], words[2:]
        if words[:1] == ["along"]:
            runpath, words = words[1], words[2:]
        content = dynamic(name, runpath=runpath)
    if words == ["library"]:
        return File(library(), mode=0o644)
    if words == ["setuid"]:
        return File(content, mode=0o4755)
    return File(content, mode=0o755, caps=attribute(" ".join(words)))


def attribute(text: str) -> bytes | None:
    """`cap_net_raw=ep`, or `0x` and the raw bytes."""
    if text.startswith("0x"):
        return bytes.fromhex(text[2:])
    return FileCaps.parse(text).encode() if text else None


def image(files: Mapping[str, str], config: Mapping[str, object], history: Sequence[str] = ()) -> ImageFacts:
    every: dict[str | bytes, File | bytes] = {"/bin/sh": file("elf")}
    if any(said.startswith("elf needs") for said in files.values()):
        every[LOADER] = File(glibc_loader(), mode=0o755)
    for place, said in files.items():
        path, _, caps = place.partition(" ")
        made = file(said)
        every[path] = replace(made, caps=attribute(caps)) if caps else made
    raw: dict[str, Any] = {
        "os": "linux",
        "architecture": "amd64",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created_by": line, "empty_layer": True} for line in history],
    }
    return ImageFacts(ImageConfig(raw), Rootfs.of(every), "oci:image")


def the_container(text: str) -> tuple[PodSpec, Container]:
    pod = the_pod(documents(text, "pod.yaml"), "pod.yaml")
    return pod, pod.containers[0]


def explanations(example: Example) -> list[Explanation]:
    """One for each node that the example names."""
    pod, container = the_container(example.pod)
    facts = image(example.files, example.image, example.history)
    return [explain(pod, container, facts, node, example.then) for node in nodes(example.on)]
