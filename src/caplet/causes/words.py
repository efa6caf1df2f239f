# SPDX-License-Identifier: Apache-2.0
"""The words of a cause's message: capabilities, programs, users."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caplet.explain.explanation import Explanation, Step
    from caplet.kernel.caps import Caps
    from caplet.runtimes.model import Refused

MANY = 8
"""More capabilities than anybody lists are shown as their number."""


def listed(caps: Caps) -> str:
    """`NET_RAW,SYS_TIME`; `41 capabilities`."""
    return ",".join(caps.names()) if len(caps) <= MANY else f"{len(caps)} capabilities"


def program(step: Step) -> str:
    """The file whose attribute counts: of a script, the interpreter."""
    if step.program is None:
        return step.title
    return os.fsdecode(step.program.file.path) if step.program.chain else step.program.argv[0]


def user(explanation: Explanation) -> str:
    """`uid 65532`, as the container sees it."""
    created = explanation.created
    return "the user" if created is None else f"uid {created.seen().euid}"


def said(refused: Refused) -> str:
    """A refusal in its own words, on one line."""
    return " ".join(refused.message.split())
