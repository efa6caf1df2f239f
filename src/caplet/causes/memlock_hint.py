# SPDX-License-Identifier: Apache-2.0
"""IPC_LOCK is wanted for locked memory, and a higher RLIMIT_MEMLOCK would do without any capability.

## What you see

    ibv_reg_mr failed: Cannot allocate memory
    mlockall: Cannot allocate memory
    Error initializing core: Failed to lock memory: cannot allocate memory

RDMA, NCCL, DPDK, io_uring, databases and Vault say so; NCCL falls back to TCP in silence. `ulimit -l` in the
container says 8192 or 64.

## Why

can_do_mlock() lets a process lock up to RLIMIT_MEMLOCK, and without limit if it has CAP_IPC_LOCK. A user other than
root loses the capability at execve(2) (CAP101); the limit stays. It comes from the engine's service: 8 MiB with
systemd's default.

## Prove it

    ulimit -l; grep CapEff /proc/self/status      # inside

## Fix

1. Raise the limit: `LimitMEMLOCK=infinity` in containerd's or CRI-O's systemd unit; CRI-O also has `default_ulimits`,
   Docker and Podman `--ulimit memlock=-1`.
2. Give the program's file IPC_LOCK (`caplet grant`), with `capabilities.add: [IPC_LOCK]`. Not an interpreter:
   PyTorch's program is python3. And LD_LIBRARY_PATH does not count for it then (CAP108).
3. Vault: `disable_mlock = true`.

## Where

Every runtime. Kubernetes has no field for ulimits.

## References

- mm/mlock.c, can_do_mlock(); getrlimit(2), RLIMIT_MEMLOCK
- NVIDIA/nvidia-container-toolkit#2037; kubernetes/kubernetes#3595
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import MEMORY_DENIED
from caplet.kernel.caps import Cap, Caps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: train}
spec:
  containers:
  - name: train
    image: train
    securityContext:
      runAsUser: 1000
      capabilities: {drop: [ALL], add: [IPC_LOCK]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    if (
        explanation.starts
        and not explanation.changed_by_setcap
        and Cap.IPC_LOCK in explanation.lost
        and not explanation.container.security_context.privileged
    ):
        yield CAUSE.found(
            "IPC_LOCK is not there; a higher RLIMIT_MEMLOCK of the engine's service gives the same without it",
            Caps.of(Cap.IPC_LOCK),
        )


CAUSE = Cause(
    code="CAP140",
    name="memlock-hint",
    summary="IPC_LOCK is wanted for locked memory, which a higher RLIMIT_MEMLOCK gives without any capability",
    find=_find,
    page=__doc__,
    weight="hint",
    logs=MEMORY_DENIED,
    examples=(
        Example("RDMA as uid 1000", POD, {"/usr/bin/train": "elf"}, {"Entrypoint": ["/usr/bin/train"]}),
    ),
)
