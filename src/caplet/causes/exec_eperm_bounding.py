# SPDX-License-Identifier: Apache-2.0
"""The program does not start: its file demands a capability that the container's bounding set lacks.

## What you see

    exec /usr/bin/caddy: operation not permitted
    exec container process `/usr/bin/caddy`: Operation not permitted
    creating process: failed to update creds with file privileges: operation not permitted

of runc, crun and gVisor. The container never runs. As a child of a shell or an init, the line comes from that:

    sh: 1: caddy: Operation not permitted
    [FATAL tini (7)] exec /usr/bin/caddy failed: Operation not permitted

It often begins with an image upgrade: the new image's file has capabilities, the old one's had none (CAP150).

## Why

The file has the effective bit (`getcap` shows `=ep`). Then execve(2) insists: if a capability of F(permitted) does
not come through

    P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding))

the call fails with EPERM, for root as well, whatever no_new_privs is, and even if the program would never use it. The
bounding set is what the engine grants: its defaults, less `drop`, plus `add`.

## Prove it

    caplet scan IMAGE | grep PROGRAM
    caplet run pod.yaml --image oci:DIR

## Fix

1. If the program does not need it here: `caplet strip IMAGE -o OUT PATH` takes the attribute away.
2. `caplet relax IMAGE -o OUT PATH` turns `+ep` into `+p`: then it starts anywhere; only a program that raises the
   capability itself has it where it is allowed.
3. Allow it, and only it: `capabilities.add: [NET_BIND_SERVICE]` in the container's securityContext, beside
   `drop: [ALL]`.

## Where

Every runtime, every kernel. Which capabilities are in the default set differs (CAP110).

## References

- capabilities(7), "Safety checking for capability-dumb binaries"; security/commoncap.c, bprm_caps_from_vfs_caps()
- caddyserver/caddy-docker#396, #466; hashicorp/vault#31919; emissary-ingress/emissary#1841; coredns/coredns#7542
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import EXEC_DENIED, EXEC_DENIED_BEHIND
from caplet.causes.loss import Place, found_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: caddy}
spec:
  containers:
  - name: caddy
    image: caddy
    securityContext:
      runAsUser: 65532
      capabilities: {drop: [ALL]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.NOT_ASKED):
        if loss.step is not explanation.failed:
            continue
        yield CAUSE.found(
            f"{loss.path} carries {loss.carried}, and the bounding set lacks {loss.names}: "
            "execve(2) fails with EPERM before anything runs",
            loss.caps,
            loss.step,
        )


CAUSE = Cause(
    code="CAP102",
    name="exec-eperm-bounding",
    summary="the program does not start: its file demands a capability that the bounding set lacks",
    find=_find,
    page=__doc__,
    logs=(*EXEC_DENIED, *EXEC_DENIED_BEHIND),
    examples=(
        Example(
            "drop ALL without add",
            POD,
            {"/usr/bin/caddy": "elf cap_net_bind_service=ep"},
            {"Entrypoint": ["/usr/bin/caddy"]},
        ),
        Example(
            "behind a shell",
            POD,
            {
                "/usr/bin/caddy": "elf cap_net_bind_service=ep",
                "/entry.sh": "#!/bin/sh\nexec /usr/bin/caddy run\n",
            },
            {"Entrypoint": ["/entry.sh"]},
        ),
    ),
)
