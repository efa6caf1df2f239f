# SPDX-License-Identifier: Apache-2.0
"""A Node object as a node of the model: its engine, release, Kubernetes, kernel, and the platform that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caplet.errors import InvalidInput
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.runtimes.node import Node

ENGINES = {"containerd": "containerd", "cri-o": "crio", "docker": "docker"}
"""The scheme of status.nodeInfo.containerRuntimeVersion, from each engine's CRI Version()."""

KUBELETS = {"+k3s": "k3s", "-gke.": "gke", "-eks-": "eks"}
"""What the kubelet's version has in it: k3s v1.30.4+k3s1, v1.30.3-gke.1639000, v1.31.2-eks-94953ac."""

LABELS = {
    "kubernetes.azure.com/cluster": "aks",
    "minikube.k8s.io/name": "minikube",
    "cloud.google.com/gke-provisioning": "gke",
}
"""Platforms that differ by their admission alone (OpenShift, Autopilot, Fargate) are left out: what exists was let in,
and has in its object what admission set."""


def node_of(node: dict[str, Any]) -> tuple[Node | None, str]:
    """The nearest that the model knows, and what is not as on the cluster."""
    for spelling in spellings(node):
        try:
            return nodes(spelling)[0], "" if spelling == next(spellings(node)) else _inexact(node, spelling)
        except InvalidInput:
            continue
    return None, _inexact(node, "")


def spellings(node: dict[str, Any]) -> Iterator[str]:
    """In the words of `--on`, the most exact first: `k3s+containerd:1.7.13+kubernetes:1.30+linux:6.1`."""
    info = _mapping(_mapping(node, "status"), "nodeInfo")
    engine, _, version = str(info.get("containerRuntimeVersion", "")).partition("://")
    name = ENGINES.get(engine)
    if name is None:
        return
    exact = f"{name}:{_numbers(version)}" if _numbers(version) else name
    kubernetes = _parts("kubernetes", str(info.get("kubeletVersion", "")).lstrip("v"), 2)
    if name == "docker":
        kubernetes = []  # dockershim is not modelled as the kubelet's engine
    linux = _parts("linux", str(info.get("kernelVersion", "")), 2)
    platform = _platform(node, info)
    first = [platform] if platform else []
    for parts in (
        [*first, exact, *kubernetes, *linux],
        [exact, *kubernetes, *linux],
        [exact, *kubernetes],
        [exact],
        [*first, *kubernetes],
        [name],
    ):
        yield "+".join(parts)


def _platform(node: dict[str, Any], info: dict[str, Any]) -> str:
    metadata = _mapping(node, "metadata")
    labels = _mapping(metadata, "labels")
    if str(_mapping(node, "spec").get("providerID", "")).startswith("kind://"):
        return "kind"
    by_label = next((platform for label, platform in LABELS.items() if label in labels), "")
    kubelet = str(info.get("kubeletVersion", ""))
    return by_label or next((platform for mark, platform in KUBELETS.items() if mark in kubelet), "")


def _inexact(node: dict[str, Any], spelling: str) -> str:
    engine = _mapping(_mapping(node, "status"), "nodeInfo").get("containerRuntimeVersion", "unknown")
    return f"the node's engine is {engine}; what is said is of {spelling or 'a usual one'}"


def _mapping(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _parts(name: str, version: str, count: int) -> list[str]:
    numbers = _numbers(version).split(".")[:count]
    return [f"{name}:{'.'.join(numbers)}"] if len(numbers) == count else []


def _numbers(text: str) -> str:
    """1.7.13 of `1.7.13-k3s1`."""
    kept = []
    for part in text.split("-", maxsplit=1)[0].split("+", maxsplit=1)[0].split("~", maxsplit=1)[0].split("."):
        if not (part.isascii() and part.isdecimal()):
            break
        kept.append(part)
    return ".".join(kept[:3])
