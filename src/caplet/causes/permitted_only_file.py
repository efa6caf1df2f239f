# SPDX-License-Identifier: Apache-2.0
"""The file's capability is permitted, not effective (`+p`): the program has it only if it raises it itself.

## What you see

    bind: permission denied

from a program whose file shows `cap_net_bind_service=p`; CapPrm has the bit, CapEff has not.

## Why

The file has one effective bit. Without it execve(2) never fails for a lacking capability, and leaves

    P'(permitted) = F(permitted) & P(bounding),  P'(effective) = P'(ambient)

A program that knows of capabilities raises what it needs with capset(2), uses it and lowers it; most programs do not.

## Prove it

    grep -E 'CapPrm|CapEff' /proc/1/status      # inside
    strace -e trace=capset PROGRAM

## Fix

1. If the program does not raise it: `caplet grant IMAGE -o OUT PATH=cap_net_bind_service+ep`. Then it does not start
   where the capability is not allowed (CAP102).
2. If it does (bind's named, chrony, dumpcap built with libcap): nothing, it works.

## Where

Every runtime.

## References

- capabilities(7), "File capabilities": the effective bit
- security/commoncap.c, bprm_caps_from_vfs_caps()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import BIND_DENIED
from caplet.causes.loss import Place, found_in

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
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.NOT_EFFECTIVE):
        yield CAUSE.found(
            f"{loss.names}: permitted by {loss.path}, not effective; it works if the program raises it itself, which nobody can tell from the file",
            loss.caps,
            loss.step,
        )


CAUSE = Cause(
    code="CAP117",
    name="permitted-only-file",
    summary="the file's capability is permitted, not effective: the program must raise it itself",
    find=_find,
    page=__doc__,
    weight="hint",
    logs=BIND_DENIED,
    examples=(
        Example("+p", POD, {"/usr/bin/web": "elf cap_net_bind_service=p"}, {"Entrypoint": ["/usr/bin/web"]}),
    ),
)
