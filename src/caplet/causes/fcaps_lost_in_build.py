# SPDX-License-Identifier: Apache-2.0
"""The build ran setcap, and the image's file has no capability: a later step took it, or the build's storage did not keep it.

## What you see

    bind: permission denied

and `getcap` was right in the RUN step that set it. In the image, `caplet scan` shows nothing.

## Why

The kernel takes security.capability away from a file whose owner changes (chown_common() sets ATTR_KILL_PRIV), and
from one that is written or truncated. Tools that make a new file of an old one (`strip`, `upx`, `install`, `cp`,
signing) do not copy it. A `COPY --chown` is a new file as well. Some build storages and some COPY implementations
drop it: Docker's vfs driver (until moby/moby#42934), its classic builder in `COPY --from`, and it and BuildKit in
COPY from the build context. What is left is

    F(permitted) = none

## Prove it

    caplet scan IMAGE
    docker history --no-trunc IMAGE | grep -nE 'setcap|chown|strip|COPY'

## Fix

1. Let setcap be the last step that touches the file: chown, strip, then setcap.
2. Set it after the build, whatever the builder is: `caplet grant IMAGE -o OUT /path/to/program=NET_BIND_SERVICE`.
3. Build with BuildKit or buildah, which keep it in `COPY --from`; buildah keeps it from the build context as well.

## Where

Every builder for chown and rewriting; Docker's classic builder and the vfs storage driver besides.

## References

- moby/moby#42655, moby/moby#42934; containers/buildah#3294; wolfi-dev/os#2273
- fs/open.c, chown_common(); fs/inode.c, file_remove_privs()
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found
from caplet.causes.lines import BIND_DENIED, PING_DENIED
from caplet.causes.loss import Place, found_in, needed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

MAX_STEP = 65_536
"""Characters of one history line that are searched."""

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


def lost_in_build(explanation: Explanation) -> str:
    """The history line that gave the last program's file capabilities which it has not; empty for none."""
    last = explanation.executions[-1] if explanation.executions else None
    if (
        explanation.image is None
        or last is None
        or last.program is None
        or not last.program.chain
        or last.program.file.caps is not None
    ):
        return ""
    names = {os.fsdecode(last.program.file.path), last.program.argv[0]}
    words = "|".join(re.escape(name) for name in sorted(names) if name.startswith("/"))
    if not words:
        return ""
    pattern = re.compile(rf"\bsetcap\s[^;&|\n]*(?:{words})(?![\w/.-])[^;&|\n]*")
    for step in explanation.image.config.history:
        text = step.get("created_by")
        found = pattern.search(text[:MAX_STEP]) if isinstance(text, str) else None
        if found and not re.match(r"setcap\s+-r\b", found[0]):
            return found[0].strip()
    return ""


def _find(explanation: Explanation) -> Iterator[Found]:
    line = lost_in_build(explanation)
    if not line or explanation.setcaps:
        return
    for loss in found_in(explanation, Place.PLAIN):
        yield CAUSE.found(
            f"{loss.names}: the image's history has `{line}`, and the file carries nothing: a later step or the build's storage took it",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP107",
    name="fcaps-lost-in-build",
    summary="the build ran setcap, and the image's file has no capability",
    find=_find,
    page=__doc__,
    logs=(*BIND_DENIED, *PING_DENIED),
    examples=(
        Example(
            "chown after setcap",
            POD,
            {"/usr/bin/web": "elf"},
            {"Entrypoint": ["/usr/bin/web"]},
            history=(
                "RUN /bin/sh -c setcap 'cap_net_bind_service=+ep' /usr/bin/web # buildkit",
                "RUN /bin/sh -c chown web:web /usr/bin/web # buildkit",
            ),
        ),
    ),
)
