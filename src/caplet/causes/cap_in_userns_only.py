# SPDX-License-Identifier: Apache-2.0
"""The capability is held in the Pod's user namespace, and what it is for asks the initial one.

## What you see

    Operation not permitted

from setting the clock, making a device, loading a module, or ENOMEM from mlock(2), with `hostUsers: false`, although
CapEff has the bit.

## Why

In a user namespace of its own a process has capabilities over what that namespace owns. capable() in the kernel,
unlike ns_capable(), asks for the initial user namespace: CAP_SYS_TIME, CAP_MKNOD, CAP_SYS_MODULE, CAP_SYS_RAWIO, and
CAP_IPC_LOCK for memory beyond RLIMIT_MEMLOCK.

## Prove it

    cat /proc/1/uid_map      # inside: not 0 0 4294967295
    grep CapEff /proc/1/status

## Fix

1. Memory: raise RLIMIT_MEMLOCK of the engine's service (CAP140), which needs no capability.
2. The rest is work on the node itself: it belongs into a Pod without `hostUsers: false`, and into as few as possible.

## Where

Every runtime with user namespaces.

## References

- user_namespaces(7), "Capabilities"; kernel/capability.c, capable(); mm/mlock.c, can_do_mlock()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.kernel.caps import Cap, Caps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

OF_THE_NODE = Caps.of(Cap.IPC_LOCK, Cap.MKNOD, Cap.SYS_MODULE, Cap.SYS_RAWIO, Cap.SYS_TIME)
"""Asked for with capable(): mm/mlock.c can_do_mlock(), fs/namei.c vfs_mknod(), kernel/module/main.c may_init_module(), arch ioperm(), cap_settime()."""

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: clock}
spec:
  hostUsers: false
  containers:
  - name: clock
    image: clock
    securityContext:
      capabilities: {drop: [ALL], add: [SYS_TIME]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    if (
        explanation.spec is None
        or explanation.spec.user_ns is None
        or explanation.container.security_context.privileged
    ):
        return
    caps = explanation.asked & explanation.held & OF_THE_NODE
    if caps and len(explanation.asked) < len(Caps.all()):
        yield CAUSE.found(
            f"{','.join(caps.names())} is held in the Pod's user namespace, and the kernel asks for it in the initial one",
            caps,
        )


CAUSE = Cause(
    code="CAP137",
    name="cap-in-userns-only",
    summary="the capability is held in the Pod's user namespace, and what it is for asks the initial one",
    find=_find,
    page=__doc__,
    weight="hint",
    examples=(
        Example(
            "SYS_TIME with hostUsers: false",
            POD,
            {"/clock": "elf"},
            {"Entrypoint": ["/clock"]},
            on="containerd:2.1",
            mended=False,
        ),
    ),
)
