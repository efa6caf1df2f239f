# SPDX-License-Identifier: Apache-2.0
"""NET_BIND_SERVICE is added, and nothing needs it on this node: ports from 0 on are free.

## What you see

Nothing fails: the program binds port 80 whether it has the capability or not.

## Why

bind(2) asks for CAP_NET_BIND_SERVICE only below `net.ipv4.ip_unprivileged_port_start` of the network namespace.
containerd 2 and Docker from 20.10 set it to 0 for containers with a network of their own, and so does a Pod whose
sysctls say so.

## Prove it

    cat /proc/sys/net/ipv4/ip_unprivileged_port_start      # inside
    caplet explain -f pod.yaml --image oci:DIR --on containerd:1.7,containerd:2.1,crio

## Fix

1. Leave the add out where all nodes are so, or say the sysctl in the Pod and leave it out everywhere.
2. A file that still carries `+ep` then does not start with `drop: [ALL]` (CAP102): strip it too.

## Where

containerd from 2.0, Docker from 20.10; not CRI-O, not Podman, not with hostNetwork. A test on Docker or kind
therefore says nothing about another cluster.

## References

- containerd 7b9fcfd7c (internal/cri/config/config_unix.go); moby/moby#41030
- net/ipv4/af_inet.c, __inet_bind()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: web
    ports: [{containerPort: 80}]
    securityContext:
      runAsUser: 101
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    if (
        explanation.container.security_context.privileged
        or not explanation.starts
        or "ALL" in map(str.upper, explanation.asked_names)
    ):
        return
    caps = explanation.asked & explanation.needless
    if caps:
        yield CAUSE.found(
            f"{','.join(caps.names())} is not needed on {explanation.node}: {explanation.port_start_why or 'ports start at 0'}",
            caps,
        )


CAUSE = Cause(
    code="CAP133",
    name="needless-added-cap",
    summary="NET_BIND_SERVICE is added, and every port is free on this node",
    find=_find,
    page=__doc__,
    weight="hint",
    examples=(
        Example(
            "containerd 2",
            POD,
            {"/usr/bin/web": "elf"},
            {"Entrypoint": ["/usr/bin/web"]},
            on="containerd:2.1",
        ),
    ),
)
