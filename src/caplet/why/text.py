# SPDX-License-Identifier: Apache-2.0
"""An Answer as lines of text, from the cause to what to paste; what decides it below each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.remedies.remedies import remedies_of
from caplet.why.wording import Worth, is_of_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caplet.remedies.remedy import Remedy
    from caplet.runtimes.node import Node
    from caplet.why.answer import Answer, Decided
    from caplet.why.candidate import Candidate
    from caplet.why.clue import Clue

MAX_SEEN = 5
"""Lines that are shown of what was seen: the causes count."""

MAX_POSSIBLE = 6
"""Of the less likely causes, by name only; JSON has all."""

OF_FILES = (
    "perhaps    the file permissions of the image or the volume for this user, not a capability: "
    "ls -ln of the path, runAsUser, fsGroup; root heeds them too where DAC_OVERRIDE is dropped"
)


def lines(answer: Answer) -> Iterator[str]:
    """Not yet printable: a clue is anybody's text."""
    shown: list[Remedy] = []
    for one in answer.answered or answer.decided:
        yield from _decided(one, shown, assumed=answer.assumed)
    if not answer.answered:
        if answer.decided:
            yield "it answers none of these lines:" if answer.clues else ""
        yield from (f"saw        {_clue(clue)}" for clue in answer.clues[-MAX_SEEN:])
        yield from (f"image      {fact}" for fact in answer.facts)
        if answer.node is not None:
            yield f"on         {_node(answer.node, assumed=answer.assumed)}"
        yield from dict.fromkeys(answer.impossible.values())
        yield from _open(answer)
    if answer.refuted and answer.open:
        yield f"ruled out  {', '.join(f'{one.code} {one.name}' for one in answer.refuted)}"
    yield from (f"to decide  {need}" for need in answer.needs)


def _open(answer: Answer) -> Iterator[str]:
    likely = [one for one in answer.open if one.worth is not Worth.POSSIBLE]
    possible = [one for one in answer.open if one.worth is Worth.POSSIBLE]
    if not answer.candidates:
        yield "no cause that caplet knows"
        if any(is_of_files(clue.text) for clue in answer.clues):
            yield OF_FILES
    if likely:
        yield "likely"
        yield from _candidates(likely)
    if possible and (not likely or len(possible) <= MAX_POSSIBLE):
        yield "possible"
        yield from _candidates(possible)
    elif possible:
        names = ", ".join(f"{one.cause.code} {one.cause.name}" for one in possible[:MAX_POSSIBLE])
        yield f"possible   {names}, {len(possible) - MAX_POSSIBLE} more"
    for cause in answer.hints:
        yield f"see also   {cause.code} {cause.name}: {cause.summary}"


def _candidates(those: Iterable[Candidate]) -> Iterator[str]:
    for one in those:
        yield f"  {one.cause.code} {one.cause.name}: {one.where}"


def _decided(one: Decided, shown: list[Remedy], *, assumed: bool) -> Iterator[str]:
    whose = f" (container {one.container})" if one.container else ""
    yield f"{one.cause.code} {one.cause.name}: {one.cause.summary}{whose}"
    for clue in one.clues[-MAX_SEEN:]:
        yield f"  saw      {_clue(clue)}"
    yield f"  because  {one.message}"
    if one.explanation is not None:
        yield f"  on       {_node(one.explanation.node, assumed=assumed)}"
    remedies = () if one.explanation is None else remedies_of(one.explanation)
    for number, remedy in enumerate(remedies, 1):
        yield f"  remedy {number} {remedy.title}"
        if any(remedy.title == before.title and remedy.paste() == before.paste() for before in shown):
            yield "           as above"
            continue
        shown.append(remedy)
        if remedy.why:
            yield f"           {remedy.why}"
        yield from (f"           {line}" for line in remedy.paste())
    yield f"  more     caplet cause {one.cause.code}"


def _node(node: Node, *, assumed: bool) -> str:
    return f"{node}, assumed: --on says another" if assumed else str(node)


def _clue(clue: Clue) -> str:
    return clue.text + (f"   ({clue.source})" if clue.source else "")
