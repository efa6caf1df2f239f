# SPDX-License-Identifier: Apache-2.0
"""`add: [ALL]` beside `drop: [ALL]`: nothing on containerd and CRI-O, everything on Docker, an error on Podman.

## What you see

    adding all caps and removing all caps not allowed
    exec /usr/bin/app: operation not permitted

## Why

containerd and CRI-O fill the set for an ALL in `add`, empty it for an ALL in `drop`, and then add what is added by
name: what is left is the names. Docker looks at an ALL in `add` first and then does not look at one in `drop`.

    bounding = add by name                    containerd, CRI-O
    bounding = everything - drop by name      Docker

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on containerd,crio,docker,podman

## Fix

Name what is needed: `capabilities: {drop: [ALL], add: [NET_RAW]}`. `caplet scan` shows what the program's file asks
for.

## Where

containerd, CRI-O, Podman. It comes from a default that drops ALL and a workload that adds it.

## References

- containerd internal/cri/opts/spec_opts.go, WithCapabilities(); moby daemon/pkg/oci/caps/utils.go,
  TweakCapabilities()
- containers/common pkg/capabilities, MergeCapabilities()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.lines import EXEC_DENIED
from caplet.causes.loss import Place, found_in
from caplet.causes.words import said

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
    securityContext:
      runAsUser: 0
      capabilities: {add: [ALL], drop: [ALL]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and "adding all caps and removing all caps" in refused.message:
        yield CAUSE.found(f"{refused.by} refuses ALL in add and in drop: {said(refused)}")
    for loss in found_in(explanation, Place.ALL_DROPPED):
        engine = explanation.node.engine.title
        yield CAUSE.found(
            f"ALL is in add and in drop, and with {engine} only names in add count then", loss.caps, loss.step
        )


CAUSE = Cause(
    code="CAP119",
    name="add-all-drop-all",
    summary="ALL is in add and in drop: nothing on containerd and CRI-O, everything on Docker, an error on Podman",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"adding all caps and removing all caps not allowed",
            "adding all caps and removing all caps not allowed",
        ),
        *EXEC_DENIED,
    ),
    examples=(
        Example(
            "root with ALL and ALL",
            POD,
            {"/usr/bin/app": "elf"},
            {"Entrypoint": ["/usr/bin/app"]},
            on="containerd,crio,podman",
            mended=False,
        ),
    ),
)
