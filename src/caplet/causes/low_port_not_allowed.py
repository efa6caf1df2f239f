# SPDX-License-Identifier: Apache-2.0
"""The container names a port below 1024, and nothing lets its user bind it.

## What you see

    bind() to 0.0.0.0:80 failed (13: Permission denied)

The Pod says nothing of NET_BIND_SERVICE, or drops everything; the same image binds the port under Docker.

## Why

bind(2) below `net.ipv4.ip_unprivileged_port_start` (1024 in a new network namespace) needs CAP_NET_BIND_SERVICE in
the effective set. It is in every engine's default set, but a user other than root loses it at execve(2). Docker hides
it: there the ports of a container start at 0.

## Prove it

    cat /proc/sys/net/ipv4/ip_unprivileged_port_start      # inside
    caplet explain -f pod.yaml --image oci:DIR --on docker,containerd:1.7,crio

## Fix

1. Listen on a port from 1024 on: a Service's `port: 80` with `targetPort: 8080` asks nothing of the Pod.
2. `net.ipv4.ip_unprivileged_port_start: "0"` in the Pod's sysctls: allowed by the restricted Pod Security Standard.
3. The capability: `caplet grant` on the program's file and `capabilities.add: [NET_BIND_SERVICE]`.

## Where

CRI-O, containerd 1.x, Podman, and every Pod with hostNetwork.

## References

- net/ipv4/af_inet.c, __inet_bind(); ip(7), ip_unprivileged_port_start
- traefik/traefik-library-image#51, which leaves it to the user
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.fcaps_lost_in_build import lost_in_build
from caplet.causes.lines import BIND_DENIED
from caplet.causes.loss import Place, found_in
from caplet.causes.words import user
from caplet.kernel.caps import Cap, Caps

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
      capabilities: {drop: [ALL]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    if explanation.setcaps or Cap.NET_BIND_SERVICE in explanation.asked or not explanation.closed_ports:
        return
    for loss in found_in(explanation, Place.PLAIN, Place.NOT_ASKED, Place.OTHER_DEFAULT):
        if Cap.NET_BIND_SERVICE not in loss.caps or (
            loss.place is Place.PLAIN and lost_in_build(explanation)
        ):
            continue
        ports = ", ".join(map(str, explanation.closed_ports))
        start = explanation.port_start or 1024
        yield CAUSE.found(
            f"port {ports}: free ports start at {start}, {user(explanation)} is not allowed to bind it, and nothing gives it NET_BIND_SERVICE",
            Caps.of(Cap.NET_BIND_SERVICE),
            loss.step,
        )


CAUSE = Cause(
    code="CAP134",
    name="low-port-not-allowed",
    summary="the container names a port below 1024, and nothing lets its user bind it",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
    examples=(
        Example("drop ALL", POD, {"/usr/bin/web": "elf"}, {"Entrypoint": ["/usr/bin/web"]}),
        Example(
            "the default set",
            POD.replace("capabilities: {drop: [ALL]}", "runAsNonRoot: true"),
            {"/usr/bin/web": "elf"},
            {"Entrypoint": ["/usr/bin/web"]},
            on="crio",
        ),
    ),
)
