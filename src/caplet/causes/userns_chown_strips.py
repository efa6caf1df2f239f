# SPDX-License-Identifier: Apache-2.0
"""In a user namespace containerd 1.7 gives the image's files to other owners, and that strips every file capability.

## What you see

    bind: permission denied

only with `hostUsers: false`; `getcap` in the container shows nothing, `caplet scan IMAGE` shows the capability.

## Why

containerd 1.7 makes a copy of the root file system for each Pod with a user namespace, and calls lchown(2) on every
file of it. The kernel takes security.capability and the set-user-ID bit from a file whose owner changes
(chown_common(), ATTR_KILL_PRIV). containerd 2 and CRI-O use idmapped mounts, which change no file.

    F(permitted) = none

## Prove it

    caplet scan IMAGE
    kubectl exec POD -- getcap /path/to/program

## Fix

1. For a port: the sysctl `net.ipv4.ip_unprivileged_port_start: "0"` needs no file capability.
2. containerd 2 on a kernel from 6.3 on, with the snapshotter's `slow_chown` off.
3. Run this Pod in the node's user namespace (`hostUsers` left out) if it cannot wait: that gives up the namespace's
   protection, so the first two come first.

## Where

containerd 1.7 on Kubernetes 1.25 to 1.32 with the feature gate on; from 1.33 on the kubelet refuses such a Pod there
(CAP138). containerd 2 with `slow_chown = true`.

## References

- containerd 1.7 snapshots/overlay, remap by chown; fs/open.c, chown_common()
- kubernetes/enhancements keps/sig-node/127-user-namespaces
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Found
from caplet.causes.lines import BIND_DENIED
from caplet.causes.loss import Place, found_in, needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation


def _find(explanation: Explanation) -> Iterator[Found]:
    node = explanation.node
    for loss in found_in(explanation, Place.CHOWNED):
        yield CAUSE.found(
            f"{loss.names}: {node.engine.title} {node.engine_version} gives {loss.path} another owner for the Pod's user namespace, "
            "which takes its capabilities away",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP128",
    name="userns-chown-strips",
    summary="hostUsers: false on containerd 1.7 changes the owner of every file, which strips its capabilities",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
)
