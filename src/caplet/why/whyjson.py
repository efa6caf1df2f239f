# SPDX-License-Identifier: Apache-2.0
"""An Answer as a JSON document. Fields are described in docs/cli/why.md; none is ever left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caplet.remedies.remedies import remedies_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.causes.cause import Cause
    from caplet.why.answer import Answer, Decided

SCHEMA_VERSION = 1


def document(answer: Answer, notes: Sequence[str] = ()) -> dict[str, Any]:
    """What json.dumps takes."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "answered": bool(answer.answered),
        "clues": [
            {"text": one.text, "source": one.source or None, "container": one.container or None}
            for one in answer.clues
        ],
        "node": None if answer.node is None else str(answer.node),
        "nodeAssumed": answer.assumed,
        "impossible": [{"clue": clue.text, "why": why} for clue, why in answer.impossible.items()],
        "causes": [_decided(one) for one in answer.decided],
        "candidates": [
            {
                **_cause(one.cause),
                "worth": one.worth.name.lower(),
                "where": one.where,
                "clue": one.clue.text,
                "program": one.program or None,
                "port": one.port,
            }
            for one in answer.open
        ],
        "hints": [_cause(one) for one in answer.hints],
        "ruledOut": [_cause(one) for one in answer.refuted],
        "facts": list(answer.facts),
        "needs": list(answer.needs),
        "notes": list(notes),
    }


def _cause(cause: Cause) -> dict[str, str]:
    return {"code": cause.code, "name": cause.name, "summary": cause.summary}


def _decided(one: Decided) -> dict[str, Any]:
    explanation = one.explanation
    return {
        **_cause(one.cause),
        "message": one.message,
        "container": one.container or None,
        "node": None if explanation is None else str(explanation.node),
        "by": "text" if explanation is None else "explanation",
        "clues": [clue.text for clue in one.clues],
        "remedies": [
            {
                "title": remedy.title,
                "why": remedy.why,
                "patch": remedy.patch,
                "fragment": remedy.fragment,
                "commands": list(remedy.commands),
            }
            for remedy in (() if explanation is None else remedies_of(explanation))
        ],
    }
