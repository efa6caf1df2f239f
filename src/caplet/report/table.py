# SPDX-License-Identifier: Apache-2.0
"""The table of steps: the five sets after each, and why; in three layouts, by the width there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.report.cells import cells, pad, wrap
from caplet.report.printable import shown
from caplet.report.words import step_title, why

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.causes.cause import Found
    from caplet.explain.explanation import Explanation, Step
    from caplet.report.colour import Look, Style
    from caplet.report.setnames import SetNames

SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")
HEADS = ("bounding", "permitted", "effective", "inh", "amb")

WIDEST_STEP = 32
WIDEST_SET = 18
"""The longest name: CHECKPOINT_RESTORE."""
LEAST_WHY = 36
"""With less room, why stands on lines of its own."""
GAP = "  "
INDENT = "  "


@dataclass(frozen=True, slots=True)
class Row:
    step: str
    sets: tuple[str, ...]
    """In the order of `SETS`; empty where there is no process with sets any more."""
    why: str
    codes: tuple[str, ...]
    """`CAP103 wrapper-drops-caps`, of the causes that are here."""
    denied: bool


def rows(explanation: Explanation, causes: Sequence[Found], names: SetNames) -> list[Row]:
    return [_row(step, explanation, causes, names) for step in explanation.steps]


def _row(step: Step, explanation: Explanation, causes: Sequence[Found], names: SetNames) -> Row:
    codes = tuple(f"{found.cause.code} {found.cause.name}" for found in causes if found.step is step)
    title, reason = shown(step_title(step)), shown(why(step, explanation, names))
    if step.after is None:
        return Row(
            title,
            ("",) * len(SETS),
            f"{'denied' if step.errno else 'not loaded' if step.secure is not None else 'fails'}: {reason}",
            codes,
            denied=True,
        )
    sets = (getattr(step.after.caps, name) for name in SETS)
    brief = tuple(names.brief(caps, first=explanation.asked) for caps in sets)
    return Row(title, brief, reason, codes, denied=False)


def table(lines: Sequence[Row], width: int | None, look: Look) -> Iterator[str]:
    """The first layout that fits."""
    if not lines:
        return
    step = min(max(cells(text) for text in ("step", *(row.step for row in lines))), WIDEST_STEP)
    sets = [
        min(max(cells(text) for text in (head, *(row.sets[place] for row in lines))), WIDEST_SET)
        for place, head in enumerate(HEADS)
    ]
    before_why = len(INDENT) + step + sum(sets) + len(GAP) * (len(sets) + 1)
    if width is None or width - before_why >= LEAST_WHY:
        yield from _side_by_side(lines, [step, *sets], None if width is None else width - before_why, look)
    elif width >= len(INDENT) * 2 + sum(sets) + len(GAP) * (len(sets) - 1):
        yield from _stacked(lines, sets, width, look)
    else:
        yield from _listed(lines, width, look)


def _side_by_side(lines: Sequence[Row], widths: Sequence[int], room: int | None, look: Look) -> Iterator[str]:
    """A row a step, as wide as the terminal."""
    yield _joined(INDENT, ("step", *HEADS, "why"), (*widths, 0), ("dim",) * 7, look)
    for row in lines:
        columns = [wrap(text, room) for text, room in zip((row.step, *row.sets), widths, strict=True)]
        reasons = list(_reasons(row, room))
        for place in range(max(len(reasons), *map(len, columns))):
            texts = [column[place] if place < len(column) else "" for column in columns]
            reason, style = reasons[place] if place < len(reasons) else ("", "")
            styles: tuple[Style, ...] = ("bold", "", "", "", "", "", style)
            yield _joined(INDENT, (*texts, reason), (*widths, 0), styles, look)


def _reasons(row: Row, room: int | None) -> Iterator[tuple[str, Style]]:
    """Lines of the last column."""
    for text in wrap(row.why, room):
        yield text, "bad" if row.denied else ""
    for code in row.codes:
        for text in wrap(code, room):
            yield text, "bad"


def _stacked(lines: Sequence[Row], widths: Sequence[int], width: int, look: Look) -> Iterator[str]:
    """The step and why over its sets."""
    deep = INDENT * 2
    yield _joined(deep, HEADS, widths, ("dim",) * 5, look)
    for row in lines:
        yield from _heading(row, width, look)
        if row.denied:
            continue
        columns = [wrap(text, room) for text, room in zip(row.sets, widths, strict=True)]
        for place in range(max(map(len, columns))):
            texts = [column[place] if place < len(column) else "" for column in columns]
            yield _joined(deep, texts, widths, ("",) * 5, look)


def _listed(lines: Sequence[Row], width: int, look: Look) -> Iterator[str]:
    """A line a set."""
    deep = INDENT * 2
    for row in lines:
        yield from _heading(row, width, look)
        if row.denied:
            continue
        for head, text in zip(HEADS, row.sets, strict=True):
            label = pad(head, max(map(len, HEADS)) + 1)
            for place, part in enumerate(wrap(text, width - len(deep) - len(label))):
                yield deep + look.paint(label if place == 0 else " " * len(label), "dim") + look.paint(part)


def _heading(row: Row, width: int, look: Look) -> Iterator[str]:
    room = width - len(INDENT)
    for text in wrap(row.step, room):
        yield INDENT + look.paint(text, "bold")
    for text in wrap(row.why, room - len(INDENT)):
        yield INDENT * 2 + look.paint(text, "bad" if row.denied else "")
    for code in row.codes:
        for text in wrap(code, room - len(INDENT)):
            yield INDENT * 2 + look.paint(text, "bad")


def _joined(
    indent: str, texts: Sequence[str], widths: Sequence[int], styles: Sequence[Style], look: Look
) -> str:
    last = max((place for place, text in enumerate(texts) if text), default=0)
    pieces = []
    for place, (text, width, style) in enumerate(zip(texts, widths, styles, strict=True)):
        if place > last:
            break
        space = "" if place == last else " " * (width - cells(text)) + GAP
        pieces.append(look.paint(text, style) + space)
    return indent + "".join(pieces)
