# SPDX-License-Identifier: Apache-2.0
"""answer(): which cause it was, which it may be, and what would decide."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caplet.causes.catalogue import CAUSES, causes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from caplet.causes.cause import Cause, Found
    from caplet.explain.explanation import Explanation

MAX_LINE = 4096
"""Characters of a line that are looked at: a program's stack trace on one line has no cause behind its first page."""

MAX_LINES = 100_000
"""Lines of one log; the last ones, which are about the end."""

FIRST_WORDS = ("exec", "fork/exec")


@dataclass(frozen=True, slots=True)
class Clue:
    """Something that was seen."""

    text: str
    """One line."""
    source: str = ""
    """Where: `log line 3`, `event Failed`, `state of container web`."""
    container: str = ""
    """Whose it is; empty where it may be any."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cause that a clue may be of."""

    cause: Cause
    clue: Clue
    program: str = ""
    """The file that the clue names."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A cause that is there."""

    found: Found
    explanation: Explanation
    clues: tuple[Clue, ...]
    """Those that it answers; empty where it is there and no clue speaks of it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known."""

    clues: tuple[Clue, ...]
    candidates: tuple[Candidate, ...]
    decided: tuple[Decided, ...] = ()
    """Those that answer a clue first."""
    needs: tuple[str, ...] = ()
    """What would decide, where nothing is decided."""
    explanations: tuple[Explanation, ...] = field(default=())

    @property
    def open(self) -> tuple[Candidate, ...]:
        """Candidates, each cause once, as long as none is decided."""
        if any(one.clues for one in self.decided):
            return ()
        seen: dict[str, Candidate] = {}
        for candidate in self.candidates:
            seen.setdefault(candidate.cause.code, candidate)
        return tuple(seen.values())


def clues_of(text: str, source: str = "", container: str = "") -> tuple[Clue, ...]:
    """Each line that some cause knows; of a text without such a line, its first one."""
    lines = [line.strip()[:MAX_LINE] for line in text.splitlines() if line.strip()][-MAX_LINES:]
    known = {}
    for number, line in enumerate(lines, 1):
        if line not in known and any(log.match(line) for cause in CAUSES for log in cause.logs):
            where = f"{source} {number}".strip() if len(lines) > 1 else source
            known[line] = Clue(line, where, container)
    if not known and lines:
        return (Clue(lines[0], source, container),)
    return tuple(known.values())


def candidates_of(clues: Iterable[Clue]) -> tuple[Candidate, ...]:
    """Every cause whose log lines match, clue by clue."""
    found = []
    for clue in clues:
        for cause in CAUSES:
            match = next((m for log in cause.logs if (m := log.match(clue.text))), None)
            if match is not None:
                found.append(Candidate(cause, clue, (match.groupdict().get("program") or "").strip("`'\"")))
    return tuple(found)


def answer(
    clues: Sequence[Clue],
    explained: Sequence[Callable[[tuple[tuple[str, ...], ...]], Explanation]] = (),
) -> Answer:
    """Choose among the candidates. `explained`: for each container, its Explanation where some programs follow the known ones."""
    candidates = candidates_of(clues)
    programs = _programs(candidates)
    explanations = [_reaching(explain, programs) for explain in explained]
    decided = [
        Decided(found, one, _clues_for(found, one, candidates))
        for one in explanations
        for found in causes_of(one)
        if found.weight == "breaks" or _clues_for(found, one, candidates)
    ]
    decided.sort(key=lambda one: not one.clues)
    needs = () if any(one.clues for one in decided) else tuple(_needs(candidates, explanations))
    return Answer(tuple(clues), candidates, tuple(decided), needs, tuple(explanations))


def _programs(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.program for one in candidates if one.program.startswith("/")))


def _reaching(
    explain: Callable[[tuple[tuple[str, ...], ...]], Explanation], programs: tuple[str, ...]
) -> Explanation:
    """The container's Explanation, followed to a program that a clue names, where it does not come by it by itself."""
    explanation = explain(())
    ran = {step.program.argv[0] for step in explanation.executions if step.program is not None}
    ran |= {
        link.path.decode("utf-8", "replace")
        for step in explanation.executions
        if step.program
        for link in step.program.chain
    }
    missing = [one for one in programs if one not in ran]
    if explanation.starts and missing:
        return explain(((missing[-1],),))
    return explanation


def _clues_for(found: Found, explanation: Explanation, candidates: Iterable[Candidate]) -> tuple[Clue, ...]:
    name = explanation.container.name
    return tuple(
        dict.fromkeys(
            one.clue for one in candidates if one.cause is found.cause and one.clue.container in ("", name)
        )
    )


def _needs(candidates: Sequence[Candidate], explanations: Sequence[Explanation]) -> Iterable[str]:
    if not explanations:
        if candidates:
            yield "the Pod: -f pod.yaml, or live: caplet why pod/NAME"
            yield "its image: --image oci:DIR"
        else:
            yield "a line of the log or of `kubectl describe pod` that says what failed"
        return
    for one in explanations:
        for doubt in one.open_questions:
            yield f"container {one.container.name}: {doubt.what}; to be decided by: {doubt.decided_by}"
    if any(one.image is None for one in explanations):
        return
    if candidates:
        listed = ", ".join(dict.fromkeys(one.cause.code for one in candidates))
        yield f"the node: by the Pod, the image and {explanations[0].node} none of {listed} is there; caplet verify on the node itself"


def quoted(argv: tuple[str, ...]) -> str:
    """A command line to paste."""
    return shlex.join(argv)
