# SPDX-License-Identifier: Apache-2.0
"""The same capability is in `add` and in `drop`: which one wins differs from engine to engine.

## What you see

    exec /usr/bin/app: operation not permitted
    capability "CAP_NET_RAW" cannot be dropped and added

or nothing: the program lacks what `add` names.

## Why

containerd and CRI-O do the adds and then the drops, so the drop wins. Docker takes the drops from its defaults and
then adds, so the add wins. Podman refuses the container. `drop: [ALL]` is another matter: there an add by name wins
everywhere.

    bounding = (defaults | add) - drop        containerd, CRI-O
    bounding = (defaults - drop) | add        Docker

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on containerd,crio,docker,podman

## Fix

1. Take the name out of `drop`, or write `drop: [ALL]` and add what is needed by name, which means the same
   everywhere.
2. If it is not needed, take it out of `add`.

## Where

containerd and CRI-O drop it, Podman refuses, Docker keeps it. Two lists that were merged (Helm values, Kustomize, a
mutating webhook) are where it comes from.

## References

- containerd internal/cri/opts/spec_opts.go, WithCapabilities(); cri-o/cri-o internal/factory/container/container.go,
  SpecSetupCapabilities()
- moby daemon/pkg/oci/caps/utils.go, TweakCapabilities(); containers/common pkg/capabilities, MergeCapabilities()
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
      runAsUser: 1000
      capabilities: {add: [NET_RAW, NET_ADMIN], drop: [NET_RAW]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and "cannot be dropped and added" in refused.message:
        yield CAUSE.found(f"{refused.by} refuses a capability that is in add and in drop: {said(refused)}")
    for loss in found_in(explanation, Place.DROPPED):
        engine = explanation.node.engine.title
        yield CAUSE.found(
            f"{loss.names} is in add and in drop, and with {engine} the drop wins", loss.caps, loss.step
        )


CAUSE = Cause(
    code="CAP118",
    name="added-and-dropped",
    summary="a capability is in add and in drop: which one wins differs from engine to engine",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"capability \"(?P<capability>[^\"]+)\" cannot be dropped and added",
            'capability "CAP_NET_RAW" cannot be dropped and added',
        ),
        *EXEC_DENIED,
    ),
    examples=(
        Example(
            "the drop wins, or is refused",
            POD,
            {"/usr/bin/app": "elf cap_net_raw,cap_net_admin=ep"},
            {"Entrypoint": ["/usr/bin/app"]},
            on="containerd,crio,podman",
        ),
    ),
)
