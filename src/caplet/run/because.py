# SPDX-License-Identifier: Apache-2.0
"""Why a program has not what its Pod adds, in words, and what would give it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from caplet.image.interpreters import runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.run.pod import Plan


def because(plan: Plan) -> Iterator[str]:
    """Lines about capabilities that the Pod adds by name and execve(2) takes away; none where nothing is lost.

    capabilities(7): a process that is not root keeps what its file carries; a script's file is its interpreter.
    """
    started, chain = plan.prediction.started, plan.prediction.program.chain
    if started is None or not chain or chain[-1].caps is not None:
        return
    request = plan.request
    added = {name.upper() for name in request.add_capabilities}
    before = plan.prediction.created.caps.permitted
    lost = [name for name in (before - started.caps.permitted).names() if name in added]
    if not lost:
        return
    names = ",".join(lost)
    path = os.fsdecode(chain[-1].path)
    yield f"because the file {path} carries no capabilities: execve(2) takes {names} from a user that is not root"
    if len(chain) == 1 and runs(chain[-1].path) is None:
        yield f"to give it: caplet grant {plan.reference} -o OUT {path}={names}"
        return
    if started.no_new_privs:
        yield (
            f"and with no_new_privs (allowPrivilegeEscalation: false) nothing that {path} starts can gain it, whatever its "
            "file carries: start that program itself (command: in the Pod), and give it the capability"
        )
    else:
        yield f"to give it: grant it to the program that {path} starts: caplet grant {plan.reference} -o OUT PATH={names}"
