# SPDX-License-Identifier: Apache-2.0
"""The process has NET_BIND_SERVICE in the Pod's user namespace, and the network is the node's.

## What you see

    bind: permission denied

with `hostUsers: false` and `hostNetwork: true`, although CapEff has the bit.

## Why

bind(2) asks for the capability in the user namespace that owns the network namespace: ns_capable(net->user_ns,
CAP_NET_BIND_SERVICE). The node's network belongs to the initial user namespace, where a process of the Pod's own user
namespace has nothing.

## Prove it

    grep CapEff /proc/1/status; cat /proc/1/uid_map      # inside

## Fix

1. A port from 1024 on.
2. A network of the Pod's own: leave hostNetwork out and publish the port with a Service or hostPort.

## Where

Kubernetes with the UserNamespacesHostNetworkSupport gate; without it the API server refuses the two together.

## References

- net/ipv4/af_inet.c, __inet_bind(); user_namespaces(7)
- kubernetes/enhancements keps/sig-node/127-user-namespaces
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Found
from caplet.causes.lines import BIND_DENIED
from caplet.kernel.caps import Cap, Caps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation


def _find(explanation: Explanation) -> Iterator[Found]:
    if explanation.closed_ports and Cap.NET_BIND_SERVICE in explanation.held:
        ports = ", ".join(map(str, explanation.closed_ports))
        yield CAUSE.found(
            f"port {ports} is of the node's network, and the capability is one of the Pod's user namespace",
            Caps.of(Cap.NET_BIND_SERVICE),
        )


CAUSE = Cause(
    code="CAP136",
    name="port-of-another-network",
    summary="the capability is one of the Pod's user namespace, and the network is the node's",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
)
