# SPDX-License-Identifier: Apache-2.0
"""Named platforms: which engine, in which release, runs a Pod there, and what their admission has to say first.

A row is a platform in one of its releases. What no source tells is left out, and asking for it says how to find out. Where
a node's owner chooses the engine's version, as on EKS, a row is what new nodes get on the day of the source.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from caplet.runtimes import crio, fargate, scc, warden
from caplet.runtimes.admission import unchanged
from caplet.runtimes.containerd import unprivileged
from caplet.runtimes.model import Refused, Version
from caplet.runtimes.template import PING_GROUP_RANGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.admission import Admission
    from caplet.runtimes.node import Node


@dataclass(frozen=True, slots=True)
class Row:
    """A release of a platform."""

    release: Version
    """The platform's own: of GKE and k3s the Kubernetes version, of kind and minikube theirs."""
    kubernetes: Version
    engine: tuple[str, Version]
    runtime: tuple[str, Version] | None
    """None: not known; what the engine usually has."""
    source: str
    """Where it is said, and when."""
    sysctls: Mapping[str, str] = field(default_factory=dict)
    """What the platform's configuration of the engine sets in each Pod's network namespace, but for the host's."""


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of cluster."""

    name: str
    """As `--on` takes it: `openshift:nonroot-v2` has one behind a colon."""
    title: str
    rows: tuple[Row, ...]
    """Oldest first; none where no source says what runs there."""
    source: str
    """Of the admission."""
    admit: Admission = unchanged
    admission: str = ""
    """Its name; empty where it has none that looks at capabilities, users or privilege."""
    find_out: str = "kubectl get nodes -o wide shows it under CONTAINER-RUNTIME"
    """How to learn what is not known here."""


def _v(text: str) -> Version:
    return Version.parse(text)


def _k3s(release: str, containerd: str, runc: str | None, source: str) -> Row:
    """k3s turns unprivileged ports and ICMP on since 1.22.10, 1.23.7 and 1.24.1: k3s-io/k3s#5538 (2022-05)."""
    version = _v(release)
    return Row(
        version,
        version,
        ("containerd", _v(containerd)),
        ("runc", _v(runc)) if runc else None,
        source,
        sysctls=unprivileged(user_ns=False),
    )


K3S = Platform(
    name="k3s",
    title="k3s",
    rows=(
        _k3s("1.24.16", "1.7.1", "1.1.7", "k3s-io/k3s#8134 (2023-08)"),
        _k3s("1.25.13", "1.7.3", "1.1.8", "k3s-io/k3s#7988 (2023-08)"),
        _k3s(
            "1.29.15", "2.0.4", None, "NixOS/nixpkgs#392169, which follows k3s' scripts/version.sh (2025-03)"
        ),
        _k3s("1.30.0", "1.7.15", "1.1.12", "release notes of v1.30.0+k3s1 (2024-05)"),
        _k3s("1.30.14", "2.1.5", "1.3.3", "k3s-io/k3s#13172 (2025-11)"),
        _k3s("1.31.14", "2.1.5", "1.3.3", "k3s-io/k3s#13171 (2025-11)"),
        _k3s("1.32.10", "2.1.5", "1.3.3", "k3s-io/k3s#13170 (2025-11)"),
        _k3s("1.33.6", "2.1.5", "1.3.3", "k3s-io/k3s#13169 (2025-11)"),
        _k3s("1.33.13", "2.2.5", "1.4.2", "k3s-io/k3s#14167 (2026-06)"),
        _k3s("1.34.2", "2.1.5", "1.3.3", "k3s-io/k3s#13168 (2025-11)"),
        _k3s("1.34.9", "2.2.5", "1.4.2", "release notes of v1.34.9+k3s1 (2026-06)"),
        _k3s("1.35.5", "2.2.3", "1.4.2", "release notes of v1.35.5+k3s1 (2026-05)"),
        _k3s("1.35.6", "2.2.5", "1.4.2", "release notes of v1.35.6+k3s1 (2026-06)"),
        _k3s("1.36.1", "2.2.3", "1.4.2", "release notes of v1.36.1+k3s1 (2026-05)"),
        _k3s("1.36.2", "2.3.2", "1.4.2", "release notes of v1.36.2+k3s1 (2026-06)"),
    ),
    source="k3s ships no admission of its own",
)


