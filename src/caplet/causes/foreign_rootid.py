# SPDX-License-Identifier: Apache-2.0
"""The file's capability is for another user namespace: it was set by an unprivileged or rootless build, as revision 3.

## What you see

    exec container process `/usr/bin/app`: Value too large for defined data type
    exec /usr/bin/app: value too large for defined data type

in a Pod with `hostUsers: false`; or, without a user namespace, no error and no capability.

## Why

setcap in a user namespace writes an attribute of revision 3 with a rootid: the uid that is root there. execve(2)
honours it only in the user namespace whose root that uid is, or in one below it (rootid_owns_currentns()). Elsewhere
the file counts as one without capabilities. overlayfs cannot translate such a rootid through an idmapped mount, and
the lookup fails with EOVERFLOW.

    F(permitted) = none, unless rootid is the root of the process's user namespace or of one above it

## Prove it

    caplet scan IMAGE      # shows [rootid=100000]

## Fix

1. Write it as revision 2, which holds in every user namespace: `caplet grant IMAGE -o OUT PATH=NET_BIND_SERVICE`
   does.
2. Build with an engine that converts it when it makes the layer: Docker since 20.10.

## Where

Images from rootless Buildah or Podman, or built in a user namespace. "Ignored in a user namespace" is not true of
revision 2.

## References

- security/commoncap.c, cap_convert_nscap(), rootid_owns_currentns(), cap_inode_getsecurity()
- moby/moby#41723, opencontainers/umoci#261
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import BIND_DENIED, PING_DENIED, exec_fails
from caplet.causes.loss import Place, found_in, needed
from caplet.causes.words import program
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: app}
spec:
  containers:
  - name: app
    image: app
    securityContext:
      runAsUser: 1000
      capabilities: {drop: [ALL], add: [NET_RAW]}
"""
OWN_USERS = POD.replace("spec:\n", "spec:\n  hostUsers: false\n")


def _find(explanation: Explanation) -> Iterator[Found]:
    failed = explanation.failed
    if failed is not None and failed.errno == errno.EOVERFLOW:
        yield CAUSE.found(f"{program(failed)} does not start: {failed.reason}", step=failed)
    for loss in found_in(explanation, Place.FOREIGN):
        assert loss.step.program is not None
        caps = loss.step.program.file.caps
        rootid = caps.rootid if isinstance(caps, FileCaps) else None
        yield CAUSE.found(
            f"{loss.names}: the attribute of {loss.path} is for the user namespace whose root is uid {rootid}, not for this one",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP115",
    name="foreign-rootid",
    summary="the file's capability is for another user namespace (revision 3, rootid)",
    find=_find,
    page=__doc__,
    logs=(*exec_fails("Value too large for defined data type", "/usr/bin/app"), *BIND_DENIED, *PING_DENIED),
    examples=(
        Example(
            "ignored",
            POD,
            {"/usr/bin/app": "elf cap_net_raw=ep [rootid=100000]"},
            {"Entrypoint": ["/usr/bin/app"]},
        ),
        Example(
            "EOVERFLOW with hostUsers: false",
            OWN_USERS,
            {"/usr/bin/app": "elf cap_net_raw=ep [rootid=100000]"},
            {"Entrypoint": ["/usr/bin/app"]},
            on="containerd:2.1",
        ),
    ),
)
