# SPDX-License-Identifier: Apache-2.0
"""Text in the cells of a terminal: how many it takes, and where it breaks."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

NARROWEST = 8
"""No column is made narrower."""


def cells(text: str) -> int:
    """Two for wide characters, none for marks that combine: Unicode Standard Annex #11."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(char) in {"Mn", "Me"} else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )


def pad(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def wrap(text: str, width: int | None) -> list[str]:
    """Lines of no more than `width` cells: broken at spaces and behind commas, in the middle of a word that is longer."""
    if width is None or cells(text) <= width:
        return [text]
    width = max(width, NARROWEST)
    lines: list[str] = []
    line = ""
    for word in _words(text):
        if cells((line + word).rstrip()) <= width:
            line = line + word if line else word.lstrip()
            continue
        if line.strip():
            lines.append(line.rstrip())
        line = word.lstrip()
        while cells(line.rstrip()) > width:
            head = _head(line, width)
            lines.append(head)
            line = line[len(head) :]
    if line.strip():
        lines.append(line.rstrip())
    return lines


def labelled(label: str, lines: Sequence[str], column: int) -> list[str]:
    """The label before the first line, the others below it."""
    return [
        f"{pad(label, column)}{line}" if place == 0 else " " * column + line
        for place, line in enumerate(lines)
    ]


def _words(text: str) -> list[str]:
    """Each with the space before it, and the comma behind it."""
    return [word for word in re.findall(r"\s*[^\s,]*,*", text) if word]


def _head(text: str, width: int) -> str:
    used = 0
    for place, char in enumerate(text):
        used += cells(char)
        if used > width:
            return text[:place]
    return text
