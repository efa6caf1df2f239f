# SPDX-License-Identifier: Apache-2.0
"""The runtime leaves a user other than root the bounding set alone, and no_new_privs makes the program's file capability void.

## What you see

    panic: fork/exec /usr/sbin/virtqemud: errno 0
    listen tcp :80: bind: permission denied

The program is executed directly, its file carries the capability, the Pod adds it, the same works on another node;
here CapPrm is 0.

## Why

With no_new_privs an execve gains nothing over its caller:

    P'(permitted) = F(permitted) & P(bounding) & P(permitted)

containerd, CRI-O and newer Docker put what is granted into P(permitted) before the first execve, so F comes through.
Docker from 18.04 to 23.0.6 emptied P(permitted) for users other than root, Podman fills it with added capabilities
alone, not with its default ones. gVisor has a kernel of its own: since release-20260727.0 it does not look at file
capabilities under no_new_privs at all.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on docker:20.10,containerd

    docker run --rm --user 65532 --security-opt no-new-privileges IMAGE   # with a program that prints /proc/self/status

## Fix

1. For a port: the sysctl `net.ipv4.ip_unprivileged_port_start`, which needs no capability.
2. Update the engine: Docker 23.0.7, 24.0.6 or newer; on a Kubernetes node use containerd or CRI-O.
3. Podman: name the capability, `--cap-add NET_RAW`, even if it is a default one: only then it is more than bounding.
4. gVisor: run this Pod with another RuntimeClass, or without the need for the capability.

## Where

Docker 18.04 to 23.0.6 (and a kubelet with cri-dockerd or dockershim on it); Podman for its default capabilities;
gVisor's runsc from 20260727.

## References

- moby/moby#36587 emptied the sets, moby/moby#45491, #45511, #46221 fill them again; kubevirt/kubevirt#9465
- containers/podman, pkg/specgen/generate/security_linux.go
- google/gvisor#14878
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.lines import BIND_DENIED
from caplet.causes.loss import Place, found_in, needed
from caplet.causes.words import user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: virt}
spec:
  containers:
  - name: virtqemud
    image: virt
    securityContext:
      runAsUser: 107
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_ADMIN]}
"""
DEFAULTS = POD.replace("capabilities: {drop: [ALL], add: [NET_ADMIN]}", "runAsNonRoot: true").replace(
    "image: virt", "image: virt\n    ports: [{containerPort: 80}]"
)


def _find(explanation: Explanation) -> Iterator[Found]:
    node = explanation.node
    for loss in found_in(explanation, Place.BOUNDING_ONLY, Place.DISCARDED):
        last = explanation.executions[-1]
        assert last.program is not None
        path = last.title.removeprefix("exec ")
        if loss.place is Place.DISCARDED:
            text = f"{node.runtime.name} {node.runtime_version} does not look at the file capabilities of {path} under no_new_privs"
        else:
            text = (
                f"{node.engine.title} {node.engine_version} leaves {user(explanation)} the bounding set alone, "
                f"and under no_new_privs {path} gains nothing"
            )
        yield CAUSE.found(f"{loss.names}: {text}", loss.caps, last, needed(explanation, loss.caps))


CAUSE = Cause(
    code="CAP104",
    name="runtime-drops-permitted",
    summary="the runtime gives a non-root user the bounding set alone, and no_new_privs makes file capabilities void",
    find=_find,
    page=__doc__,
    logs=(
        *BIND_DENIED,
        Log(r"fork/exec (?P<program>\S+): errno 0", "panic: fork/exec /usr/sbin/virtqemud: errno 0"),
    ),
    examples=(
        Example(
            "Docker 20.10",
            POD,
            {"/usr/sbin/virtqemud": "elf cap_net_admin=ep"},
            {"Entrypoint": ["/usr/sbin/virtqemud"]},
            on="docker:20.10,docker:23.0.6",
            mended=False,
        ),
        Example(
            "Podman's default capabilities",
            DEFAULTS,
            {"/usr/sbin/virtqemud": "elf cap_net_bind_service=ep"},
            {"Entrypoint": ["/usr/sbin/virtqemud"]},
            on="podman",
        ),
    ),
)
