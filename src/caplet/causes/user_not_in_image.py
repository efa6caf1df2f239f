# SPDX-License-Identifier: Apache-2.0
"""The image's USER is a name that its /etc/passwd or /etc/group does not have.

## What you see

    unable to find user app: no matching entries in passwd file

The container is not created.

## Why

A name in USER is looked up in the image's own /etc/passwd by the engine. An image that was made FROM scratch, or of
which a later stage left the file behind, has none.

## Prove it

    skopeo inspect --config docker://IMAGE | jq .config.User
    caplet explain -f pod.yaml --image oci:DIR

## Fix

Name the user by its number: `runAsUser: 65532` in the Pod, or `USER 65532` in the Dockerfile. A number needs no
entry.

## Where

Every engine.

## References

- containerd pkg/oci/spec_opts.go, WithUser(); moby/sys user, GetExecUser()
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.words import said

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
"""
SAID = re.compile(
    r"(?:user|group) '.*' (?:means nobody|is not in the image's)|no matching entries in (?:passwd|group) file"
)


def _find(explanation: Explanation) -> Iterator[Found]:
    refused = explanation.refused
    if refused is not None and SAID.search(refused.message):
        yield CAUSE.found(f"{refused.by} cannot tell who runs: {said(refused)}")


CAUSE = Cause(
    code="CAP125",
    name="user-not-in-image",
    summary="the image's USER is a name that its /etc/passwd does not have",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"unable to find (?:user|group) (?P<user>[^:]+): no matching entries in (?:passwd|group) file",
            "unable to find user app: no matching entries in passwd file",
        ),
    ),
    examples=(
        Example(
            "USER app, and no passwd",
            POD,
            {"/app": "elf"},
            {"Entrypoint": ["/app"], "User": "app"},
            mended=False,
        ),
    ),
)