def _kind(release: str, kubernetes: str, containerd: str, runc: str | None) -> Row:
    return Row(
        _v(release),
        _v(kubernetes),
        ("containerd", _v(containerd)),
        ("runc", _v(runc)) if runc else None,
        f"kubernetes-sigs/kind v{release}: images/base/Dockerfile, pkg/apis/config/defaults/image.go",
    )


KIND = Platform(
    name="kind",
    title="kind",
    rows=(
        _kind("0.12.0", "1.23.4", "1.5.10", None),
        _kind("0.14.0", "1.24.0", "1.6.4", None),
        _kind("0.17.0", "1.25.3", "1.6.9", None),
        _kind("0.18.0", "1.26.3", "1.6.19", None),
        _kind("0.19.0", "1.27.1", "1.6.21", "1.1.5"),
        _kind("0.20.0", "1.27.3", "1.7.1", "1.1.7"),
        _kind("0.21.0", "1.29.1", "1.7.13", "1.1.12"),
        _kind("0.22.0", "1.29.2", "1.7.13", "1.1.12"),
        _kind("0.23.0", "1.30.0", "1.7.15", "1.1.12"),
        _kind("0.24.0", "1.31.0", "1.7.18", "1.1.13"),
        _kind("0.25.0", "1.31.2", "1.7.18", "1.1.13"),
        _kind("0.26.0", "1.32.0", "1.7.24", "1.2.3"),
        _kind("0.27.0", "1.32.2", "2.0.2", "1.2.3"),
        _kind("0.28.0", "1.33.1", "2.1.0", "1.3.0"),
        _kind("0.29.0", "1.33.1", "2.1.1", "1.3.0"),
        _kind("0.30.0", "1.34.0", "2.1.4", "1.3.0"),
        _kind("0.31.0", "1.35.0", "2.2.0", "1.2.9"),
        _kind("0.32.0", "1.36.1", "2.3.1", "1.4.2"),
    ),
    source="kind configures no admission of its own",
)


def _minikube(release: str, kubernetes: str, docker: str, runc: str | None) -> Row:
    """Docker behind cri-dockerd, which is what minikube starts unless told otherwise, up to 1.38."""
    return Row(
        _v(release),
        _v(kubernetes),
        ("docker", _v(docker)),
        ("runc", _v(runc)) if runc else None,
        f"kubernetes/minikube v{release}: deploy/iso (docker-bin), pkg/minikube/constants, cmd/minikube/cmd/start.go defaultRuntime",
    )


MINIKUBE = Platform(
    name="minikube",
    title="minikube",
    rows=(
        _minikube("1.25.0", "1.23.1", "20.10.12", None),
        _minikube("1.30.0", "1.26.3", "20.10.23", "1.1.5"),
        _minikube("1.32.0", "1.28.3", "24.0.7", "1.1.9"),
        _minikube("1.34.0", "1.31.0", "27.2.0", "1.1.13"),
        _minikube("1.35.0", "1.32.0", "27.4.0", "1.2.3"),
        _minikube("1.36.0", "1.33.1", "28.0.4", "1.3.0"),
        _minikube("1.37.0", "1.34.0", "28.4.0", "1.3.0"),
        _minikube("1.38.1", "1.35.1", "28.5.2", "1.4.0"),
    ),
    source="minikube configures no admission of its own",
)

_GKE_CONTAINERD = (
    'Google Cloud, GKE, "Migrate nodes to containerd 2" (2025); containerd RELEASES.md of 2026-08 agrees'
)


def _gke(release: str, containerd: str) -> Row:
    version = _v(release)
    return Row(version, version, ("containerd", _v(containerd)), None, _GKE_CONTAINERD)


_GKE = (
    _gke("1.30", "1.7.34"),
    _gke("1.31", "1.7.34"),
    _gke("1.32", "1.7.34"),
    _gke("1.33", "2.0.10"),
)
"""The minor version is known; the patch is the newest. Of 1.34 and later, nothing says which."""

GKE = Platform(
    name="gke",
    title="GKE",
    rows=_GKE,
    source="a standard cluster has no admission of its own that looks at a container's privilege",
)

GKE_AUTOPILOT = Platform(
    name="gke-autopilot",
    title="GKE Autopilot",
    rows=_GKE,
    source="see warden.py",
    admit=warden.admit,
    admission="GKE Warden",
)


def _eks(release: str, containerd: str) -> Row:
    version = _v(release)
    return Row(
        version,
        version,
        ("containerd", _v(containerd)),
        None,
        "awslabs/amazon-eks-ami 81fec2e8 (2026-07): templates/al2023/variables-*.json; containerd 2.1 by #2469 (2025-11)",
    )


