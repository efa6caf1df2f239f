# SPDX-License-Identifier: Apache-2.0
"""`-o table` and `-o wide`: each container in full, or a matrix where there are several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.report.cells import labelled, wrap
from caplet.report.colour import Look
from caplet.report.details import LABEL, body, heading, same
from caplet.report.matrix import matrix, node_lines
from caplet.report.printable import printable
from caplet.report.verdicts import WORKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.report.judged import Judged

NARROWEST = 40
"""Cells; a terminal that claims less gets lines of this width."""


def report(
    judged: Sequence[Judged], width: int | None = None, *, colour: bool = False, wide: bool = False
) -> Iterator[str]:
    """Lines without a line feed. `width` None: lines as long as they come; `colour`: arrows too."""
    look = Look(colour, arrows=colour)
    room = None if width is None else max(width, NARROWEST)
    names = dict.fromkeys(one.explanation.node.name for one in judged)
    if len(names) > 1:
        yield from _on_several(judged, room, look, wide=wide)
        return
    for one in judged:
        yield from heading(one.explanation, str(one.explanation.node), room, look)
        yield from body(one, room, look, wide=wide)
        yield ""
    yield from _assumed(judged, room, look)


def _on_several(judged: Sequence[Judged], width: int | None, look: Look, *, wide: bool) -> Iterator[str]:
    """The matrix, then those that do not work; with `wide` all."""
    yield from matrix(judged, width, look)
    yield ""
    yield from node_lines(judged, width, look)
    shown = [one for one in judged if wide or one.explanation.verdict not in WORKS]
    for group in same(shown):
        yield ""
        on = ", ".join(one.explanation.node.name for one in group)
        yield from heading(group[0].explanation, on, width, look)
        yield from body(group[0], width, look, wide=wide, alone=len(group) == 1)


def _assumed(judged: Sequence[Judged], width: int | None, look: Look) -> Iterator[str]:
    """What was not said of the node but chosen."""
    words = dict.fromkeys(text for one in judged for text in one.explanation.node.assumed)
    if not words:
        return
    lines = wrap(printable("; ".join(words)), width and width - LABEL)
    for line in labelled("assumed", lines, LABEL):
        yield look.paint(line, "dim")
