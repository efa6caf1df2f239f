# SPDX-License-Identifier: Apache-2.0
"""The process has the capability, and the engine's default seccomp profile blocks the system call all the same.

## What you see

    map create: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)
    perf_event_open: Operation not permitted

with BPF or PERFMON added, and no error with SYS_ADMIN.

## Why

RuntimeDefault allows bpf(2) and perf_event_open(2) by what config.json grants. Profiles from before these
capabilities existed ask for SYS_ADMIN. The filter is made when the container is created, from the granted set: what
the file carries does not matter to it.

## Prove it

    grep Seccomp: /proc/self/status      # inside: 2 is a filter
    caplet explain -f pod.yaml --image oci:DIR --on containerd:1.6.8,containerd:1.6.9

## Fix

1. An engine whose profile knows them: containerd 1.6.9 or 1.7, Docker 23.0, CRI-O 1.31 (bpf) and 1.36
   (perf_event_open), Podman 5.2 (bpf).
2. A profile of your own (`seccompProfile: {type: Localhost}`) that allows the one system call.
3. SYS_ADMIN opens the gate too, and much else: not for this.

## Where

containerd before 1.6.9, Docker before 23.0, CRI-O before 1.31 and 1.36, Podman before 5.2; for perf_event_open all
Podmans up to 5.8. A Pod without a seccompProfile has no filter, unless the kubelet runs with seccompDefault.

## References

- moby/moby#43374, moby/moby#43987; containerd/containerd#7301 (346412f5a, in 1.6: 43907515b)
- containers/common 6dd328a2 (bpf), containers/container-libs 46d01fc263 (perf_event_open),
  pkg/seccomp/default_linux.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import seccomp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: agent}
spec:
  containers:
  - name: agent
    image: agent
    securityContext:
      seccompProfile: {type: RuntimeDefault}
      capabilities: {drop: [ALL], add: [BPF]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    spec, node, created = explanation.spec, explanation.node, explanation.created
    if spec is None or spec.seccomp != "RuntimeDefault" or created is None:
        return
    bounding = created.caps.bounding
    for cap in explanation.asked & explanation.held:
        if not isinstance(cap, Cap) or Cap.SYS_ADMIN in bounding:
            continue
        shut = seccomp.denied(node.engine.name, node.engine_version, cap, bounding)
        if shut:
            calls = " and ".join(f"{call}(2)" for call in shut)
            yield CAUSE.found(
                f"{cap.name} is there, and the default seccomp profile of {node.engine.title} {node.engine_version} denies {calls} all the same",
                Caps.of(cap),
            )


CAUSE = Cause(
    code="CAP142",
    name="seccomp-gate",
    summary="the process has the capability, and the engine's default seccomp profile blocks the system call",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"map create: operation not permitted",
            "map create: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)",
        ),
        Log(r"perf_event_open.*operation not permitted", "perf_event_open: Operation not permitted"),
    ),
    examples=(
        Example(
            "BPF on containerd 1.6.8",
            POD,
            {"/agent": "elf"},
            {"Entrypoint": ["/agent"]},
            on="containerd:1.6.8,crio:1.30",
            mended=False,
        ),
    ),
)