_EKS = (
    _eks("1.28", "1.7.34"),
    _eks("1.29", "1.7.34"),
    _eks("1.32", "2.1.9"),
    _eks("1.33", "2.1.9"),
    _eks("1.34", "2.1.9"),
)
"""Amazon Linux 2023. It pins "1.7.*" for 1.28 and 1.29 and "2.*" for the others, whose number is Amazon Linux's at the time."""

EKS = Platform(
    name="eks",
    title="EKS",
    rows=_EKS,
    source="EKS has no admission of its own that looks at a container's privilege",
)

EKS_FARGATE = Platform(
    name="eks-fargate",
    title="EKS Fargate",
    rows=(),
    source="see fargate.py; its nodes say that they run containerd, and AWS publishes no list of releases",
    admit=fargate.admit,
    admission="fargate-scheduler",
)


def _aks(release: str, containerd: str, source: str) -> Row:
    version = _v(release)
    return Row(version, version, ("containerd", _v(containerd)), None, source)


AKS = Platform(
    name="aks",
    title="AKS",
    rows=(
        _aks("1.29", "1.7.20", "Azure/AgentBaker#4688 (2024-07), Ubuntu 22.04"),
        _aks("1.30", "1.7.20", "Azure/AgentBaker#4688 (2024-07), Ubuntu 22.04"),
        _aks(
            "1.35",
            "2.0.10",
            "Azure/AKS#4700 and #5538 (2026-01): Ubuntu 24.04, which comes with containerd 2",
        ),
    ),
    source="AKS has no admission of its own that looks at a container's privilege, unless Azure Policy is turned on",
)


def _openshift(release: str, kubernetes: str) -> Row:
    """CRI-O has the number of the Kubernetes in it, and its default runtime: crun since 4.18 (issues.redhat.com OCPSTRAT-1636)."""
    version, minor = _v(release), _v(kubernetes).minor
    engine = next(one for one in crio.RELEASES if one.minor == minor)
    return Row(
        version,
        _v(kubernetes),
        ("crio", engine),
        None,
        f"openshift/microshift release-{release}: Makefile.kube_git.var, packaging/rpm/microshift.spec, packaging/crio.conf.d",
        sysctls={PING_GROUP_RANGE: "0 2147483647"},
    )


_OPENSHIFT = (
    _openshift("4.12", "1.25"),
    _openshift("4.13", "1.26"),
    _openshift("4.14", "1.27"),
    _openshift("4.15", "1.28"),
    _openshift("4.16", "1.29"),
    _openshift("4.17", "1.30"),
    _openshift("4.18", "1.31"),
    _openshift("4.19", "1.32"),
    _openshift("4.20", "1.33"),
    _openshift("4.21", "1.34"),
    _openshift("4.22", "1.35"),
    _openshift("4.23", "1.36"),
)

OPENSHIFT = Platform(
    name="openshift",
    title="OpenShift (restricted-v2)",
    rows=_OPENSHIFT,
    source="see scc.py; restricted-v2 is what authenticated users get",
    admit=partial(scc.admit, scc.RESTRICTED_V2),
    admission="SCC restricted-v2",
    find_out="oc get node -o wide shows it under CONTAINER-RUNTIME",
)

OPENSHIFT_NONROOT = Platform(
    name="openshift:nonroot-v2",
    title="OpenShift (nonroot-v2)",
    rows=_OPENSHIFT,
    source="see scc.py",
    admit=partial(scc.admit, scc.NONROOT_V2),
    admission="SCC nonroot-v2",
    find_out="oc get node -o wide shows it under CONTAINER-RUNTIME",
)

PLATFORMS: Mapping[str, Platform] = {
    platform.name: platform
    for platform in (
        K3S, KIND, MINIKUBE, GKE, GKE_AUTOPILOT, EKS, EKS_FARGATE, AKS, OPENSHIFT, OPENSHIFT_NONROOT,
    )
}  # fmt: skip

OTHER_NAMES = {
    "openshift:restricted-v2": "openshift",
    "gke:autopilot": "gke-autopilot",
    "autopilot": "gke-autopilot",
    "fargate": "eks-fargate",
    "eks:fargate": "eks-fargate",
}


def forbid(node: Node, pod: PodSpec, container: Container) -> Refused | None:
    """What the admission of the node's platform, if it has one, has against the Pod."""
    if node.platform is None:
        return None
    admitted = node.platform.admit(pod, container)
    return admitted if isinstance(admitted, Refused) else None
