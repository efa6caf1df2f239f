# SPDX-License-Identifier: Apache-2.0
"""`hostUsers: false`, and the node's runtime has no user namespaces for Pods: the kubelet refuses the Pod.

## What you see

    can't set `spec.hostUsers: false`, runtime does not support user namespaces

The Pod's sandbox is not created.

## Why

The kubelet asks the runtime which features it has, and does not run a Pod with less isolation than it asked for. With
a Kubernetes before 1.33 the field is dropped in silence instead, unless the feature gate is on: then the Pod runs in
the node's user namespace.

## Prove it

    kubectl describe pod POD
    kubectl get node NODE -o jsonpath='{.status.runtimeHandlers}'

## Fix

1. containerd 2 with runc 1.2 or crun 1.9, or a current CRI-O, on a kernel from 6.3 on.
2. Until then leave `hostUsers` out, knowing that root in the container is root on the node.

## Where

Kubernetes from 1.33 with containerd 1.x.

## References

- kubernetes pkg/kubelet/userns/userns_manager.go, GetOrCreateUserNamespaceMappings()
- kubernetes/enhancements keps/sig-node/127-user-namespaces
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  hostUsers: false
  containers: [{name: app, image: app}]
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and "does not support user namespaces" in refused.message:
        yield CAUSE.found(
            f"{explanation.node.engine.title} {explanation.node.engine_version} has no user namespaces for Pods"
        )


CAUSE = Cause(
    code="CAP138",
    name="userns-refused",
    summary="hostUsers: false, and the node's runtime has no user namespaces for Pods",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"can't set `spec\.hostUsers: false`, runtime does not support user namespaces",
            "can't set `spec.hostUsers: false`, runtime does not support user namespaces",
        ),
    ),
    examples=(
        Example(
            "containerd 1.7",
            POD,
            {"/app": "elf"},
            {"Entrypoint": ["/app"]},
            on="containerd:1.7+kubernetes:1.33",
            mended=False,
        ),
    ),
)
