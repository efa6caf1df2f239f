# SPDX-License-Identifier: Apache-2.0
"""The capability is on the wrapper's file alone: it ends when the wrapper executes the program.

## What you see

    bind: permission denied

`getcap` shows the capability on tini, dumb-init or a launcher, and not on the server that it starts.

## Why

File capabilities belong to the file that execve(2) loads. The next file is asked anew, and if it carries nothing

    P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient) = none

Only ambient capabilities pass, and a wrapper must raise those itself.

## Prove it

    caplet scan IMAGE
    caplet explain -f pod.yaml --image oci:DIR

## Fix

1. `caplet grant IMAGE -o OUT /path/to/program=NET_BIND_SERVICE`, as well as on the wrapper where no_new_privs is set.
2. A launcher of a few lines that raises it in the ambient set (prctl(2), PR_CAP_AMBIENT) and executes this one
   program.

## Where

Every runtime.

## References

- capabilities(7), "Transformation of capabilities during execve()"
- kubernetes/ingress-nginx#7445
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import BIND_DENIED
from caplet.causes.loss import Place, found_in, needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: web
    image: web
    securityContext:
      runAsUser: 101
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.ON_WRAPPER):
        yield CAUSE.found(
            f"{loss.names}: a program before {loss.path} carries it, {loss.path} itself does not, and what a file gives ends at the next execve(2)",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP131",
    name="cap-on-wrapper-only",
    summary="the capability is on the wrapper's file, and ends when the wrapper executes the program",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
    examples=(
        Example(
            "on tini only",
            POD,
            {"/sbin/tini": "elf cap_net_bind_service=ep", "/usr/bin/web": "elf"},
            {"Entrypoint": ["/sbin/tini", "--", "/usr/bin/web"]},
        ),
    ),
)
