# SPDX-License-Identifier: Apache-2.0
"""nodeInfo as kubelets write it: the nearest node that the model knows, and what is not as on the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.why.cluster_objects import node

from caplet.why.nodeinfo import node_of

if TYPE_CHECKING:
    from caplet.runtimes.node import Node


def describe(one: Node | None) -> tuple[str | None, str, str, str]:
    assert one is not None
    kubernetes = "" if one.kubernetes is None else one.kubernetes.line
    return one.platform.name if one.platform else None, one.engine.name, str(one.engine_version), kubernetes


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        pytest.param(node(), (None, "containerd", "1.7.13", "1.30"), id="kubeadm"),
        pytest.param(
            node("containerd://1.7.20-k3s1", "v1.30.4+k3s1"),
            ("k3s", "containerd", "1.7.20", "1.30"),
            id="k3s",
        ),
        pytest.param(
            node("containerd://1.7.19", "v1.30.3-gke.1639000", "6.1.90+"),
            ("gke", "containerd", "1.7.19", "1.30"),
            id="GKE",
        ),
        pytest.param(
            node("containerd://1.7.23", "v1.31.2-eks-94953ac", "5.10.228-219.884.amzn2.x86_64"),
            ("eks", "containerd", "1.7.23", "1.31"),
            id="EKS",
        ),
        pytest.param(
            node(metadata={"labels": {"kubernetes.azure.com/cluster": "MC_x"}}),
            ("aks", "containerd", "1.7.13", "1.30"),
            id="AKS",
        ),
        pytest.param(
            node(providerID="kind://docker/kind/kind-control-plane"),
            ("kind", "containerd", "1.7.13", "1.30"),
            id="kind",
        ),
        pytest.param(
            node(
                "cri-o://1.29.8-3.rhaos4.16.git2aba0a2.el9",
                "v1.29.8+f10c92d",
                "5.14.0-427.37.1.el9_4.x86_64",
                metadata={"labels": {"node.openshift.io/os_id": "rhcos"}},
            ),
            (None, "crio", "1.29.8", "1.29"),
            id="OpenShift: what exists was let in",
        ),
    ],
)
def test_a_node_is_recognized(info: dict[str, Any], expected: tuple[str | None, str, str, str]) -> None:
    found, inexact = node_of(info)
    assert describe(found) == expected
    assert inexact == ""


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        pytest.param("containerd://99.1.0", "containerd", id="a release of tomorrow"),
        pytest.param("cri-o://1.99.0", "crio", id="CRI-O of tomorrow"),
        pytest.param("containerd://v.next", "containerd", id="no version"),
    ],
)
def test_an_unknown_release_is_told(engine: str, expected: str) -> None:
    found, inexact = node_of(node(engine, "v1.99.0", "99.1.0"))
    assert found is not None
    assert found.engine.name == expected
    assert inexact.startswith(f"the node's engine is {engine}") or engine == "containerd://v.next"


@pytest.mark.parametrize(
    "info",
    [
        node("remote://1.0"),
        {},
        {"status": {"nodeInfo": []}},
        {"status": None, "metadata": [], "spec": 7},
        node("", "", ""),
    ],
)
def test_an_unknown_engine_is_told(info: dict[str, Any]) -> None:
    found, inexact = node_of(info)
    assert found is None
    assert "what is said is of a usual one" in inexact
