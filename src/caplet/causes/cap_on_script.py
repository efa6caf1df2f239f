# SPDX-License-Identifier: Apache-2.0
"""The capability is on a script's file, where execve(2) does not look: the interpreter's file counts.

## What you see

    PermissionError: [Errno 1] Operation not permitted

and `getcap` shows the capability on the script that is the entrypoint.

## Why

For a file that begins with `#!` the kernel loads the interpreter that the line names, and takes the credentials from
that file alone, as it does for set-user-ID. F in capabilities(7)'s formula is the interpreter's, which has none:

    P'(permitted) = F(permitted) & P(bounding) = none

## Prove it

    caplet scan IMAGE      # a note says that the file is a script
    caplet explain -f pod.yaml --image oci:DIR

## Fix

1. Let a program of its own, not a script, do what needs the capability, and give it to that program's file.
2. A launcher of a few lines carries the capability, raises it in the ambient set (prctl(2), PR_CAP_AMBIENT) and
   executes this one script.
3. Not on the interpreter: `setcap` on python3 or sh gives it to every script in the image.

## Where

Every kernel.

## References

- fs/binfmt_script.c, load_script(); fs/exec.c, bprm_creds_from_file()
- capabilities(7), "File capabilities"
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from caplet.causes.cause import Cause, Example, Found, Log
from caplet.causes.loss import Place, found_in, needed
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: ping}
spec:
  containers:
  - name: ping
    image: ping
    securityContext:
      runAsUser: 1000
      capabilities: {drop: [ALL], add: [NET_RAW]}
"""


def _find(explanation: Explanation) -> Iterator[Found]:
    for loss in found_in(explanation, Place.ON_SCRIPT):
        assert loss.step.program is not None
        script = next(
            (
                os.fsdecode(link.path)
                for link in loss.step.program.chain[:-1]
                if isinstance(link.caps, FileCaps)
            ),
            "",
        )
        yield CAUSE.found(
            f"{loss.names}: {script} carries it and is a script; execve(2) looks at {loss.path}, which carries none",
            loss.caps,
            loss.step,
            needed(explanation, loss.caps),
        )


CAUSE = Cause(
    code="CAP113",
    name="cap-on-script",
    summary="the capability is on a script, where execve(2) does not look: the interpreter's file counts",
    find=_find,
    page=__doc__,
    logs=(
        Log(
            r"PermissionError: \[Errno 1\] Operation not permitted$",
            "PermissionError: [Errno 1] Operation not permitted",
        ),
    ),
    examples=(
        Example(
            "setcap on a Python script",
            POD,
            {"/ping.py cap_net_raw=ep": "#!/usr/bin/python3\n", "/usr/bin/python3": "elf"},
            {"Entrypoint": ["/ping.py"]},
            mended=False,
        ),
    ),
)
