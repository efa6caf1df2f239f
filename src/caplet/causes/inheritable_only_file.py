# SPDX-License-Identifier: Apache-2.0
"""The file's capability is inheritable (`+i`, `+ei`), and the process inherits nothing.

## What you see

    bind: permission denied

`getcap` shows `cap_net_bind_service=ei`; it worked with an older engine.

## Why

F(inheritable) counts only as far as the caller's P(inheritable) has it:

    P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding))

Engines once put what they granted into P(inheritable) as well. That was CVE-2022-24769, and since then P(inheritable)
is empty.

## Prove it

    grep CapInh /proc/1/status      # inside: zero
    caplet scan IMAGE

## Fix

`caplet grant IMAGE -o OUT PATH=cap_net_bind_service+ep`: permitted, not inheritable.

## Where

Docker from 20.10.14, containerd from 1.5.11 and 1.6.2, CRI-O from 1.25 unless `add_inheritable_capabilities` is set,
Podman from 4.0.3.

## References

- CVE-2022-24769 (GHSA-2mm7-x5h6-5pvq, GHSA-c9cp-9c75-9v8c), CVE-2022-27649, CVE-2022-27652
- capabilities(7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import BIND_DENIED, PING_DENIED
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
      capabilities: {drop: [ALL], add: [NET_RAW]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.INHERITABLE_FILE):
        yield CAUSE.found(
            f"{loss.names}: {loss.path} carries it inheritable only, and the process inherits nothing",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP129",
    name="inheritable-only-file",
    summary="the file's capability is inheritable only, and since 2022 engines let nothing be inherited",
    find=_find,
    page=__doc__,
    logs=(*BIND_DENIED, *PING_DENIED),
    examples=(Example("+ei", POD, {"/usr/bin/web": "elf cap_net_raw=ei"}, {"Entrypoint": ["/usr/bin/web"]}),),
)
