# SPDX-License-Identifier: Apache-2.0
"""The program's file demands a capability that other engines give by default, and this one does not.

## What you see

    /usr/share/heartbeat/heartbeat: Operation not permitted
    exec container process `/usr/bin/ping`: Operation not permitted

on CRI-O, OpenShift or Podman; the same manifest works with containerd or Docker.

## Why

The Pod says nothing of capabilities, so the engine's default set is the bounding set:

    containerd, Docker   CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE
    Podman since 4.5     the same without MKNOD NET_RAW AUDIT_WRITE
    CRI-O since 1.18     the same without MKNOD NET_RAW AUDIT_WRITE SETFCAP SYS_CHROOT

A `+ep` file of which one bit is not in it does not start (CAP102).

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on containerd,crio,podman

## Fix

1. If the program does not need it here: `caplet strip IMAGE -o OUT PATH`, or `caplet relax`.
2. Say it in the Pod instead of relying on a default, and drop the rest:
   `capabilities: {drop: [ALL], add: [NET_RAW]}`.

## Where

CRI-O and so OpenShift, and Podman from 4.4. A node's crio.conf or containers.conf may name other defaults.

## References

- cri-o/cri-o 63b9f4ec98, internal/config/capabilities; cri-o/cri-o#3119
- containers/common, pkg/config/default.go DefaultCapabilities; containerd pkg/oci/spec.go
- kubermatic/kubermatic#7147, elastic/cloud-on-k8s#4311
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import EXEC_DENIED, EXEC_DENIED_BEHIND
from caplet.causes.loss import Place, found_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: heartbeat}
spec:
  containers:
  - name: heartbeat
    image: heartbeat
    securityContext: {runAsUser: 1000}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    node = explanation.node
    for loss in found_in(explanation, Place.OTHER_DEFAULT):
        if loss.step is not explanation.failed:
            continue
        yield CAUSE.found(
            f"{loss.path} demands {loss.names}, which is in the default set of containerd and Docker, "
            f"not in that of {node.engine.title} {node.engine_version}: execve(2) fails with EPERM",
            loss.caps,
            loss.step,
        )


CAUSE = Cause(
    code="CAP110",
    name="default-set-differs",
    summary="the file demands a capability that other engines give by default, and this one does not",
    find=_find,
    page=__doc__,
    logs=(*EXEC_DENIED, *EXEC_DENIED_BEHIND),
    examples=(
        Example(
            "NET_RAW on CRI-O and Podman",
            POD,
            {"/usr/share/heartbeat/heartbeat": "elf cap_net_raw=ep"},
            {"Entrypoint": ["/usr/share/heartbeat/heartbeat"]},
            on="crio,podman",
        ),
    ),
)
