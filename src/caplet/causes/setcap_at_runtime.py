# SPDX-License-Identifier: Apache-2.0
"""The entrypoint script runs setcap, which a user other than root may not.

## What you see

    unable to set CAP_SETFCAP effective capability: Operation not permitted

from setcap(8), in the container's log; then the script gives up, or goes on without the capability.

## Why

Writing security.capability needs CAP_SETFCAP in the effective set. A user other than root has nothing effective after
the first execve, whatever the Pod adds; with `drop: [ALL]` root has not either. And where it works, it gives the
image's user the power to give any file in the container any capability of the bounding set.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR

    kubectl exec POD -- grep CapEff /proc/1/status

## Fix

1. Do it when the image is made: `caplet grant IMAGE -o OUT /bin/vault=IPC_LOCK`, and let the script skip it
   (`SKIP_SETCAP=true` for Vault and OpenBao).
2. Leave the capability out where the program can do without: Vault with `disable_mlock = true`.
3. A newer image: Vault 2.0.1 mends what 2.0.0 broke.

## Where

Every runtime. As root with the default capabilities it works, since SETFCAP is among them on containerd, Docker and
Podman, not on CRI-O.

## References

- capabilities(7), CAP_SETFCAP; security/commoncap.c, cap_convert_nscap()
- hashicorp/vault#31919, openbao/openbao#355, bank-vaults/bank-vaults#1170
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.loss import Place, found_in
from caplet.causes.words import user
from caplet.kernel.caps import NO_CAPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: vault}
spec:
  containers:
  - name: vault
    image: vault
    securityContext:
      runAsUser: 100
      capabilities: {add: [IPC_LOCK]}
"""
SCRIPT = """\
#!/bin/sh
set -e
setcap cap_ipc_lock=+ep /bin/vault
exec /bin/vault server
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    if not explanation.setcaps or explanation.changed_by_setcap:
        return
    caps = NO_CAPS
    for loss in found_in(explanation, Place.PLAIN):
        caps |= loss.caps
    for one in explanation.setcaps[:1]:
        yield CAUSE.found(
            f"line {one.line} of the entrypoint's script runs `{shlex.join(one.argv)}`: {user(explanation)} has no CAP_SETFCAP, so it fails",
            caps,
            explanation.executions[-1] if explanation.executions else None,
            "breaks" if one.certain else "hint",
        )


CAUSE = Cause(
    code="CAP105",
    name="setcap-at-runtime",
    summary="the entrypoint script runs setcap, which this user may not",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"unable to set CAP_SETFCAP effective capability",
            "unable to set CAP_SETFCAP effective capability: Operation not permitted",
        ),
    ),
    examples=(
        Example(
            "Vault as uid 100",
            POD,
            {"/entrypoint.sh": SCRIPT, "/bin/vault": "elf", "/sbin/setcap": "elf"},
            {"Entrypoint": ["/entrypoint.sh"]},
        ),
    ),
)
