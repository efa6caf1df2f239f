# SPDX-License-Identifier: Apache-2.0
"""`hostUsers: false`: dropped, refused, or given, by the releases of Kubernetes, engine and OCI runtime."""

from __future__ import annotations

import pytest
from tests.runtimes.manifests import pod
from tests.runtimes.test_ports import IMAGE

from caplet.image.passwd import User
from caplet.kernel.namespaces import IdMap
from caplet.runtimes.kubelet import NO_USER_NAMESPACES
from caplet.runtimes.model import Refused, SecurityContext, Spec
from caplet.runtimes.node import parse


@pytest.mark.parametrize(
    ("on", "asked"),
    [
        ("containerd:2.1", True),
        ("containerd:2.1+kubernetes:1.32", False),
        ("containerd:1.7+kubernetes:1.29", False),
        ("containerd:1.7+kubernetes:1.33", None),
        ("containerd:1.6+kubernetes:1.33", None),
        ("containerd:2.0+runc:1.1", None),
        ("containerd:2.0+crun:1.8", None),
        ("containerd:2.0+crun:1.9", True),
        ("containerd:2.0+runsc", None),
        ("crio:1.33", True),
        ("crio:1.29+kubernetes:1.33", None),
        ("docker", False),
    ],
)
def test_who_asks_for_one(on: str, asked: bool | None) -> None:
    node, one = parse(on), pod(spec="hostUsers: false")
    request = node.request(one, one.containers[0], "7")
    if asked is None:
        assert request == Refused("kubelet", NO_USER_NAMESPACES)
    else:
        assert isinstance(request, SecurityContext)
        assert request.user_ns is asked


@pytest.mark.parametrize(
    ("on", "rootfs"),
    [("containerd:1.6", None), ("containerd:1.7", "chowned"), ("containerd:2.1", "idmapped"), ("crio", "idmapped"), ("docker", None)],
)  # fmt: skip
def test_what_the_engine_makes_of_the_request(on: str, rootfs: str | None) -> None:
    """Measured: 1.6.20 ignores it, 1.7.24 chowns a copy, 2.1.9 and CRI-O 1.37 mount with other ids."""
    node, one = parse(on), pod()
    made = node.spec(one, one.containers[0], SecurityContext(user_ns=True), IMAGE, User(7, 7, (7,)))
    assert isinstance(made, Spec)
    if rootfs is None:
        assert made.user_ns is None
    else:
        assert made.user_ns is not None
        assert (made.user_ns.rootfs, made.user_ns.ids) == (rootfs, IdMap.of((0, 65536, 65536)))
