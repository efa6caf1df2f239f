# SPDX-License-Identifier: Apache-2.0
"""Where unprivileged ports start in a container's network namespace, and who says so.

net.ipv4.ip_unprivileged_port_start belongs to the network namespace, for IPv6 too, since Linux 4.11; every new one starts at 1024,
whatever the host's has (net/ipv4/af_inet.c inet_init_net).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.runtimes.sysctls import port_start_of
from caplet.runtimes.template import PORT_START

if TYPE_CHECKING:
    from caplet.kubernetes.pod import PodSpec
    from caplet.runtimes.model import Spec
    from caplet.runtimes.node import Node

KERNEL_DEFAULT = 1024
"""PROT_SOCK."""


def port_start(node: Node, pod: PodSpec, spec: Spec) -> tuple[int | None, str]:
    """The first port that needs no capability, None where the manifest does not decide it; and why."""
    if pod.host_network:
        return None, (
            f"hostNetwork: the node's own {PORT_START} counts; Linux starts at {KERNEL_DEFAULT}, and the node's "
            f"`sysctl {PORT_START}` says what it has"
        )
    asked = {sysctl.name: sysctl.value for sysctl in pod.security_context.sysctls}
    if PORT_START in asked:
        return port_start_of(asked[PORT_START]), f"the Pod sets {PORT_START}={asked[PORT_START]}"
    engine = f"{node.engine.title} {node.engine_version}"
    if node.row is not None and PORT_START in node.row.sysctls:
        assert node.platform is not None
        start = node.row.sysctls[PORT_START]
        return port_start_of(start), f"{node.platform.title} has {node.engine.title} set {PORT_START}={start}"
    if PORT_START in spec.sysctl:
        start = spec.sysctl[PORT_START]
        return port_start_of(
            start
        ), f"{engine} sets {PORT_START}={start} for every network namespace that it makes"
    return (
        KERNEL_DEFAULT,
        f"{engine} sets no {PORT_START}, and a new network namespace starts at {KERNEL_DEFAULT}",
    )
