# SPDX-License-Identifier: Apache-2.0
"""Platforms: what they run, what their admission changes, and what it refuses in words that people have seen."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.runtimes.manifests import pod

from caplet.errors import InvalidInput
from caplet.runtimes import scc, warden
from caplet.runtimes.admission import Admitted
from caplet.runtimes.model import Refused, SecurityContext
from caplet.runtimes.node import ENGINES, RUNTIMES, nodes, parse
from caplet.runtimes.platforms import PLATFORMS, forbid


@pytest.mark.parametrize(
    ("text", "shown", "kubernetes"),
    [
        ("k3s:1.36", "containerd 2.3.2 / runc 1.4.2", "1.36.2"),
        ("k3s:1.36.1", "containerd 2.2.3 / runc 1.4.2", "1.36.1"),
        ("k3s:v1.30.0", "containerd 1.7.15 / runc 1.1.12", "1.30"),
        ("kind:0.26", "containerd 1.7.24 / runc 1.2.3", "1.32"),
        ("kind", "containerd 2.3.1 / runc 1.4.2", "1.36.1"),
        ("minikube:1.35", "Docker 27.4 / runc 1.2.3", "1.32"),
        ("gke:1.32", "containerd 1.7.34 / runc 1.3.6", "1.32"),
        ("GKE-Autopilot:1.33", "containerd 2.0.10 / runc 1.3.6", "1.33"),
        ("eks:1.29", "containerd 1.7.34 / runc 1.3.6", "1.29"),
        ("aks:1.35", "containerd 2.0.10 / runc 1.3.6", "1.35"),
        ("openshift:4.16", "CRI-O 1.29.13 / runc 1.1.9", "1.29"),
        ("openshift:4.18", "CRI-O 1.31.13 / crun 1.16.1", "1.31"),
        ("openshift:nonroot-v2:4.18", "CRI-O 1.31.13 / crun 1.16.1", "1.31"),
        ("openshift:restricted-v2", "CRI-O 1.36.3 / crun 1.27.1", "1.36"),
        ("gke:1.35+containerd:2.1", "containerd 2.1.9 / runc 1.3.6", "1.35"),
        ("eks-fargate:1.30+containerd:1.7", "containerd 1.7.34 / runc 1.3.6", "1.30"),
        ("eks-fargate+containerd:1.7", "containerd 1.7.34 / runc 1.3.6", "1.35"),
        ("gke:1.33+runsc", "containerd 2.0.10 / runsc 20260817.0", "1.33"),
    ],
)
def test_what_runs_there(text: str, shown: str, kubernetes: str) -> None:
    node = parse(text)
    assert str(node) == shown
    assert str(node.kubernetes) == kubernetes


def test_every_row_is_of_known_engines_and_has_a_source() -> None:
    for platform in PLATFORMS.values():
        assert platform.source
        assert list(platform.rows) == sorted(platform.rows, key=lambda row: row.release)
        for row in platform.rows:
            assert row.source
            engine, version = row.engine
            assert any(one.line == version.line for one in ENGINES[engine].releases)
            assert row.runtime is None or row.runtime[0] in RUNTIMES
            node = parse(f"{platform.name}:{row.release.line}.{row.release.patch}")
            assert (node.engine_version, node.kubernetes) == (version, row.kubernetes)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("gke:1.36", "what runs on GKE 1.36 is not known; the nearest that is: gke:1.33", "gke:1.36+containerd:2.1; kubectl get nodes -o wide"),
        ("openshift:3.11", "what runs on OpenShift (restricted-v2) 3.11 is not known", "oc get node -o wide"),
        ("eks-fargate:1.30", "what runs on EKS Fargate is not published", "eks-fargate:1.30+containerd:1.7; kubectl get nodes -o wide"),
        ("gke-autopilt", "unknown engine 'gke-autopilt'; did you mean gke-autopilot?", "eks-fargate"),
        ("gke:x", "not a version: 'x'", ""),
        ("kind+cron", "kind with 'cron'", "+containerd"),
        ("runsc:2010", "unknown engine 'runsc'", ""),
        ("containerd+runsc:2010", "unknown version runsc 2010", "dates"),
    ],
)  # fmt: skip
def test_what_is_not_known(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        nodes(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


AUTOPILOT_LIST = "AUDIT_WRITE,CHOWN,DAC_OVERRIDE,FOWNER,FSETID,KILL,MKNOD,NET_BIND_SERVICE,NET_RAW,SETFCAP,SETGID,SETPCAP,SETUID,SYS_CHROOT,SYS_PTRACE"


@pytest.mark.parametrize(
    ("own", "spec", "violations"),
    [
        (
            "{capabilities: {add: [SYS_ADMIN, CHOWN, NET_ADMIN]}}",
            "",
            {"default-linux-capabilities": f"linux capability 'SYS_ADMIN,NET_ADMIN' on container 'http' not allowed; Autopilot only allows the capabilities: '{AUTOPILOT_LIST}'."},
        ),
        (
            "{capabilities: {add: [CAP_CHOWN]}}",
            "",
            {"default-linux-capabilities": f"linux capability 'CAP_CHOWN' on container 'http' not allowed; Autopilot only allows the capabilities: '{AUTOPILOT_LIST}'."},
        ),
        ("{privileged: true}", "", {"disallow-privilege": "container http is privileged; not allowed in Autopilot"}),
        ("{}", "hostPID: true", {"disallow-hostnamespaces": "enabling hostPID is not allowed in Autopilot."}),
    ],
)  # fmt: skip
def test_autopilot_refuses(own: str, spec: str, violations: dict[str, str]) -> None:
    """The words of CrowdStrike/falcon-helm#310 and SumoLogic/sumologic-kubernetes-collection#3437."""
    one = pod(own, spec=spec)
    refused = warden.admit(one, one.containers[0])
    assert isinstance(refused, Refused)
    head, _, details = refused.message.partition("\nViolations details: ")
    assert head.startswith(
        'admission webhook "warden-validating.common-webhooks.networking.gke.io" denied the request: '
    )
    assert json.loads(details) == {f"[denied by autogke-{name}]": [text] for name, text in violations.items()}


