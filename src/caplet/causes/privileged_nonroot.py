# SPDX-License-Identifier: Apache-2.0
"""`privileged: true` gives a user other than root nothing: the process that runs has no capability.

## What you see

    CapEff:	0000000000000000

in /proc/self/status of a privileged container, and "operation not permitted" from whatever it tries.

## Why

privileged fills the sets of the process that the runtime makes, lifts seccomp and masks, opens devices. The execve(2)
after that is the same as always, and for a user other than root with a file without capabilities

    P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient) = none

## Prove it

    grep Cap /proc/self/status      # inside: CapBnd is full, CapEff is zero
    caplet explain -f pod.yaml --image oci:DIR

## Fix

1. Find out which capability the program needs, give that to its file (`caplet grant`) and to the Pod
   (`capabilities.add`), and leave privileged out.
2. A debugging container that must do everything is root by intent: `kubectl debug` with a user of 0, for as long as
   it takes.

## Where

Kubernetes with containerd, Docker, Podman. CRI-O makes the capabilities of a privileged container ambient, and so
keeps them.

## References

- kubernetes/kubectl#1650
- capabilities(7), "Transformation of capabilities during execve()"
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.loss import Place, found_in
from caplet.causes.words import listed, user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: debugger}
spec:
  containers:
  - name: debugger
    image: debugger
    securityContext: {runAsUser: 1000, privileged: true}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.PRIVILEGED):
        yield CAUSE.found(
            f"privileged, but {user(explanation)} is not root: execve(2) leaves it {listed(explanation.held)}",
            loss.caps,
            loss.step,
        )


CAUSE = Cause(
    code="CAP111",
    name="privileged-nonroot",
    summary="privileged gives a user other than root no capability",
    find=_find,
    page=__doc__,
    logs=(Log(r"CapEff:\s*0{16}\b", "CapEff:\t0000000000000000"),),
    examples=(
        Example(
            "kubectl debug --profile=sysadmin as uid 1000",
            POD,
            {"/bin/app": "elf"},
            {"Entrypoint": ["/bin/app"]},
            mended=False,
        ),
    ),
)
