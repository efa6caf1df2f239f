# SPDX-License-Identifier: Apache-2.0
"""The node's copy of the image has lost its file capabilities: the image has them, the files on the node's disk have not.

## What you see

    Listen: listen tcp :53: bind: permission denied

on one node; the same Pod and image digest work on another.

## Why

File capabilities are an extended attribute. Whoever copies a containerd or Docker data directory with `cp -r`,
`rsync` without `-X`, `tar` without `--xattrs --xattrs-include='*'`, or to a file system without extended attributes,
copies the files without it. The engine verified its blobs when it unpacked them and never looks again, so nothing
repairs it and nothing says so. Then

    F(permitted) = none, and P'(permitted) = F(permitted) & P(bounding) = none

## Prove it

Neither Pod nor image shows it; the node does:

    getcap -r /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots     # on that node, as root
    caplet scan IMAGE                                                                   # what should be there

## Fix

1. Remove the image from that node and pull it again: `crictl rmi IMAGE`.
2. When a data directory moves, copy with attributes: `cp -a`, `rsync -aHAX`.

## Where

Every engine. AUFS and the vfs driver of older Dockers lost attributes of their own (CAP107).

## References

- kubernetes/kubernetes#125226, coredns/coredns#6716
- xattr(7), "Security extended attributes"; cp(1) `--preserve=xattr`
"""

from __future__ import annotations

from caplet.causes.cause import Cause, only_the_node_tells
from caplet.causes.lines import BIND_DENIED, PING_DENIED

CAUSE = Cause(
    code="CAP106",
    name="fcaps-lost-on-node",
    summary="the node's copy of the image has lost its file capabilities",
    find=only_the_node_tells,
    page=__doc__,
    logs=(*BIND_DENIED, *PING_DENIED),
)