@pytest.mark.parametrize("name", warden.ALLOWED)
def test_autopilot_lets_pass(name: str) -> None:
    node, one = parse("gke-autopilot"), pod(f"{{capabilities: {{add: [{name}]}}}}")
    assert forbid(node, one, one.containers[0]) is None


@pytest.mark.parametrize(
    ("own", "spec", "message"),
    [
        ("{privileged: true}", "", "Pod not supported on Fargate: invalid SecurityContext fields: Privileged"),
        ("{capabilities: {add: [CAP_CHOWN]}}", "", "Pod not supported on Fargate: invalid SecurityContext fields: Capabilities added: CAP_CHOWN"),
        ("{capabilities: {add: [SYS_PTRACE, NET_BIND_SERVICE]}}", "", "Pod not supported on Fargate: invalid SecurityContext fields: Capabilities added: SYS_PTRACE"),
        ("{allowPrivilegeEscalation: true}", "", "Pod not supported on Fargate: invalid SecurityContext fields: AllowPrivilegeEscalation"),
        ("{privileged: true}", "hostNetwork: true", "Pod not supported on Fargate: fields not supported: HostNetwork, invalid SecurityContext fields: Privileged"),
    ],
)  # fmt: skip
def test_fargate_refuses(own: str, spec: str, message: str) -> None:
    """The words of kubernetes-sigs/aws-efs-csi-driver#589 and #1329, frappe/helm#182, kubernetes/ingress-nginx#4888."""
    node, one = parse("eks-fargate+containerd:1.7"), pod(own, spec=spec)
    assert forbid(node, one, one.containers[0]) == Refused("EKS Fargate", message)


def test_autopilot_applies_the_default_seccomp_profile() -> None:
    node, one = parse("gke-autopilot"), pod("{capabilities: {drop: [ALL]}}")
    admitted = node.admit(one, one.containers[0])
    assert isinstance(admitted, Admitted)
    assert admitted.changes == ("Autopilot applies the default seccomp profile",)
    request = node.request(one, one.containers[0], "7")
    assert isinstance(request, SecurityContext)
    assert request.seccomp == "RuntimeDefault"


def test_fargate_lets_the_default_capabilities_pass() -> None:
    node = parse("eks-fargate+containerd:1.7")
    one = pod("{capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}, allowPrivilegeEscalation: false}")
    assert node.admit(one, one.containers[0]) == Admitted(one.containers[0])


