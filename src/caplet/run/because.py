# SPDX-License-Identifier: Apache-2.0
"""Why a container that was run does not work as its Pod asks, and what to paste: its causes, and its first remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.explain.explanation import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.causes.cause import Found
    from caplet.run.pod import Plan

FEW = 2
"""Remedies that are named; `caplet explain` has them all."""


def because(plan: Plan) -> Iterator[str]:
    """Lines; none where the container has all that it asks for."""
    found = causes(plan)
    for one in found:
        yield f"because {' '.join(one.message.split())} ({one.cause.code} {one.cause.name})"
    if found:
        yield from _remedies(plan)
    for doubt in plan.explanation.doubts:
        yield f"not known: {doubt.what}"


def causes(plan: Plan) -> tuple[Found, ...]:
    """What breaks it on the node, and what it lacks without need. What this machine alone cannot give is in the notes."""
    explanation = plan.explanation
    if explanation.verdict is Verdict.EFFECTIVE and not explanation.ignored:
        return ()
    from caplet.causes.catalogue import causes_of  # forty files, which a container that works does not need

    return tuple(
        one
        for one in causes_of(explanation)
        if (one.weight == "breaks" or one.caps & explanation.lost)
        and not (one.caps and one.caps <= plan.missing)
    )


def _remedies(plan: Plan) -> Iterator[str]:
    """Those that give least."""
    from caplet.remedies.remedies import remedies_of

    for number, remedy in enumerate(remedies_of(plan.explanation)[:FEW]):
        yield f"{'or' if number else 'to mend it'}: {remedy.title}"
        for line in remedy.paste():
            yield f"  {line}"
