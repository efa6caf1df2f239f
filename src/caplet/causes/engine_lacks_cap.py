# SPDX-License-Identifier: Apache-2.0
"""The capability is newer than the engine: it does not know BPF, PERFMON or CHECKPOINT_RESTORE.

## What you see

    invalid CapAdd: unknown capability: "CAP_BPF"
    capability not supported by your kernel or not available in the current environment: "CAP_PERFMON"

or a privileged container that lacks them.

## Why

Linux 5.8 and 5.9 took BPF, PERFMON and CHECKPOINT_RESTORE out of SYS_ADMIN. Docker 20.10, containerd 1.4, CRI-O 1.20
and their runc end their lists at AUDIT_READ: they refuse the names, or leave them out of ALL.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on docker:20.10,docker
    cat /proc/sys/kernel/cap_last_cap      # 40 on a kernel that has them

## Fix

1. An engine of 2021 or later.
2. Until then, on such a node, the program needs what the capability was taken from: SYS_ADMIN. Weigh whether it has
   to run there.

## Where

Docker before 23.0, containerd 1.4, CRI-O before 1.21; runc before 1.0.0-rc93; every engine on Linux before 5.8.
gVisor's runsc leaves NET_RAW out unless it runs with `--net-raw`.

## References

- moby oci/caps/utils.go; opencontainers/runc 6dfbe9b80
- capabilities(7), CAP_BPF, CAP_PERFMON, CAP_CHECKPOINT_RESTORE
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.bad_cap_name import UNKNOWN
from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.loss import Place, found_in
from caplet.causes.words import said
from caplet.kernel.caps import Cap, Caps, bare

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: bpf}
spec:
  containers:
  - name: bpf
    image: bpf
    securityContext:
      capabilities: {drop: [ALL], add: [BPF]}
"""
UNAVAILABLE = "capability not supported by your kernel or not available in the current environment"


def _find(explanation: Explanation) -> Iterator[Found]:
    node, refused = explanation.node, explanation.refused
    if refused is not None:
        match = UNKNOWN.search(refused.message)
        name = bare(next((one for one in match.groups() if one), "")) if match else ""
        if name in Cap.__members__ or UNAVAILABLE in refused.message:
            caps = Caps.of(Cap[name]) if name in Cap.__members__ else explanation.asked
            yield CAUSE.found(f"{refused.by} does not know it: {said(refused)}", caps)
    for loss in found_in(explanation, Place.ENGINE_LACKS):
        yield CAUSE.found(
            f"{loss.names}: {node.engine.title} {node.engine_version} with {node.runtime.name} {node.runtime_version} gives no such capability",
            loss.caps,
            loss.step,
        )


CAUSE = Cause(
    code="CAP132",
    name="engine-lacks-cap",
    summary="the capability is newer than the engine, the OCI runtime or the kernel",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"unknown capability: \"(?P<capability>CAP_(?:BPF|PERFMON|CHECKPOINT_RESTORE))\"",
            'invalid CapAdd: unknown capability: "CAP_BPF"',
        ),
        Log(
            r"capability not supported by your kernel or not available",
            'capability not supported by your kernel or not available in the current environment: "CAP_PERFMON"',
        ),
    ),
    examples=(
        Example(
            "BPF on Docker 20.10",
            POD,
            {"/bpf": "elf"},
            {"Entrypoint": ["/bpf"]},
            on="docker:20.10",
            mended=False,
        ),
    ),
)
