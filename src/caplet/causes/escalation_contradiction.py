# SPDX-License-Identifier: Apache-2.0
"""`allowPrivilegeEscalation: false` beside `privileged: true` or the literal CAP_SYS_ADMIN: the API server refuses the Pod.

## What you see

    cannot set `allowPrivilegeEscalation` to false and `privileged` to true
    cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN

## Why

ValidateSecurityContext() holds the two for a contradiction. Only the spelling `CAP_SYS_ADMIN` is looked for:
SYS_ADMIN, as it is written in a Pod, passes, and so does ALL.

## Prove it

    kubectl apply --dry-run=server -f pod.yaml

## Fix

1. Leave out `privileged`, and name what is needed in `capabilities.add`.
2. Write SYS_ADMIN without CAP_ only if it is really needed; most often a smaller capability does (BPF, PERFMON,
   SYS_PTRACE, NET_ADMIN).

## Where

Every Kubernetes since allowPrivilegeEscalation exists (1.8).

## References

- kubernetes pkg/apis/core/validation/validation.go, ValidateSecurityContext()
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
    securityContext: {allowPrivilegeEscalation: false, privileged: true}
"""
SAID = "cannot set `allowPrivilegeEscalation` to false and"


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and SAID in refused.message:
        other = (
            "privileged: true" if "`privileged`" in refused.message else "the literal CAP_SYS_ADMIN in add"
        )
        yield CAUSE.found(
            f"allowPrivilegeEscalation: false and {other}: the API server takes one of them only"
        )


CAUSE = Cause(
    code="CAP123",
    name="escalation-contradiction",
    summary="allowPrivilegeEscalation: false beside privileged: true or CAP_SYS_ADMIN is refused",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"cannot set `allowPrivilegeEscalation` to false and",
            "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
        ),
    ),
    examples=(
        Example("privileged", POD, {"/app": "elf"}, {"Entrypoint": ["/app"]}, mended=False),
        Example(
            "CAP_SYS_ADMIN",
            POD.replace("privileged: true", "capabilities: {add: [CAP_SYS_ADMIN]}"),
            {"/app": "elf"},
            {"Entrypoint": ["/app"]},
        ),
    ),
)
