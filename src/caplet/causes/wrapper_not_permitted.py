# SPDX-License-Identifier: Apache-2.0
"""The entrypoint's wrapper wants to change the user or its sets, and may not: it ends with an error.

## What you see

    error: failed switching to "redis": operation not permitted
    su-exec: setgroups(999): Operation not permitted
    setpriv: setresuid failed: Operation not permitted
    s6-applyuidgid: fatal: unable to set supplementary group list: Operation not permitted

## Why

setgroups(2) and setresgid(2) need CAP_SETGID, setresuid(2) needs CAP_SETUID, keeping capabilities over it needs that
they are there. With `drop: [ALL]` root has none of them; a user other than root never had them.

## Prove it

    caplet explain -f pod.yaml --image oci:DIR
    grep Cap /proc/1/status      # inside

## Fix

1. Do not switch: `runAsUser: 999` in the Pod, so that the process is that user from the start; most entrypoints skip
   the switch then.
2. Where the entrypoint needs root for something else first: `add: [SETUID, SETGID]` beside `drop: [ALL]`, and nothing
   more.

## Where

Every runtime.

## References

- setresuid(2), setgroups(2), capabilities(7)
- tianon/gosu, ncopa/su-exec, setpriv(1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: redis}
spec:
  containers:
  - name: redis
    image: redis
    securityContext:
      capabilities: {drop: [ALL]}
"""
ACCOUNTS = "root:x:0:0::/:/bin/sh\nredis:x:999:999::/:/bin/sh\n"


def _find(explanation: Explanation) -> Iterator[Found]:
    failed = explanation.failed
    if failed is None or failed.program is not None or not failed.calls:
        return
    yield CAUSE.found(
        f"{failed.title} of the entrypoint fails with {failed.error}: {failed.reason}", step=failed
    )


CAUSE = Cause(
    code="CAP127",
    name="wrapper-not-permitted",
    summary="the entrypoint's wrapper may not change the user or its sets, and ends",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"failed switching to \"(?P<user>[^\"]+)\": operation not permitted",
            'error: failed switching to "redis": operation not permitted',
        ),
        Log(
            r"su-exec: set\w+(?:\([^)]*\))?: operation not permitted",
            "su-exec: setgroups(999): Operation not permitted",
        ),
        Log(
            r"setpriv: \w+ failed: operation not permitted",
            "setpriv: setresuid failed: Operation not permitted",
        ),
        Log(
            r"s6-\w+: fatal: unable to set .*operation not permitted",
            "s6-applyuidgid: fatal: unable to set supplementary group list: Operation not permitted",
        ),
        Log(
            r"set[gu]id\(\d+\) failed \(1: operation not permitted\)",
            "setgid(101) failed (1: Operation not permitted)",
        ),
    ),
    examples=(
        Example(
            "gosu with drop ALL",
            POD,
            {
                "/usr/bin/gosu": "elf",
                "/usr/bin/redis": "elf",
                "/etc/passwd": ACCOUNTS,
                "/etc/group": "root:x:0:\nredis:x:999:\n",
            },
            {"Entrypoint": ["/usr/bin/gosu", "redis", "/usr/bin/redis"]},
            mended=False,
        ),
    ),
)
