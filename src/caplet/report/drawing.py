# SPDX-License-Identifier: Apache-2.0
"""Where everything of a picture stands: coordinates for the template, in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.report.cells import cells, wrap
from caplet.report.picture import short
from caplet.report.printable import shown

if TYPE_CHECKING:
    from caplet.report.picture import Cell, Field, Lane, Picture

CELL = 22
GAP = 3
LEFT = 196
"""Of the first column: the lanes' names."""
SPEC = 88
COLUMN = 176
HEAD = 46
LANE = 78
LINE = 16
NAME_CELLS = 20
"""Characters that a line of a title or a name has room for."""
REASON_CELLS = 25


@dataclass(frozen=True, slots=True)
class Box:
    x: int
    y: int
    cell: Cell


@dataclass(frozen=True, slots=True)
class Text:
    x: int
    y: int
    text: str
    full: str = ""


@dataclass(frozen=True, slots=True)
class Arrow:
    x1: int
    x2: int
    y: int


@dataclass(frozen=True, slots=True)
class Place:
    """One field of a lane."""

    field: Field
    boxes: tuple[Box, ...]
    stop: Text | None
    """Where a program did not start."""
    reason: Text | None
    code: Text | None
    file: Text | None
    arrow: Arrow | None
    """From the field before, where it still had the capability."""


@dataclass(frozen=True, slots=True)
class Row:
    lane: Lane
    y: int
    labels: tuple[Text, ...]
    """Lines."""
    spec: Text
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    width: int
    height: int
    heads: tuple[Text, ...]
    """Two lines a column."""
    rows: tuple[Row, ...]
    lane: int = LANE
    cell: int = CELL


def draw(picture: Picture) -> Drawing:
    heads = [Text(LEFT, HEAD - 12, "Pod spec")]
    for place, title in enumerate(picture.columns):
        heads += _lines(short(title), title, _column(place), HEAD - 12, 2, bottom=True)
    rows = tuple(_row(lane, HEAD + number * LANE) for number, lane in enumerate(picture.lanes))
    return Drawing(_column(len(picture.columns)), HEAD + LANE * len(rows) + 6, tuple(heads), rows)


def _row(lane: Lane, top: int) -> Row:
    middle = top + LANE // 2 - 6
    places = []
    flowing = lane.spec in {"add", "default", "privileged"}
    before = LEFT + SPEC - 34
    for number, field in enumerate(lane.fields):
        x = _column(number)
        arrow = Arrow(before, x - 5, middle) if flowing else None
        places.append(_place(field, x, middle, arrow))
        flowing = field.fate == "has"
        before = x + 5 * (CELL + GAP) + 3
    labels = _lines(lane.label, ", ".join(lane.caps.names()), 8, middle + 5, 3)
    return Row(lane, top, labels, Text(LEFT, middle + 5, lane.spec or "-"), tuple(places))


def _place(field: Field, x: int, middle: int, arrow: Arrow | None) -> Place:
    boxes = tuple(
        Box(x + place * (CELL + GAP), middle - CELL // 2, cell) for place, cell in enumerate(field.cells)
    )
    below = Text(x, middle + CELL // 2 + 15, _cut(field.reason, REASON_CELLS), field.reason)
    stop = None if field.cells else Text(x, middle + 5, "does not start")
    return Place(
        field,
        boxes,
        stop,
        below if field.reason else None,
        Text(x, middle + CELL // 2 + 29, field.code) if field.code else None,
        Text(x, middle - CELL // 2 - 7, f"file {field.file}") if field.file else None,
        arrow,
    )


def _lines(text: str, full: str, x: int, y: int, most: int, *, bottom: bool = False) -> tuple[Text, ...]:
    """Broken to lines: around y, or ending there."""
    lines = wrap(shown(text), NAME_CELLS)
    if len(lines) > most:
        lines = [*lines[: most - 1], _cut(" ".join(lines[most - 1 :]), NAME_CELLS)]
    start = y - LINE * (len(lines) - 1) // (1 if bottom else 2)
    return tuple(Text(x, start + LINE * place, line, full) for place, line in enumerate(lines))


def _column(place: int) -> int:
    return LEFT + SPEC + place * COLUMN


def _cut(text: str, room: int) -> str:
    return text if cells(text) <= room else text[: room - 1] + "…"
