# SPDX-License-Identifier: Apache-2.0
"""A wrapper loses the capability: under no_new_privs the program behind it cannot get it back.

## What you see

    nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)

although the Pod adds NET_BIND_SERVICE and `getcap` shows `cap_net_bind_service=ep` on the program. The entrypoint is
a shell script, tini, dumb-init or the like.

## Why

The first execve is that of the wrapper, or of the script's interpreter. Its file carries nothing, so P(permitted) is
empty behind it. The next execve would give F(permitted) & P(bounding), but with no_new_privs
(`allowPrivilegeEscalation: false`) a program may gain nothing over its caller:

    P'(permitted) = F(permitted) & P(bounding) & P(permitted)

and the caller's P(permitted) is empty. No error says so.

## Prove it

    caplet run pod.yaml --image oci:DIR
    grep -E 'Cap|NoNewPrivs' /proc/1/status      # inside: CapBnd has the bit, CapPrm has not, NoNewPrivs is 1

## Fix

1. For a port: the sysctl `net.ipv4.ip_unprivileged_port_start: "0"` needs no capability.
2. Start the program itself: `command: [/path/to/program]` in the Pod.
3. Give the wrapper's file the same capability, where it is a program of its own such as tini, never where it is a
   shell or an interpreter: `caplet grant IMAGE -o OUT /sbin/tini=NET_BIND_SERVICE`.

More privilege escalation is no remedy: it gives every set-user-ID file of the image its power back (CAP130).

## Where

Every runtime with `allowPrivilegeEscalation: false` or `no-new-privileges`. Podman's ambient capabilities pass
through wrappers.

## References

- security/commoncap.c, cap_bprm_creds_from_file(): the downgrade under LSM_UNSAFE_NO_NEW_PRIVS
- kubernetes/ingress-nginx#7445, whose Dockerfile gives dumb-init the capability; nginx/kubernetes-ingress#1933;
  helm/charts#12435
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import BIND_DENIED
from caplet.causes.loss import Place, found_in, needed
from caplet.causes.words import program

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
    for loss in found_in(explanation, Place.WRAPPER):
        before = explanation.executions[explanation.executions.index(loss.step) - 1]
        yield CAUSE.found(
            f"{loss.names}: {program(before)} carries no capabilities and so has none; under no_new_privs {loss.path}, "
            f"which carries {loss.carried}, can gain nothing over it",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP103",
    name="wrapper-drops-caps",
    summary="a wrapper without file capabilities loses them, and no_new_privs keeps the program behind it from gaining any",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
    examples=(
        Example(
            "a shell script in front",
            POD,
            {
                "/entry.sh": "#!/bin/sh\nexec /usr/sbin/nginx\n",
                "/usr/sbin/nginx": "elf cap_net_bind_service=ep",
            },
            {"Entrypoint": ["/entry.sh"]},
        ),
        Example(
            "tini in front",
            POD,
            {"/sbin/tini": "elf", "/usr/sbin/nginx": "elf cap_net_bind_service=ep"},
            {"Entrypoint": ["/sbin/tini", "--", "/usr/sbin/nginx"]},
        ),
    ),
)
