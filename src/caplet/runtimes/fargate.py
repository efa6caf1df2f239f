# SPDX-License-Identifier: Apache-2.0
"""The scheduler of EKS Fargate: which Pods it takes. A Pod that it does not take stays Pending, with this event.

The published validator of Fargate's kubelet (package lifecycle, validateContainerSecurityContext, validateTopLevelFields); texts as
in kubernetes-sigs/aws-efs-csi-driver#589 and #1329 (2021-12, 2024-04), frappe/helm#182 (2023-07: `CAP_CHOWN` is refused, where
CHOWN would pass), kubernetes/ingress-nginx#4888 (2020-01) and aws/containers-roadmap#2162 (SYS_PTRACE is refused, 2023-10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.runtimes.admission import Admitted
from caplet.runtimes.containerd import DEFAULT_CAPS
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from caplet.kubernetes.pod import Container, PodSpec

ALLOWED = DEFAULT_CAPS.names()
"""Those that every container has anyway, so that they can be added after `drop: [ALL]`."""


def admit(pod: PodSpec, container: Container) -> Admitted | Refused:
    """All that is wrong with the Pod is in the one message."""
    fields = (("HostNetwork", pod.host_network), ("HostPID", pod.host_pid), ("HostIPC", pod.host_ipc))
    messages = []
    if unsupported := [name for name, value in fields if value]:
        messages.append(f"fields not supported: {', '.join(unsupported)}")
    judged = [*pod.init_containers, *pod.containers]
    if invalid := [text for text in map(_invalid_fields, judged) if text]:
        messages.append(f"invalid SecurityContext fields: {','.join(invalid)}")
    if any(port.host_port or port.host_ip for one in judged for port in one.ports):
        messages.append("port contains HostIP or HostPort")
    if messages:
        return Refused("EKS Fargate", f"Pod not supported on Fargate: {', '.join(messages)}")
    return Admitted(container)


def _invalid_fields(container: Container) -> str:
    own = container.security_context
    invalid = []
    if rejected := [name for name in own.add if name not in ALLOWED]:
        invalid.append(f"Capabilities added: {', '.join(rejected)}")
    if own.allow_privilege_escalation:
        invalid.append("AllowPrivilegeEscalation")
    if own.privileged:
        invalid.append("Privileged")
    return ", ".join(invalid)
