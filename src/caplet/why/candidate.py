# SPDX-License-Identifier: Apache-2.0
"""candidates_of(): the causes that a line may be of, by its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.causes.catalogue import CAUSES
from caplet.kernel.caps import NO_CAPS, Caps
from caplet.why.clue import comparable
from caplet.why.wording import FIRST_FREE_PORT, WHERE, Worth, about, is_of_exec, is_own, rank, worth

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.causes.cause import Cause, Log
    from caplet.why.clue import Clue


@dataclass(frozen=True, slots=True)
class Candidate:
    """A cause that a clue may be of."""

    cause: Cause
    clue: Clue
    worth: Worth
    program: str = ""
    """The file that the clue names."""
    port: int | None = None
    about: Caps = NO_CAPS
    """The capability that the clue is about; none where it may be any."""
    execs: bool = False
    """The line says that a program does not start."""
    place: int = 0
    """Among those that share the line."""

    @property
    def where(self) -> str:
        """In which containers the line means this cause."""
        return WHERE.get(self.cause.code, self.cause.summary)


def candidates_of(clues: Iterable[Clue]) -> tuple[Candidate, ...]:
    """Every cause whose log lines match; what decides first, then what is likely."""
    found = [one for clue in clues for cause in CAUSES if (one := _candidate(cause, clue)) is not None]
    return tuple(sorted(found, key=lambda one: (one.worth, one.place)))


def _candidate(cause: Cause, clue: Clue) -> Candidate | None:
    """By the log line that is worth most; None where it is about a port that anybody may bind."""
    line = comparable(clue.text)
    logs = (log for log in cause.logs if is_own(log, line))
    found = [one for log in logs if (one := _matched(cause, log, clue, line)) is not None]
    if any(one.port is not None and one.port >= FIRST_FREE_PORT for one in found):
        return None
    return min(found, key=lambda one: one.worth, default=None)


def _matched(cause: Cause, log: Log, clue: Clue, line: str) -> Candidate | None:
    match = log.match(line)
    if match is None:
        return None
    named = match.groupdict()
    return Candidate(
        cause,
        clue,
        worth(cause, log, line),
        program=(named.get("program") or "").strip("`'\""),
        port=int(named["port"]) if named.get("port") else None,
        about=about(log),
        execs=is_of_exec(log),
        place=rank(cause, log),
    )
