# SPDX-License-Identifier: Apache-2.0
"""`capabilities.add` has no effect: the user is not root, and the program's file carries no capability.

## What you see

    listen tcp :80: bind: permission denied
    nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)
    ping: socktype: SOCK_RAW ... Operation not permitted
    ibv_reg_mr failed: Cannot allocate memory

The Pod adds the capability, `kubectl get pod -o yaml` shows it, and still the program is denied what it allows. Some
programs misreport it: "Port 80 was already in use".

## Why

`capabilities.add` fills the bounding, permitted and effective sets of the process that the runtime makes. Then comes
execve(2) of the image's program, and for a user other than root it computes anew (capabilities(7)):

    P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)

The file has no F, and Kubernetes sets nothing ambient, so all of it is gone before the program's first instruction.

## Prove it

    grep Cap /proc/1/status      # inside the container: CapBnd has the bit, CapPrm and CapEff are zero
    caplet run pod.yaml --image oci:DIR

## Fix

1. For a port: `net.ipv4.ip_unprivileged_port_start: "0"` in the Pod's sysctls gives the ports to everyone in that Pod
   and needs no capability. Or let the program listen on a port from 1024 on, and the Service map it.
2. Give the program's file the capability: `caplet grant IMAGE -o OUT /path/to/program=NET_BIND_SERVICE`. With the add
   that is there it works under `allowPrivilegeEscalation: false` as well.
3. Where the program is an interpreter or a shell, do not: every script would have it. Let a program of its own do the
   privileged part.

## Where

Every Kubernetes with containerd or CRI-O, and Docker. Podman alone makes added capabilities of a user other than root
ambient. On containerd 2 and Docker from 20.10 ports below 1024 are free by default, and a lost NET_BIND_SERVICE goes
unnoticed.

## References

- capabilities(7), "Transformation of capabilities during execve()"
- kubernetes/kubernetes#56374, open since 2017
- prometheus/node_exporter#3477, open-telemetry/opentelemetry-collector-contrib#38002,
  NVIDIA/nvidia-container-toolkit#2037
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.fcaps_lost_in_build import lost_in_build
from caplet.causes.lines import BIND_DENIED, MEMORY_DENIED, PING_DENIED
from caplet.causes.loss import Place, found_in, needed
from caplet.causes.words import listed, user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: http
    image: http
    ports: [{containerPort: 80}]
    securityContext:
      runAsUser: 65532
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    """Asked for, granted, and nothing on the way carries it."""
    if explanation.setcaps or lost_in_build(explanation):
        return
    for loss in found_in(explanation, Place.PLAIN):
        caps = loss.caps & explanation.asked
        if not caps:
            continue
        yield CAUSE.found(
            f"{listed(caps)}: {user(explanation)} is not root and {loss.path} carries no capabilities, so execve(2) takes what was added",
            caps,
            loss.step,
            needed(explanation, caps),
        )


CAUSE = Cause(
    code="CAP101",
    name="added-cap-inert",
    summary="added capability has no effect: the user is not root and the program's file carries none",
    find=_find,
    page=__doc__,
    logs=(
        *BIND_DENIED,
        *MEMORY_DENIED,
        Log(r"port (?P<port>\d{1,4}) (?:is|was) already in use", "Port 80 is already in use"),
        *PING_DENIED,
        Log(r"open \.: permission denied", "open .: permission denied"),
        Log(
            r"perf_event_open.*(?:permission denied|operation not permitted)",
            "perf_event_open: permission denied",
        ),
    ),
    examples=(
        Example("port 80 as uid 65532", POD, {"/app": "elf"}, {"Entrypoint": ["/app"]}),
        Example("port 80 on CRI-O", POD, {"/app": "elf"}, {"Entrypoint": ["/app"]}, on="crio"),
        Example(
            "port 80 on Docker before 20.10",
            POD,
            {"/app": "elf"},
            {"Entrypoint": ["/app"]},
            on="docker:19.03",
        ),
    ),
)
