# SPDX-License-Identifier: Apache-2.0
"""The program is on a file system that is mounted nosuid, where file capabilities do not count.

## What you see

    bind: permission denied

on one node, with an image that works elsewhere; `getcap` shows the capability inside the container.

## Why

mnt_may_suid() is asked before the attribute is read: on a nosuid mount, or one of another mount namespace or user
namespace, execve(2) treats the file as if it carried none. There is no error, not even EPERM where the bounding set
lacks the capability. Ambient capabilities stay.

    F(permitted) = none

## Prove it

    findmnt -T /path/to/program -o TARGET,OPTIONS      # inside the container, or of the engine's data directory on the node

## Fix

1. Mount the engine's data directory (/var/lib/containerd, /var/lib/containers) without nosuid: hardening guides ask
   for nosuid on /var, and it belongs on a file system of its own then.
2. Keep the program in the image, not on a volume: nodes may mount /var/lib/kubelet nosuid.

## Where

Every runtime; a setting of the node. Volumes of CSI drivers and hostPath may have it too.

## References

- fs/namespace.c, mnt_may_suid(); security/commoncap.c, get_file_caps()
- mount(8), nosuid
"""

from __future__ import annotations

from caplet.causes.cause import Cause, only_the_node_tells
from caplet.causes.lines import BIND_DENIED, PING_DENIED

CAUSE = Cause(
    code="CAP114",
    name="nosuid-mount",
    summary="the program is on a nosuid mount, where file capabilities do not count",
    find=only_the_node_tells,
    page=__doc__,
    logs=(*BIND_DENIED, *PING_DENIED),
)
