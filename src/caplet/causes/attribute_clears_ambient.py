# SPDX-License-Identifier: Apache-2.0
"""The capability was ambient, and a file with an attribute of its own cleared it.

## What you see

    bind: permission denied

under Podman with `--cap-add`, where a program without any file capability works.

## Why

Ambient capabilities survive execve(2) of ordinary files only. A file with a security.capability attribute, be it
empty, inheritable only or with another capability, sets

    P'(ambient) = none

and then counts alone: `P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding))`. With `+i`
the capability ends permitted and not effective. A set-user-ID file clears it as well.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR --on podman
    grep CapAmb /proc/1/status      # inside: zero

## Fix

1. Take the attribute away: `caplet strip IMAGE -o OUT PATH`; the ambient capability does the rest.
2. Or let it carry what is needed, effective: `caplet grant IMAGE -o OUT PATH=NET_BIND_SERVICE`.

## Where

Podman with `--cap-add` for a user other than root, CRI-O's privileged containers, and launchers that raise ambient
capabilities. Kubernetes has no other way to ambient ones.

## References

- capabilities(7), "Ambient capability set"; security/commoncap.c, cap_bprm_creds_from_file()
- containers/podman#8217
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
      runAsUser: 1000
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE, NET_RAW]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.AMBIENT_CLEARED):
        yield CAUSE.found(
            f"{loss.names}: ambient until {loss.path} was executed, whose own attribute clears the ambient set",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP116",
    name="attribute-clears-ambient",
    summary="an ambient capability is cleared by a file that carries an attribute of its own",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
    examples=(
        Example(
            "another capability on the file",
            POD,
            {"/usr/bin/web": "elf cap_net_bind_service=ep"},
            {"Entrypoint": ["/usr/bin/web"]},
            on="podman",
        ),
    ),
)