def test_restricted_v2_sets_what_nobody_has_set() -> None:
    node, one = parse("openshift"), pod()
    admitted = node.admit(one, one.containers[0])
    assert isinstance(admitted, Admitted)
    own = admitted.container.security_context
    assert (own.run_as_user, own.run_as_non_root, own.drop) == (scc.EXAMPLE_RANGE[0], True, ("ALL",))
    assert own.allow_privilege_escalation is False
    assert own.seccomp_profile is not None
    assert own.seccomp_profile.type == "RuntimeDefault"
    request = node.request(one, one.containers[0], "root")
    assert isinstance(request, SecurityContext)
    assert (request.run_as_user, request.no_new_privs, request.drop_capabilities) == (
        1000660000,
        True,
        ("ALL",),
    )
    assert request.seccomp == "RuntimeDefault"
    assert admitted.changes == (
        "restricted-v2 sets runAsUser 1000660000, for example: the first uid of the namespace's range",
        "restricted-v2 sets runAsNonRoot true",
        "restricted-v2 sets capabilities.drop [ALL]",
        "restricted-v2 sets allowPrivilegeEscalation false",
        "restricted-v2 sets seccompProfile RuntimeDefault",
    )


def test_nonroot_v2_leaves_the_user_to_the_image() -> None:
    node, one = parse("openshift:nonroot-v2"), pod("{capabilities: {add: [NET_BIND_SERVICE], drop: [ALL]}}")
    request = node.request(one, one.containers[0], "1001")
    assert isinstance(request, SecurityContext)
    assert (request.run_as_user, request.add_capabilities) == (1001, ("NET_BIND_SERVICE",))
    refused = node.request(one, one.containers[0], "")
    assert isinstance(refused, Refused)
    assert refused.by == "kubelet"
    assert "image will run as root" in refused.message


@pytest.mark.parametrize(
    ("name", "own", "spec", "reasons"),
    [
        ("openshift", "{capabilities: {add: [NET_RAW]}}", "", '.containers[0].capabilities.add: Invalid value: "NET_RAW": capability may not be added'),
        ("openshift", "{capabilities: {add: [net_bind_service]}}", "", '.containers[0].capabilities.add: Invalid value: "net_bind_service": capability may not be added'),
        ("openshift", "{runAsUser: 65535}", "", ".containers[0].runAsUser: Invalid value: 65535: must be in the ranges: [1000660000, 1000669999]"),
        ("openshift", "{allowPrivilegeEscalation: true}", "", ".containers[0].allowPrivilegeEscalation: Invalid value: true: Allowing privilege escalation for containers is not allowed"),
        ("openshift", "{privileged: true, allowPrivilegeEscalation: true}", "", ".containers[0].privileged: Invalid value: true: Privileged containers are not allowed"),
        ("openshift", "{}", "hostNetwork: true", ".spec.securityContext.hostNetwork: Invalid value: true: Host network is not allowed to be used"),
        ("openshift:nonroot-v2", "{runAsUser: 0}", "", ".containers[0].runAsUser: Invalid value: 0: running with the root UID is forbidden"),
        ("openshift:nonroot-v2", "{runAsNonRoot: false}", "", ".containers[0].runAsNonRoot: Invalid value: false: must be true"),
    ],
)  # fmt: skip
def test_constraints_refuse(name: str, own: str, spec: str, reasons: str) -> None:
    """The words of WASdev/websphere-liberty-operator#692."""
    node, one = parse(name), pod(own, spec=spec)
    refused = forbid(node, one, one.containers[0])
    assert isinstance(refused, Refused)
    assert refused.message.startswith("unable to validate against any security context constraint: ")
    assert f"provider {refused.by.removeprefix('OpenShift ')}: {reasons}" in refused.message


def test_a_uid_that_a_namespace_may_have_is_let_through_with_a_word() -> None:
    node, one = parse("openshift"), pod("{runAsUser: 1000680001}")
    admitted = node.admit(one, one.containers[0])
    assert isinstance(admitted, Admitted)
    assert (
        admitted.changes[0]
        == "restricted-v2 lets runAsUser 1000680001 through only where the namespace's range has it"
    )


def test_the_api_server_comes_first() -> None:
    node, one = parse("openshift"), pod("{allowPrivilegeEscalation: false, privileged: true}")
    refused = node.admit(one, one.containers[0])
    assert isinstance(refused, Refused)
    assert refused.by == "API server"


def test_docker_by_hand_has_no_admission() -> None:
    one = pod("{allowPrivilegeEscalation: false, privileged: true, runAsNonRoot: true, runAsUser: 0}")
    node = parse("docker")
    assert node.admit(one, one.containers[0]) == Admitted(one.containers[0])
    request = node.request(one, one.containers[0], "")
    assert isinstance(request, SecurityContext)
    assert replace(request, masked_paths=(), readonly_paths=()) == SecurityContext(
        privileged=True, run_as_user=0, no_new_privs=True, seccomp="RuntimeDefault"
    )
