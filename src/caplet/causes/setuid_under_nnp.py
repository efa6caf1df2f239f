# SPDX-License-Identifier: Apache-2.0
"""A set-user-ID program does not become its owner: no_new_privs.

## What you see

    sudo: The "no new privileges" flag is set, which prevents sudo from running as root.
    sudo: effective uid is not 0, is sudo installed setuid root?
    unable to gain root privileges
    ping: permission denied (are you root?)

## Why

With no_new_privs (`allowPrivilegeEscalation: false`) bprm_fill_uid() leaves the effective user as it is: a
set-user-ID bit counts as if it were not there. The same happens on a nosuid mount.

## Prove it

    grep NoNewPrivs /proc/self/status      # inside: 1
    caplet scan IMAGE | grep setuid

## Fix

1. Do without: run the container as the user that the work needs, or give the one program its one capability
   (`caplet grant`) and the Pod the same in `capabilities.add`.
2. For ping: `net.ipv4.ping_group_range` lets a group open ICMP sockets without any capability.
3. Do not take the protection away: with it, every set-user-ID file of the image is harmless.

## Where

Every runtime. Without `allowPrivilegeEscalation: false` set-user-ID works, and root then has the whole bounding set.

## References

- fs/exec.c, bprm_fill_uid(); prctl(2), PR_SET_NO_NEW_PRIVS
- sudo(8)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.words import program, user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

SETUID = 0o4000

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  containers:
  - name: app
    image: app
    securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for step in explanation.executions:
        if step.after is None or step.program is None or not step.before.no_new_privs:
            continue
        node = step.program.file.node
        if node.mode & SETUID and node.uid == 0 and step.before.seen().euid != 0:
            yield CAUSE.found(
                f"{program(step)} is set-user-ID root and runs as {user(explanation)} all the same: no_new_privs",
                step=step,
            )


CAUSE = Cause(
    code="CAP121",
    name="setuid-under-nnp",
    summary="a set-user-ID program does not become its owner under no_new_privs",
    find=_find,
    page=__doc__,
    logs=(
        Log(r"unable to gain root privileges", "unable to gain root privileges"),
        Log(r"effective uid is not 0", "sudo: effective uid is not 0, is sudo installed setuid root?"),
        Log(
            r"\"no new privileges\" flag is set",
            'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.',
        ),
        Log(r"\bping: permission denied \(are you root\?\)", "ping: permission denied (are you root?)"),
    ),
    examples=(
        Example(
            "sudo as the entrypoint",
            POD,
            {"/usr/bin/sudo": "elf setuid"},
            {"Entrypoint": ["/usr/bin/sudo"]},
            mended=False,
        ),
    ),
)
