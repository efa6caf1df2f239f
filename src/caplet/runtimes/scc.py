# SPDX-License-Identifier: Apache-2.0
"""OpenShift's security context constraints: what restricted-v2 and nonroot-v2 set on a container, and what they refuse.

openshift/apiserver-library-go a8019f39f (2025-09), pkg/securitycontextconstraints: sccmatching/provider.go
CreateContainerSecurityContext, ValidateContainerSecurityContext, ValidatePodSecurityContext; capabilities/mustrunas.go;
user/mustrunasrange.go, user/nonroot.go; seccomp/strategy.go. The constraints themselves: openshift/microshift 8e16b12 (2026-08),
assets/controllers/openshift-default-scc-manager.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from caplet.kubernetes.document import dotted
from caplet.kubernetes.podspec import SeccompProfile
from caplet.runtimes.admission import Admitted
from caplet.runtimes.kubelet import first
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.pod import Container, PodSpec

EXAMPLE_RANGE = (1000660000, 1000669999)
"""The uids of a namespace, as its annotation openshift.io/sa.scc.uid-range has them: ten thousand from a place that the cluster
chooses above FIRST_OF_ALL. An example, since the manifest does not tell."""

FIRST_OF_ALL = 1000000000
"""cluster-policy-controller's uidAllocatorRange is 1000000000-1999999999/10000: no namespace has a smaller uid."""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A SecurityContextConstraints object, as far as it decides about a process."""

    name: str
    users: Literal["MustRunAsRange", "MustRunAsNonRoot"]
    allowed: tuple[str, ...] = ("NET_BIND_SERVICE",)
    required_drop: tuple[str, ...] = ("ALL",)


RESTRICTED_V2 = Constraint("restricted-v2", "MustRunAsRange")
NONROOT_V2 = Constraint("nonroot-v2", "MustRunAsNonRoot")


def admit(constraint: Constraint, pod: PodSpec, container: Container) -> Admitted | Refused:
    """The container with what the constraint sets. A Pod with several that break it is told of each."""
    reasons = [*_pod(pod)]
    changed = container
    notes: tuple[str, ...] = ()
    for one in (*pod.init_containers, *pod.containers, *pod.ephemeral_containers):
        after, says = _generate(constraint, pod, one)
        reasons += _validate(constraint, pod, after)
        if one == container:
            changed, notes = after, says
    if reasons:
        told = ", ".join(f"provider {constraint.name}: {reason}" for reason in reasons)
        told = f"[{told}]" if len(reasons) > 1 else told
        return Refused(
            f"OpenShift {constraint.name}",
            f"unable to validate against any security context constraint: {told}",
        )
    return Admitted(changed, notes)


def _generate(
    constraint: Constraint, pod: PodSpec, container: Container
) -> tuple[Container, tuple[str, ...]]:
    """CreateContainerSecurityContext: only what nobody has set, and the drops."""
    own, whole = container.security_context, pod.security_context
    says = []
    user = first(own.run_as_user, whole.run_as_user)
    non_root = first(own.run_as_non_root, whole.run_as_non_root)
    if user is None and constraint.users == "MustRunAsRange":
        user = EXAMPLE_RANGE[0]
        own = replace(own, run_as_user=user)
        says.append(
            f"{constraint.name} sets runAsUser {user}, for example: the first uid of the namespace's range"
        )
    elif user is not None and user >= FIRST_OF_ALL and constraint.users == "MustRunAsRange":
        says.append(
            f"{constraint.name} lets runAsUser {user} through only where the namespace's range has it"
        )
    if non_root is None and (user or (user is None and constraint.users == "MustRunAsNonRoot")):
        own = replace(own, run_as_non_root=True)
        says.append(f"{constraint.name} sets runAsNonRoot true")
    drop = tuple(sorted({*own.drop, *constraint.required_drop}))
    if len(drop) != len(own.drop):
        own = replace(own, drop=drop)
        says.append(f"{constraint.name} sets capabilities.drop [{', '.join(drop)}]")
    if own.allow_privilege_escalation is None:
        own = replace(own, allow_privilege_escalation=False)
        says.append(f"{constraint.name} sets allowPrivilegeEscalation false")
    if own.seccomp_profile is None and whole.seccomp_profile is None:
        own = replace(own, seccomp_profile=SeccompProfile("RuntimeDefault", None))
        says.append(f"{constraint.name} sets seccompProfile RuntimeDefault")
    return replace(container, security_context=own), tuple(says)


def _validate(constraint: Constraint, pod: PodSpec, container: Container) -> Iterator[str]:
    """ValidateContainerSecurityContext."""
    own, whole = container.security_context, pod.security_context
    path = f".{dotted(container.path[len(pod.path) :])}"
    user = first(own.run_as_user, whole.run_as_user)
    non_root = first(own.run_as_non_root, whole.run_as_non_root)
    if constraint.users == "MustRunAsRange":
        low, high = EXAMPLE_RANGE
        if user is not None and user < FIRST_OF_ALL:
            yield f"{path}.runAsUser: Invalid value: {user}: must be in the ranges: [{low}, {high}]"
    elif non_root is not None and not non_root:
        yield f"{path}.runAsNonRoot: Invalid value: false: must be true"
    elif user == 0:
        yield f"{path}.runAsUser: Invalid value: 0: running with the root UID is forbidden"
    profile = own.seccomp_profile or whole.seccomp_profile
    if profile is not None and profile.type != "RuntimeDefault":
        name = (
            "unconfined" if profile.type == "Unconfined" else f"localhost/{profile.localhost_profile or ''}"
        )
        yield (
            f"pod.metadata.annotations[container.seccomp.security.alpha.kubernetes.io/{container.name}]: Forbidden: "
            f"{name} is not an allowed seccomp profile. Valid values are [runtime/default]"
        )
    if own.privileged:
        yield f"{path}.privileged: Invalid value: true: Privileged containers are not allowed"
    for name in own.add:
        if name not in constraint.allowed:
            yield f'{path}.capabilities.add: Invalid value: "{name}": capability may not be added'
    for other in pod.every_container:
        place = path + f".{dotted(other.path[len(pod.path) :])}.hostPort"
        for port in other.ports:
            if port.host_port:
                yield f"{place}: Invalid value: {port.host_port}: Host ports are not allowed to be used"
    if own.allow_privilege_escalation:
        yield (
            f"{path}.allowPrivilegeEscalation: Invalid value: true: "
            "Allowing privilege escalation for containers is not allowed"
        )


def _pod(pod: PodSpec) -> Iterator[str]:
    """ValidatePodSecurityContext; volumes, SELinux, fsGroup and sysctls are left out."""
    for field, name, value in (
        ("hostNetwork", "network", pod.host_network),
        ("hostPID", "PID", pod.host_pid),
        ("hostIPC", "IPC", pod.host_ipc),
    ):
        if value:
            yield f".spec.securityContext.{field}: Invalid value: true: Host {name} is not allowed to be used"
