# SPDX-License-Identifier: Apache-2.0
"""The program does not start: its security.capability attribute is not one that the kernel can read.

## What you see

    exec /bin/vault: invalid argument
    error: exec failed: invalid argument
    exec container process `/bin/vault`: Invalid argument

## Why

get_vfs_caps_from_disk() accepts revision 1 with 12 bytes, 2 with 20, 3 with 24. Anything else, an empty value too,
makes execve(2) fail with EINVAL, more than 24 bytes with ERANGE, before the program runs and for every user. Some
storages leave an empty attribute behind where one was removed.

## Prove it

    caplet scan -o json IMAGE | jq '.images[].files[] | select(.capability.text == null)'
    getfattr -n security.capability -e hex FILE      # on the node

## Fix

1. Take the attribute away: `caplet strip IMAGE -o OUT PATH`.
2. If the program needs a capability, give it a new one: `caplet grant IMAGE -o OUT PATH=NET_BIND_SERVICE`.

## Where

Every kernel. setxattr(2) itself refuses all but an empty value, so an image with another broken attribute is not
unpacked at all. Docker, Podman and umoci do not store an empty one, so there the program starts; containerd stores
it.

## References

- security/commoncap.c, get_vfs_caps_from_disk()
- hashicorp/docker-vault#36
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.lines import exec_fails
from caplet.causes.words import program

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
    securityContext: {runAsUser: 100}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    failed = explanation.failed
    if failed is None or failed.program is None or failed.errno not in {errno.EINVAL, errno.ERANGE}:
        return
    if isinstance(failed.program.file.caps, bytes):
        yield CAUSE.found(f"{program(failed)} does not start ({failed.error}): {failed.reason}", step=failed)


CAUSE = Cause(
    code="CAP109",
    name="malformed-xattr",
    summary="the program does not start: the kernel cannot read its security.capability attribute",
    find=_find,
    page=__doc__,
    logs=(
        *exec_fails("Invalid argument", "/bin/vault"),
        *exec_fails("Numerical result out of range", "/bin/vault"),
        Log(r"\berror: exec failed: invalid argument", "error: exec failed: invalid argument"),
    ),
    examples=(Example("an empty attribute", POD, {"/bin/vault": "elf 0x"}, {"Entrypoint": ["/bin/vault"]}),),
)
