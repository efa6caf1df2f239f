# SPDX-License-Identifier: Apache-2.0
"""`allowPrivilegeEscalation: true` is set, and what the container does can be had without.

## What you see

Nothing fails. The manifest has `allowPrivilegeEscalation: true`, often with a comment that the capability does not
work otherwise.

## Why

`allowPrivilegeEscalation: false` sets no_new_privs. It does not disarm the file capability of the container's first
program: the runtime puts what is granted into P(permitted), and
`P'(permitted) = F(permitted) & P(bounding) & P(permitted)` still has it. It bites only behind a wrapper that lost it
(CAP103), and that can be mended. What `true` really gives is every set-user-ID and file-capability program of the
image to whoever gets in.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR      # with the field set to false

## Fix

1. Set it to false. If the first program is the one that carries the capability, that is all.
2. Behind a shell script or tini: start the program itself, or give the init the capability as well (CAP103).

## Where

Every runtime but those of CAP104.

## References

- nginx/kubernetes-ingress#1933, helm/charts#12435, where it was the advice; kubernetes/ingress-nginx#7445
- security/commoncap.c, cap_bprm_creds_from_file()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.words import listed, program
from caplet.kernel.caps import NO_CAPS

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
      allowPrivilegeEscalation: true
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    """Said in so many words, of a container that is neither privileged nor root; a set-user-ID program may mean it."""
    own, created = explanation.container.security_context, explanation.created
    if (
        own.allow_privilege_escalation is not True
        or own.privileged
        or created is None
        or created.seen().euid == 0
    ):
        return
    if not explanation.starts or explanation.doubts:
        return
    steps = [step for step in explanation.executions if step.after is not None]
    if any(step.after and step.after.euid != step.before.euid for step in steps):
        return
    gained = next(
        (step for step in steps if step.after and step.after.caps.permitted - step.before.caps.permitted),
        None,
    )
    if gained is None or gained.after is None:
        yield CAUSE.found(
            "allowPrivilegeEscalation: true, and no program that is known gains anything by it", NO_CAPS
        )
        return
    caps = gained.after.caps.permitted - gained.before.caps.permitted
    if gained is steps[0]:
        return  # a runtime that fills no permitted set: there no_new_privs would cost the capability
    yield CAUSE.found(
        f"allowPrivilegeEscalation: true lets {program(gained)} gain {listed(caps)} behind a wrapper that lost it; "
        "a wrapper that keeps it, or none, does the same without",
        caps,
        gained,
    )


CAUSE = Cause(
    code="CAP130",
    name="needless-privilege-escalation",
    summary="allowPrivilegeEscalation: true is set, and the capability can be had without",
    find=_find,
    page=__doc__,
    weight="hint",
    examples=(
        Example(
            "the first program carries it",
            POD,
            {"/usr/bin/web": "elf cap_net_bind_service=ep"},
            {"Entrypoint": ["/usr/bin/web"]},
            mended=False,
        ),
        Example(
            "behind a script",
            POD,
            {"/entry.sh": "#!/bin/sh\nexec /usr/bin/web\n", "/usr/bin/web": "elf cap_net_bind_service=ep"},
            {"Entrypoint": ["/entry.sh"]},
            mended=False,
        ),
    ),
)
