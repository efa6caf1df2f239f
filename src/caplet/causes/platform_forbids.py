# SPDX-License-Identifier: Apache-2.0
"""The platform's own admission does not let the Pod in: it has a list of capabilities that may be added.

## What you see

    admission webhook "warden-validating.common-webhooks.networking.gke.io" denied the request: GKE Warden rejected the request because it violates one or more constraints.
    Violations details: {"[denied by autogke-default-linux-capabilities]": ...

    unable to validate against any security context constraint

## Why

GKE Autopilot, OpenShift's security context constraints, EKS on Fargate and Pod Security admission decide before any
node hears of the Pod. What the runtime would do with the capability does not matter there.

## Prove it

    kubectl apply --dry-run=server -f pod.yaml
    caplet explain -f pod.yaml --image oci:DIR --on gke-autopilot,openshift

## Fix

1. Find out whether the capability is needed at all (`caplet explain` on that platform): ports below 1024 often need
   none there.
2. Ask for what is on the platform's list: NET_BIND_SERVICE is on every one.
3. A DaemonSet that must have more belongs on another kind of node pool or cluster, or needs the platform's own
   exemption (an allowlisted partner workload, another SCC).

## Where

GKE Autopilot, OpenShift, EKS Fargate, and every cluster with Pod Security labels of baseline or restricted.

## References

- CrowdStrike/falcon-helm#310, telepresenceio/telepresence#3983
- kubernetes/pod-security-admission policy/check_capabilities_baseline.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.words import said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: falcon}
spec:
  containers:
  - name: sensor
    image: falcon
    securityContext:
      capabilities: {add: [SYS_ADMIN]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and explanation.forbidden:
        yield CAUSE.found(f"{refused.by} does not let it in: {said(refused)}", explanation.asked)


CAUSE = Cause(
    code="CAP122",
    name="platform-forbids",
    summary="the platform's admission does not let the Pod in",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"denied the request: GKE Warden rejected the request",
            'admission webhook "warden-validating.common-webhooks.networking.gke.io" denied the request: '
            "GKE Warden rejected the request because it violates one or more constraints.",
        ),
        Log(r"denied by (?P<constraint>autogke-[\w-]+)", "[denied by autogke-default-linux-capabilities]"),
        Log(
            r"unable to validate against any security context constraint",
            'pods "app" is forbidden: unable to validate against any security context constraint',
        ),
        Log(
            r"violates PodSecurity \"(?P<level>\w+):",
            'pods "app" is forbidden: violates PodSecurity "restricted:latest": unrestricted capabilities',
        ),
        Log(
            r"invalid SecurityContext fields: Privileged",
            "Pod not supported on Fargate: invalid SecurityContext fields: Privileged",
        ),
    ),
    examples=(
        Example(
            "SYS_ADMIN on GKE Autopilot",
            POD,
            {"/app": "elf"},
            {"Entrypoint": ["/app"]},
            on="gke-autopilot",
            mended=False,
        ),
    ),
)
