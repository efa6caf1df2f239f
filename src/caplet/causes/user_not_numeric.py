# SPDX-License-Identifier: Apache-2.0
"""`runAsNonRoot` cannot be verified: the image names its user by name, or it is root.

## What you see

    container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root
    container has runAsNonRoot and image will run as root
    container's runAsUser breaks non-root policy

The container waits with CreateContainerConfigError, and the kubelet tries again for ever.

## Why

The kubelet compares numbers and cannot read the image's /etc/passwd. It looks at `runAsUser`, the container's before
the Pod's, then at the image's USER: a number other than 0 passes, a name does not, whatever uid it has; an image
without USER is root.

## Prove it

    kubectl describe pod POD
    skopeo inspect --config docker://IMAGE | jq .config.User

## Fix

1. Say the number: `runAsUser: 65532` in the container's or the Pod's securityContext, the number that /etc/passwd has
   for the name.
2. In the Dockerfile: `USER 65532`, or `caplet pack`, which writes a number.
3. An image that is made for root needs another user's permissions on its files first; to give up `runAsNonRoot` is no
   fix.

## Where

Every Kubernetes. Docker, and Podman's `kube play`, do not check.

## References

- kubernetes pkg/kubelet/kuberuntime/security_context_others.go, verifyRunAsNonRoot()
- nicolaka/netshoot#163; coredns/coredns#7542
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
  containers:
  - name: app
    image: app
    securityContext: {runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
"""
ROOT = POD.replace("runAsNonRoot: true", "runAsNonRoot: true, runAsUser: 0")
ACCOUNTS = "root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n"

SAID = (
    "cannot verify user is non-root",
    "image will run as root",
    "breaks non-root policy",
    "has an invalid user id",
)
"""verifyRunAsNonRoot()'s sentences."""


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is None or refused.by != "kubelet" or not any(text in refused.message for text in SAID):
        return
    user = explanation.image.config.user if explanation.image else ""
    if "non-numeric" in refused.message:
        text = f"runAsNonRoot, and the image's USER is the name {user}: the kubelet verifies numbers only"
    elif "runAsUser" in refused.message:
        text = "runAsNonRoot and runAsUser: 0"
    elif "invalid" in refused.message:
        text = f"runAsNonRoot, and the image's USER {user} is out of range"
    else:
        text = f"runAsNonRoot, and the image's USER is root ({user or 'it names none'})"
    yield CAUSE.found(text)


CAUSE = Cause(
    code="CAP120",
    name="user-not-numeric",
    summary="runAsNonRoot cannot be verified: the image names its user by name, or it is root",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"image has non-numeric user \((?P<user>[^)]*)\), cannot verify user is non-root",
            "container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root",
        ),
        Log(
            r"container has runAsNonRoot and image will run as root",
            "container has runAsNonRoot and image will run as root",
        ),
        Log(r"container's runAsUser breaks non-root policy", "container's runAsUser breaks non-root policy"),
    ),
    examples=(
        Example(
            "USER nonroot",
            POD,
            {"/app": "elf", "/etc/passwd": ACCOUNTS},
            {"Entrypoint": ["/app"], "User": "nonroot"},
        ),
        Example("no USER", POD, {"/app": "elf"}, {"Entrypoint": ["/app"]}),
        Example("runAsUser 0", ROOT, {"/app": "elf"}, {"Entrypoint": ["/app"]}, mended=False),
    ),
)
