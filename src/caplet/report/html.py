# SPDX-License-Identifier: Apache-2.0
"""`-o html`: one page that needs nothing besides itself: no script, no network, its policy says so to the browser.

Every value is escaped twice over: control and bidi characters by `printable`, then markup by Jinja2.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from caplet.errors import Unavailable
from caplet.report.details import notes, same
from caplet.report.drawing import draw
from caplet.report.formula import formula
from caplet.report.matrix import code_of, rows_of
from caplet.report.picture import picture
from caplet.report.printable import shown
from caplet.report.setnames import SetNames
from caplet.report.table import SETS, rows
from caplet.report.verdicts import STYLES
from caplet.report.words import (
    container_title,
    flat,
    identity,
    image_name,
    ports,
    secure,
    seen_by_users,
    title,
    verdict,
)
from caplet.report.yamltext import yaml_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jinja2 import Template

    from caplet.causes.cause import Found
    from caplet.explain.explanation import Doubt
    from caplet.remedies.remedy import Remedy
    from caplet.report.drawing import Drawing
    from caplet.report.judged import Judged
    from caplet.report.table import Row


def page(judged: Sequence[Judged]) -> str:
    """The whole document."""
    groups = same(judged)
    anchors = {id(one): f"c{number}" for number, group in enumerate(groups, 1) for one in group}
    parts = [_part(group, anchors[id(group[0])]) for group in groups]
    named = {part.title for part in parts}
    style = _resource("page.css")
    return _template().render(
        title=f"caplet explain: {named.pop()}" if len(named) == 1 else "caplet explain",
        style=_trusted(style),
        style_hash=_hash(style),
        matrix=_matrix(judged, anchors),
        parts=parts,
    )


@dataclass(frozen=True, slots=True)
class Part:
    """A container, on the nodes that make the same of it."""

    anchor: str
    title: str
    container: str
    image: str
    identity: str
    on: str
    verdict: str
    outcome: str
    style: str
    log: str
    ports: tuple[str, ...]
    secure: tuple[str, ...]
    drawing: Drawing
    rows: list[Row]
    legend: list[tuple[str, str]]
    causes: list[dict[str, Any]]
    doubts: tuple[Doubt, ...]
    remedies: list[dict[str, Any]]
    notes: tuple[str, ...]
    assumed: str


def _part(group: Sequence[Judged], anchor: str) -> Part:
    judged = group[0]
    explanation = judged.explanation
    names = SetNames.of(explanation.node)
    sets = [
        getattr(step.after.caps, name)
        for step in explanation.steps
        if step.after is not None
        for name in SETS
    ]
    word, _, outcome = verdict(explanation, names).partition(": ")
    alone = len(group) == 1
    return Part(
        anchor=anchor,
        title=title(explanation),
        container=container_title(explanation),
        image=image_name(explanation),
        identity=identity(explanation),
        on=str(explanation.node) if alone else ", ".join(one.explanation.node.name for one in group),
        verdict=word,
        outcome=outcome,
        style=STYLES[explanation.verdict],
        log=seen_by_users(explanation),
        ports=ports(explanation, who=alone),
        secure=secure(explanation),
        drawing=draw(picture(explanation, judged.causes)),
        rows=rows(explanation, judged.causes, names),
        legend=[(text, ", ".join(caps.names())) for text, caps in names.legend(tuple(sets)).items()],
        causes=_causes(judged.causes, names),
        doubts=explanation.open_questions,
        remedies=[_remedy(remedy) for remedy in judged.remedies],
        notes=notes(explanation),
        assumed="; ".join(explanation.node.assumed) if alone else "",
    )


def _causes(causes: Sequence[Found], names: SetNames) -> list[dict[str, Any]]:
    """The formula of a step stands with the first cause that happens there."""
    first = {id(found.step): found for found in reversed(causes)}
    return [_cause(found, names, told=first[id(found.step)] is not found) for found in causes]


def _cause(found: Found, names: SetNames, *, told: bool) -> dict[str, Any]:
    sums = found.step.arithmetic if found.step is not None and not told else None
    return {
        "code": found.cause.code,
        "name": found.cause.name,
        "message": flat(found.message),
        "formula": () if sums is None else formula(sums, names),
        "page": found.cause.text.splitlines(),
    }


def _remedy(remedy: Remedy) -> dict[str, Any]:
    after = remedy.explanation.verdict
    return {
        "title": remedy.title,
        "why": remedy.why,
        "verdict": after.value,
        "style": STYLES[after],
        "patch": () if remedy.patch is None else yaml_text(remedy.patch).splitlines(),
        "fragment": () if remedy.fragment is None else yaml_text(remedy.fragment).splitlines(),
        "commands": remedy.commands,
    }


def _matrix(judged: Sequence[Judged], anchors: dict[int, str]) -> dict[str, Any]:
    nodes = {one.explanation.node.name: one.explanation.node for one in judged}
    lines = []
    for name, found in rows_of(judged):
        shown: list[dict[str, str] | None] = []
        for node in nodes:
            one = found.get(node)
            verdict_ = None if one is None else one.explanation.verdict
            shown.append(
                None
                if one is None or verdict_ is None
                else {
                    "anchor": anchors[id(one)],
                    "verdict": verdict_.value,
                    "style": STYLES[verdict_],
                    "code": code_of(one),
                }
            )
        lines.append({"name": name, "cells": shown})
    return {"nodes": [{"name": name, "text": str(node)} for name, node in nodes.items()], "rows": lines}


@functools.cache
def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise Unavailable(
            "the page is made with Jinja2, which is not installed", "pip install 'caplet[report]'"
        ) from None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    return environment.from_string(_resource("page.html.jinja"))


def _shown(value: object) -> object:
    """What is put into the page, before its markup is escaped."""
    return shown(str(value)) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _trusted(text: str) -> object:
    """The style sheet: ours, and in an element whose text is not escaped."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  # a constant file of this package


def _resource(name: str) -> str:
    return files("caplet.report").joinpath(name).read_text(encoding="utf-8")


def _hash(style: str) -> str:
    """As a Content-Security-Policy names an inline style sheet."""
    return f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}"
