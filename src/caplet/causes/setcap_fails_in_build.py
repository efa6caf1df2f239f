# SPDX-License-Identifier: Apache-2.0
"""setcap fails while the image is built: the build's file system or user namespace does not let it.

## What you see

    Failed to set capabilities on file '/app' (Not supported)
    Failed to set capabilities on file '/app' (Operation not supported)
    Failed to set capabilities on file `/app' (Invalid argument)

in the build's log.

## Why

setxattr(2) of security.capability needs a file system that stores it (AUFS, some 9p and NFS mounts do not),
CAP_SETFCAP in the file system's user namespace, and a uid that is mapped there. "Invalid argument" also comes from a
text that setcap does not understand, and from a symbolic link.

## Prove it

    findmnt -T . -o FSTYPE,OPTIONS      # in the RUN step
    grep CapEff /proc/self/status

## Fix

1. Set it after the build, where no file system is asked: `caplet grant IMAGE -o OUT /app=NET_BIND_SERVICE`; without
   root.
2. BuildKit, or buildah with overlay.

## Where

Docker with AUFS or in user-namespace-remapped and nested builds, kaniko, builds in unprivileged Pods.

## References

- setxattr(2), capabilities(7); security/commoncap.c, cap_convert_nscap()
- moby/moby#6980, #30557; docker/hub-feedback#444
"""

from __future__ import annotations

from caplet.causes.cause import Cause, Log, only_the_node_tells

CAUSE = Cause(
    code="CAP135",
    name="setcap-fails-in-build",
    summary="setcap fails while the image is built: the build's file system or user namespace does not let it",
    find=only_the_node_tells,
    page=__doc__,
    logs=(
        Log(
            r"failed to set capabilities on file [`'\"]?(?P<program>[^'\"]+)['\"]? \((?:not supported|operation not supported|invalid argument|operation not permitted)\)",
            "Failed to set capabilities on file '/app' (Not supported)",
        ),
        Log(
            r"failed to set capabilities on file.*invalid argument",
            "Failed to set capabilities on file `/app' (Invalid argument)",
        ),
    ),
)
