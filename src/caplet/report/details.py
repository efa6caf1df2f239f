# SPDX-License-Identifier: Apache-2.0
"""One container on one node, or on several that make the same of it: heading, table, verdict, causes, remedies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.report.cells import cells, wrap
from caplet.report.colour import Look
from caplet.report.formula import SHORT, formula
from caplet.report.printable import shown
from caplet.report.setnames import SetNames
from caplet.report.table import SETS, rows, table
from caplet.report.verdicts import STYLES, WORKS
from caplet.report.words import (
    container_title,
    flat,
    identity,
    image_name,
    not_found,
    ports,
    secure,
    seen_by_users,
    title,
    verdict,
)
from caplet.report.yamltext import yaml_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from caplet.explain.explanation import Explanation, Step
    from caplet.kernel.caps import Caps
    from caplet.remedies.remedy import Remedy
    from caplet.report.colour import Style
    from caplet.report.judged import Judged
    from caplet.runtimes.node import Node

LABEL = 10
"""Cells of the word before a line; `remedy 12` is the longest."""


def heading(explanation: Explanation, on: str, width: int | None, look: Look) -> Iterator[str]:
    """`deployment/web  container http  image ...  uid 65535  on containerd 2.1.9 / runc 1.3.6`."""
    parts = (
        title(explanation),
        container_title(explanation),
        f"image {image_name(explanation)}",
        identity(explanation),
        f"on {on}",
    )
    line = ""
    for part in (shown(part) for part in parts if part):
        if line and width is not None and cells(f"{line}  {part}") > width:
            yield from _bold(line, width, look)
            line = f"    {part}"
        else:
            line = f"{line}  {part}" if line else part
    yield from _bold(line, width, look)


def _bold(line: str, width: int | None, look: Look) -> Iterator[str]:
    for text in wrap(line, width):
        yield look.paint(text, "bold")


def body(judged: Judged, width: int | None, look: Look, *, wide: bool, alone: bool = True) -> Iterator[str]:
    """All but the heading. `alone`: it is said of one node, and may name it."""
    explanation = judged.explanation
    names = SetNames.of(explanation.node)
    yield from table(rows(explanation, judged.causes, names), width, look)
    if wide:
        yield from _legend(explanation, names, width, look)
    label = _Labels(width, look, {} if alone else _versions(explanation.node))
    yield from label("verdict", verdict(explanation, names), STYLES[explanation.verdict])
    if line := seen_by_users(explanation):
        yield from label("event" if not_found(explanation) else "log", line)
    for text in ports(explanation, who=alone):
        yield from label("port", text)
    for text in secure(explanation):
        yield from label("AT_SECURE", text)
    yield from _causes(judged, names, label)
    for doubt in explanation.open_questions:
        yield from label("unknown", doubt.what, "unsure")
        yield from label("", f"to decide: {doubt.decided_by}")
    for text in notes(explanation):
        yield from label("note", text)
    for number, remedy in enumerate(judged.remedies, 1):
        yield from _remedy(number, remedy, explanation, label)


def notes(explanation: Explanation) -> tuple[str, ...]:
    """The explanation's, and what the OCI runtime says of names that it does not know."""
    if not explanation.ignored:
        return explanation.notes
    node = explanation.node
    said = node.runtime.warning(explanation.ignored, node.runtime_version)
    left_out = f"{node.runtime.name} leaves {', '.join(explanation.ignored)} out"
    return (*explanation.notes, f"{left_out}: {said}" if said else left_out)


def _versions(node: Node) -> Mapping[str, str]:
    """A node's programs in their releases, and what to call them where it is said of several."""
    engine, runtime = node.engine.title, node.runtime.name
    return {f"{engine} {node.engine_version}": engine, f"{runtime} {node.runtime_version}": runtime}


class _Labels:
    """Lines behind a word of the left margin. `instead`: what is said in place of some text."""

    def __init__(self, width: int | None, look: Look, instead: Mapping[str, str]) -> None:
        self.width = None if width is None else width - LABEL
        self.look = look
        self.instead = instead

    def __call__(self, label: str, text: str, style: Style = "") -> Iterator[str]:
        for said, instead in self.instead.items():
            text = text.replace(said, instead)
        for place, line in enumerate(wrap(shown(text), self.width)):
            first = label if place == 0 else ""
            yield (
                self.look.paint(first, "dim") + " " * (LABEL - len(first)) + self.look.paint(line, style)
            ).rstrip()

    def fitting(self, *forms: tuple[str, ...]) -> tuple[str, ...]:
        """The first that has room, else the last."""
        room = self.width
        return next((form for form in forms if room is None or max(map(cells, form)) + 2 <= room), forms[-1])

    def verbatim(self, text: str, style: Style = "code") -> Iterator[str]:
        """To be copied: never broken."""
        for line in text.splitlines():
            yield " " * (LABEL + 2) + self.look.paint(line, style)


def _causes(judged: Judged, names: SetNames, label: _Labels) -> Iterator[str]:
    """With the formula of the step where it happens, each once."""
    works = judged.explanation.verdict in WORKS
    shown: list[Step] = []
    for found in judged.causes:
        style: Style = "bad" if found.weight == "breaks" and not works else ""
        word = "cause" if found.weight == "breaks" else "hint"
        yield from label(word, f"{found.cause.code} {found.cause.name}: {flat(found.message)}", style)
        step = found.step
        if step is None or step.arithmetic is None or any(step is one for one in shown):
            continue
        shown.append(step)
        lines = label.fitting(formula(step.arithmetic, names), formula(step.arithmetic, names, SHORT))
        for line in lines:
            yield from label.verbatim(line, "dim")


def _legend(explanation: Explanation, names: SetNames, width: int | None, look: Look) -> Iterator[str]:
    """In full what the table shortens."""
    sets: list[Caps] = [
        getattr(step.after.caps, name)
        for step in explanation.steps
        if step.after is not None
        for name in SETS
    ]
    for text, caps in names.legend(tuple(sets)).items():
        for place, line in enumerate(wrap(f"{text} = {', '.join(caps.names())}", width and width - 4)):
            yield ("  " if place == 0 else "    ") + look.paint(line, "dim")


def _remedy(number: int, remedy: Remedy, before: Explanation, label: _Labels) -> Iterator[str]:
    text = f"{remedy.title} -> {remedy.explanation.verdict.value}"
    yield from label(f"remedy {number}", text, "bold")
    if remedy.why:
        yield from label("", remedy.why)
    if remedy.patch is not None:
        yield from label("", f"patch of {title(before)}:")
        yield from label.verbatim(yaml_text(remedy.patch))
    elif remedy.fragment is not None:
        yield from label("", f"fragment of {title(before)}:")
        yield from label.verbatim(yaml_text(remedy.fragment))
    for command in remedy.commands:
        yield from label.verbatim(command)


def same(judged: Sequence[Judged]) -> list[list[Judged]]:
    """Groups of one container in which what is said is the same: all but the node."""
    plain = Look()
    groups: dict[tuple[object, ...], list[Judged]] = {}
    for one in judged:
        container = one.explanation.container
        said = tuple(body(one, None, plain, wide=True, alone=False))
        groups.setdefault((id(one.explanation.pod.document), container.path, said), []).append(one)
    return list(groups.values())
