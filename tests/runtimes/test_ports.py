# SPDX-License-Identifier: Apache-2.0
"""Where unprivileged ports start, and who says so. The engines' answers were measured: containerd 1.6, 1.7, 2.1, CRI-O, Docker, Podman."""

from __future__ import annotations

import pytest
from tests.runtimes.manifests import pod

from caplet.image.config import ImageConfig
from caplet.image.passwd import User
from caplet.runtimes.model import SecurityContext, Spec
from caplet.runtimes.node import parse
from caplet.runtimes.ports import port_start

SETS_80 = "{sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '80'}]}"
IMAGE = ImageConfig({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/app"]}, "rootfs": {"type": "layers", "diff_ids": []}})  # fmt: skip


@pytest.mark.parametrize(
    ("on", "whole", "spec", "start", "why"),
    [
        ("containerd:1.6", "{}", "", 1024, "containerd 1.6.39 sets no net.ipv4.ip_unprivileged_port_start, and a new network namespace starts at 1024"),
        ("containerd:1.7", "{}", "", 1024, "containerd 1.7.34 sets no"),
        ("containerd:2.1", "{}", "", 0, "containerd 2.1.9 sets net.ipv4.ip_unprivileged_port_start=0"),
        ("containerd:2.1", SETS_80, "", 80, "the Pod sets net.ipv4.ip_unprivileged_port_start=80"),
        ("containerd:2.1", "{}", "hostNetwork: true", None, "hostNetwork: the node's own"),
        ("crio", "{}", "", 1024, "CRI-O 1.36.3 sets no"),
        ("crio", SETS_80, "", 80, "the Pod sets"),
        ("docker:20.10", "{}", "", 0, "Docker 20.10.27 sets"),
        ("docker:19.03", "{}", "", 1024, "Docker 19.03.15 sets no"),
        ("docker", "{}", "hostNetwork: true", None, "hostNetwork"),
        ("podman", "{}", "", 1024, "Podman 5.8.2 sets no"),
        ("k3s:1.30.0", "{}", "", 0, "k3s has containerd set"),
        ("openshift", "{}", "", 1024, "CRI-O 1.36.3 sets no"),
        ("minikube", "{}", "", 0, "Docker 28.5.2 sets"),
        ("containerd:2.1", SETS_80.replace("80", "x"), "", None, "the Pod sets net.ipv4.ip_unprivileged_port_start=x"),
        ("containerd:2.1", SETS_80.replace("80", "65536"), "", None, "the Pod sets"),
    ],
)  # fmt: skip
def test_where_they_start(on: str, whole: str, spec: str, start: int | None, why: str) -> None:
    node, one = parse(on), pod(whole=whole, spec=spec)
    request = SecurityContext()
    made = node.spec(one, one.containers[0], request, IMAGE, User(7, 7, (7,)))
    assert isinstance(made, Spec)
    found, said = port_start(node, one, made)
    assert found == start
    assert why in said
    if node.row is not None and start is not None:
        assert made.sysctl.get("net.ipv4.ip_unprivileged_port_start", "1024") == str(start)


def test_icmp_needs_no_privilege_but_in_a_user_namespace() -> None:
    node, one = parse("containerd:2.1"), pod(spec="hostUsers: false")
    for user_ns, expected in ((False, "0 2147483647"), (True, None)):
        made = node.spec(one, one.containers[0], SecurityContext(user_ns=user_ns), IMAGE, User(7, 7, (7,)))
        assert isinstance(made, Spec)
        assert made.sysctl.get("net.ipv4.ping_group_range") == expected
