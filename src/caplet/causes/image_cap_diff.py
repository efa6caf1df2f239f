# SPDX-License-Identifier: Apache-2.0
"""An image upgrade gave the program file capabilities, or took them: the same Pod starts no more, or lacks what it had.

## What you see

    exec /usr/local/bin/doormouse: operation not permitted

after a new tag, with a manifest that nobody touched.

## Why

Maintainers add `setcap` to a Dockerfile so that users other than root can bind port 80. A Pod that drops everything
then does not start (CAP102): the bounding set lacks what the file demands. The other way round, an image that lost
its `setcap` leaves the Pod's add inert (CAP101).

    old: F(permitted) = none                   starts, binds a high port
    new: F(permitted) = NET_BIND_SERVICE=ep    execve(2) fails with EPERM

## Prove it

    diff <(caplet scan oci:old) <(caplet scan oci:new)

## Fix

1. The upgraded program does not need it here: `caplet strip IMAGE -o OUT PATH`, or `caplet relax`.
2. Allow it: `capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}`.

## Where

Every runtime. caddy, vault, coredns, consul, pgadmin and others had it in 2025 and 2026.

## References

- joryirving/home-ops#9800, #10128; caddyserver/caddy-docker#396, #466
"""

from __future__ import annotations

from caplet.causes.cause import Cause, only_the_node_tells
from caplet.causes.lines import EXEC_DENIED, EXEC_DENIED_BEHIND

CAUSE = Cause(
    code="CAP150",
    name="image-cap-diff",
    summary="an image upgrade gave the program file capabilities, or took them",
    find=only_the_node_tells,
    page=__doc__,
    weight="hint",
    logs=(*EXEC_DENIED, *EXEC_DENIED_BEHIND),
)
