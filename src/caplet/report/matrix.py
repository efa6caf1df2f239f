# SPDX-License-Identifier: Apache-2.0
"""Containers down, nodes across: the verdict of each, and the code of its first cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.report.cells import cells, wrap
from caplet.report.printable import shown
from caplet.report.verdicts import STYLES, WORKS
from caplet.report.words import title

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.report.colour import Look
    from caplet.report.judged import Judged

GAP = "  "
NARROWEST = 20
"""Cells of the containers' names, which may take half the width."""


def matrix(judged: Sequence[Judged], width: int | None, look: Look) -> Iterator[str]:
    """In blocks of as many nodes as the width has room for."""
    nodes = list(dict.fromkeys(one.explanation.node.name for one in judged))
    lines = rows_of(judged)
    left = max(cells(text) for text in ("container", *(name for name, _ in lines)))
    if width is not None:
        left = min(left, max(width // 2, NARROWEST))
    columns = [(node, max(cells(node), *(cells(_cell(row.get(node))) for _, row in lines))) for node in nodes]
    while columns:
        block = _fitting(columns, left, width)
        yield _line("container", left, [(node, size, "") for node, size in block], look, head=True)
        for name, row in lines:
            shown = [(_cell(row.get(node)), size, node) for node, size in block]
            first, *others = wrap(name, left)
            yield _line(first, left, shown, look, row=row)
            for text in others:
                yield look.paint(text, "bold")
        columns = columns[len(block) :]
        if columns:
            yield ""


def node_lines(judged: Sequence[Judged], width: int | None, look: Look) -> Iterator[str]:
    """What each column stands for in full."""
    for node in {one.explanation.node.name: one.explanation.node for one in judged}.values():
        kubernetes = f" / Kubernetes {node.kubernetes}" if node.kubernetes is not None else ""
        platform = f"{node.platform.title}, " if node.platform is not None else ""
        lines = wrap(f"{node.name} = {platform}{node}{kubernetes} / Linux {node.kernel}", width and width - 4)
        for place, line in enumerate(lines):
            yield ("    " if place else "") + look.paint(line, "dim")


def rows_of(judged: Sequence[Judged]) -> list[tuple[str, dict[str, Judged]]]:
    """A container's name, and by node what was found."""
    found: dict[tuple[object, ...], tuple[str, dict[str, Judged]]] = {}
    for one in judged:
        explanation = one.explanation
        key = (id(explanation.pod.document), explanation.container.path)
        name = shown(f"{title(explanation)} {explanation.container.name}")
        found.setdefault(key, (name, {}))[1][explanation.node.name] = one
    return list(found.values())


def _cell(judged: Judged | None) -> str:
    """`exec-fails CAP102`."""
    if judged is None:
        return "-"
    return f"{judged.explanation.verdict.value} {code_of(judged)}".rstrip()


def code_of(judged: Judged) -> str:
    """Of the first cause that breaks it; nothing for one that works."""
    if judged.explanation.verdict in WORKS:
        return ""
    return next((found.cause.code for found in judged.causes if found.weight == "breaks"), "")


def _fitting(columns: Sequence[tuple[str, int]], left: int, width: int | None) -> Sequence[tuple[str, int]]:
    """The first columns that fit beside the names; one at least."""
    if width is None:
        return columns
    used = left
    for place, (_, size) in enumerate(columns):
        used += len(GAP) + size
        if used > width and place:
            return columns[:place]
    return columns


def _line(
    name: str,
    left: int,
    shown: Sequence[tuple[str, int, str]],
    look: Look,
    *,
    row: dict[str, Judged] | None = None,
    head: bool = False,
) -> str:
    pieces = [look.paint(name, "dim" if head else "bold") + " " * (left - cells(name))]
    for text, size, node in shown:
        judged = None if row is None else row.get(node)
        style = "dim" if head else "" if judged is None else STYLES[judged.explanation.verdict]
        pieces.append(look.paint(text, style) + " " * (size - cells(text)))
    return GAP.join(pieces).rstrip()
