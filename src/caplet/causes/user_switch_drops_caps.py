# SPDX-License-Identifier: Apache-2.0
"""The container starts as root, and the entrypoint changes to another user: that takes every capability.

## What you see

    bind: permission denied

from a program that `gosu`, `su-exec`, `setpriv` or `chroot --userspec` started, in a container that is root and was
given the capability.

## Why

setresuid(2) from 0 to another user empties the permitted and effective sets, and the ambient one
(cap_emulate_setxuid()), unless the caller asked to keep them. The program behind it gets what its file carries; under
no_new_privs not even that, since its caller has nothing:

    P'(permitted) = F(permitted) & P(bounding) [ & P(permitted) under no_new_privs ]

## Prove it

    caplet explain -f pod.yaml --image oci:DIR
    grep Cap /proc/1/status      # inside

## Fix

1. For a port: the sysctl `net.ipv4.ip_unprivileged_port_start: "0"`.
2. Start as that user: `runAsUser: 999` in the Pod, where the entrypoint has nothing else to do as root; most images'
   scripts skip gosu then. The program's file needs the capability: `caplet grant IMAGE -o OUT PATH=NET_BIND_SERVICE`.
3. Where it must switch:
   `setpriv --reuid 999 --inh-caps +net_bind_service --ambient-caps +net_bind_service -- PROGRAM`.

## Where

Every runtime; a rule of the kernel.

## References

- capabilities(7), "Effect of user ID changes on capabilities"; security/commoncap.c, cap_emulate_setxuid()
- tianon/gosu, ncopa/su-exec
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
    ports: [{containerPort: 80}]
    securityContext:
      runAsUser: 0
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE, SETUID, SETGID]}
"""
ACCOUNTS = "root:x:0:0::/:/bin/sh\nweb:x:999:999::/:/bin/sh\n"


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.SWITCH):
        after = loss.step.after
        assert after is not None
        yield CAUSE.found(
            f"{loss.names}: gone when the entrypoint becomes uid {after.seen().euid}; the program that follows has nothing of it",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP126",
    name="user-switch-drops-caps",
    summary="the entrypoint changes from root to another user, which takes every capability",
    find=_find,
    page=__doc__,
    logs=BIND_DENIED,
    examples=(
        Example(
            "gosu under no_new_privs",
            POD,
            {
                "/usr/bin/gosu": "elf",
                "/usr/bin/web": "elf cap_net_bind_service=ep",
                "/etc/passwd": ACCOUNTS,
                "/etc/group": "root:x:0:\nweb:x:999:\n",
            },
            {"Entrypoint": ["/usr/bin/gosu", "web", "/usr/bin/web"]},
        ),
    ),
)
