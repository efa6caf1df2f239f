# SPDX-License-Identifier: Apache-2.0
"""GKE Warden, the admission of Autopilot clusters: which capabilities may be added, and no privilege.

Texts as in CrowdStrike/falcon-helm#310 (2024-09), SumoLogic/sumologic-kubernetes-collection#3437 (2023-12: `CAP_CHOWN` is
denied where CHOWN would pass) and dragonflydb/dragonfly#1516 (2023-07). A cluster may allow more: NET_ADMIN with
--workload-policies=allow-net-admin, others by a WorkloadAllowlist. The default seccomp profile is applied to all: Google Cloud,
"About seccomp in GKE" (2025).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.kubernetes.podspec import SeccompProfile
from caplet.runtimes.admission import Admitted
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.pod import Container, PodSpec

ALLOWED = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
    "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT", "SYS_PTRACE",
)  # fmt: skip

_HEAD = (
    'admission webhook "warden-validating.common-webhooks.networking.gke.io" denied the request: GKE Warden rejected '
    "the request because it violates one or more constraints.\nViolations details: "
)


def admit(pod: PodSpec, container: Container) -> Admitted | Refused:
    """The whole Pod is judged; every violation is in the one message."""
    violations: dict[str, list[str]] = {}
    for constraint, text in (*_capabilities(pod), *_host_namespaces(pod), *_privilege(pod)):
        violations.setdefault(f"[denied by autogke-{constraint}]", []).append(text)
    if violations:
        return Refused("GKE Autopilot", _HEAD + json.dumps(violations, separators=(",", ":")))
    own, notes = container.security_context, []
    if own.seccomp_profile is None and pod.security_context.seccomp_profile is None:
        container = replace(
            container, security_context=replace(own, seccomp_profile=SeccompProfile("RuntimeDefault", None))
        )
        notes.append("Autopilot applies the default seccomp profile")
    if not {name.upper() for name in (*own.add, *own.drop)} & {"ALL", "NET_RAW"}:
        notes.append(
            "whether Autopilot leaves NET_RAW among the default capabilities is not published: grep CapBnd /proc/1/status tells, in a container"
        )
    return Admitted(container, tuple(notes))


def _capabilities(pod: PodSpec) -> Iterator[tuple[str, str]]:
    for container in pod.every_container:
        denied = [name for name in container.security_context.add if name not in ALLOWED]
        if denied:
            text = (
                f"linux capability '{','.join(denied)}' on container '{container.name}' not allowed; "
                f"Autopilot only allows the capabilities: '{','.join(ALLOWED)}'."
            )
            yield "default-linux-capabilities", text


def _host_namespaces(pod: PodSpec) -> Iterator[tuple[str, str]]:
    for field, value in (
        ("hostPID", pod.host_pid),
        ("hostIPC", pod.host_ipc),
        ("hostNetwork", pod.host_network),
    ):
        if value:
            yield "disallow-hostnamespaces", f"enabling {field} is not allowed in Autopilot."


def _privilege(pod: PodSpec) -> Iterator[tuple[str, str]]:
    for container in pod.every_container:
        if container.security_context.privileged:
            yield "disallow-privilege", f"container {container.name} is privileged; not allowed in Autopilot"
