# SPDX-License-Identifier: Apache-2.0
"""Why a container that was run does not work as its Pod asks, and what to paste: its causes, and its first remedies."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from caplet.explain.explanation import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.causes.cause import Found
    from caplet.remedies.remedy import Remedy
    from caplet.run.pod import Plan

FEW = 2
"""Remedies that are shown; `caplet explain` shows them all."""


def because(plan: Plan) -> Iterator[str]:
    """Lines; none where the container has all that it asks for."""
    found = causes(plan)
    yield from _reasons(found)
    if found:
        yield from _to_mend(plan)
    yield from _doubts(plan)


def sentences(plan: Plan) -> tuple[str, ...]:
    """The same without what would mend it."""
    return (*_reasons(causes(plan)), *_doubts(plan))


def _reasons(found: tuple[Found, ...]) -> Iterator[str]:
    for one in found:
        yield f"because {' '.join(one.message.split())} ({one.cause.code} {one.cause.name})"


def _doubts(plan: Plan) -> Iterator[str]:
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


def remedies(plan: Plan) -> tuple[Remedy, ...]:
    """What mends it, what gives least first; none where nothing is lost."""
    if not causes(plan):
        return ()
    from caplet.remedies.remedies import remedies_of

    return remedies_of(plan.explanation)


def _to_mend(plan: Plan) -> Iterator[str]:
    every = remedies(plan)
    for number, remedy in enumerate(every[:FEW]):
        yield f"{'or' if number else 'to mend it'}: {remedy.title}"
        for line in remedy.paste():
            yield f"  {line}"
    if len(every) > FEW:
        yield f"{len(every) - FEW} more: {_explain(plan)}"


def _explain(plan: Plan) -> str:
    """The command that shows all of them, for a shell."""
    explanation = plan.explanation
    words = ["caplet", "explain", "-f", explanation.pod.document.name]
    if len(explanation.pod.every_container) > 1:
        words += ["--container", explanation.container.name]
    if explanation.image is not None and explanation.image.reference != explanation.container.image:
        words += ["--image", explanation.image.reference]
    return shlex.join([*words, "--on", explanation.node.name])
