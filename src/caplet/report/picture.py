# SPDX-License-Identifier: Apache-2.0
"""The picture of a page: how each capability comes through the steps, and where it is lost.

Columns are the Pod spec and the steps; a lane is a capability, or several that fare alike; in each field are five cells, P I E B A:
permitted, inheritable, effective, bounding, ambient. The first field in which one that matters is lost says why.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caplet.kernel.caps import NO_CAPS, Cap, Caps, bare
from caplet.kernel.syscalls import Execve
from caplet.report.setnames import SetNames
from caplet.report.words import step_title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.causes.cause import Found
    from caplet.explain.explanation import Explanation, Step
    from caplet.kernel.credentials import ThreadCaps

CELLS = ("permitted", "inheritable", "effective", "bounding", "ambient")
LETTERS = "PIEBA"

Fate = Literal["has", "lost", "lacks"]
"""lost: it ends here. has: it goes on. lacks: it was not there before."""


@dataclass(frozen=True, slots=True)
class Cell:
    letter: str
    name: str
    on: bool


@dataclass(frozen=True, slots=True)
class Field:
    """What one lane is after one step."""

    cells: tuple[Cell, ...]
    fate: Fate
    reason: str = ""
    """Of a loss: `no_new_privs`."""
    code: str = ""
    """Of the cause that says so: CAP103."""
    file: str = ""
    """What the program's file carries of it: `+ep`."""


@dataclass(frozen=True, slots=True)
class Lane:
    caps: Caps
    label: str
    matters: bool
    """Asked for, or carried by a program's file."""
    missed: bool
    """It matters, is needed, and the last program lacks it."""
    spec: str
    """What the Pod says of it: add, drop, default, or nothing."""
    fields: tuple[Field, ...]
    """One for each step."""
    words: str
    """The lane in a sentence."""


@dataclass(frozen=True, slots=True)
class Picture:
    columns: tuple[str, ...]
    """The titles of the steps."""
    lanes: tuple[Lane, ...]


def picture(explanation: Explanation, causes: Sequence[Found]) -> Picture:
    """Lanes that matter first, then by number."""
    names = SetNames.of(explanation.node)
    asked, carried = explanation.asked, _carried(explanation)
    shown = asked | carried
    for step in explanation.steps:
        if step.after is not None:
            shown |= _any(step.after.caps)
    alike: dict[tuple[object, ...], Caps] = {}
    for cap in shown:
        spec = _spec(explanation, cap, names)
        key = (cap in asked | carried, spec, _fields(explanation, causes, cap))
        alike[key] = alike.get(key, NO_CAPS) | Caps.of(cap)
    if not explanation.steps:
        return Picture((), ())
    lanes = [_lane(explanation, causes, caps, asked | carried, names) for caps in alike.values()]
    lanes.sort(key=lambda lane: not lane.matters)
    return Picture(tuple(step_title(step) for step in explanation.steps), tuple(lanes))


def _lane(
    explanation: Explanation, causes: Sequence[Found], caps: Caps, matter: Caps, names: SetNames
) -> Lane:
    one = next(iter(caps))
    fields = _fields(explanation, causes, one)
    label = names.brief(caps)
    held = NO_CAPS if explanation.final is None else explanation.final.caps.permitted
    return Lane(
        caps,
        label,
        one in matter,
        one in matter - held - explanation.needless,
        _spec(explanation, one, names),
        fields,
        _words(explanation, label, fields),
    )


def _words(explanation: Explanation, label: str, fields: tuple[Field, ...]) -> str:
    """`NET_RAW: permitted, effective, bounding after config.json; lost in exec /app: no file capabilities`."""
    parts = []
    for step, field in zip(explanation.steps, fields, strict=True):
        sets = ", ".join(cell.name for cell in field.cells if cell.on) or "in no set"
        lost = f"lost in {step.title}: {field.reason}" if field.fate == "lost" else ""
        parts.append(
            "; then ".join(filter(None, (lost, f"{sets} after {step.title}" if field.cells else "")))
        )
    return f"{label}: {'; '.join(parts)}"


def _fields(explanation: Explanation, causes: Sequence[Found], cap: int) -> tuple[Field, ...]:
    fields: list[Field] = []
    asked = cap in explanation.asked
    for place, step in enumerate(explanation.steps):
        before = place > 0 and _held(step.before.caps, cap)
        carried = step.arithmetic is not None and cap in step.arithmetic.file_permitted
        expected = before or carried or (place == 0 and asked)
        if step.after is None:
            fields.append(_denied(step, causes, cap, expected=expected))
            break
        cells = tuple(
            Cell(letter, name, cap in getattr(step.after.caps, name))
            for letter, name in zip(LETTERS, CELLS, strict=True)
        )
        kept = _held(step.after.caps, cap)
        if expected and not kept:
            reason = _reason(step, explanation, cap)
            fields.append(Field(cells, "lost", reason, _code(step, causes, cap), _file(step, cap)))
        else:
            fields.append(Field(cells, "has" if kept else "lacks", file=_file(step, cap)))
    return tuple(fields)


def _denied(step: Step, causes: Sequence[Found], cap: int, *, expected: bool) -> Field:
    blamed = step.arithmetic is None or cap in step.arithmetic.missing
    reason = step.error or "not loaded"
    return Field(
        (), "lost" if expected and blamed else "lacks", reason, _code(step, causes, cap), _file(step, cap)
    )


def _held(caps: ThreadCaps, cap: int) -> bool:
    """In effect, or the program may make it so."""
    return cap in caps.permitted


def _any(caps: ThreadCaps) -> Caps:
    return caps.permitted | caps.effective | caps.inheritable | caps.bounding | caps.ambient


def _carried(explanation: Explanation) -> Caps:
    """By the files of the programs."""
    found = NO_CAPS
    for step in explanation.steps:
        if step.arithmetic is not None:
            found |= step.arithmetic.file_permitted | step.arithmetic.file_inheritable
    return found


def _reason(step: Step, explanation: Explanation, cap: int) -> str:
    """Two or three words: which rule took it."""
    sums = step.arithmetic
    if step is explanation.steps[0]:
        text = "not granted"
    elif sums is None:
        calls = dict.fromkeys(
            type(call).__name__.lower() for call in step.calls if not isinstance(call, Execve)
        )
        text = ", ".join(calls) or "given up"
    elif not sums.has_file_caps:
        text = "no file capabilities"
    elif sums.downgraded and cap in sums.from_file:
        text = "no_new_privs"
    elif cap not in sums.file_permitted:
        text = "not in the file's set"
    else:
        text = "not in the bounding set"
    return text


def _code(step: Step, causes: Sequence[Found], cap: int) -> str:
    return next((found.cause.code for found in causes if found.step is step and cap in found.caps), "")


def _file(step: Step, cap: int) -> str:
    sums = step.arithmetic
    if sums is None or cap not in sums.file_permitted | sums.file_inheritable:
        return ""
    flags = (
        ("e", sums.file_effective),
        ("i", cap in sums.file_inheritable),
        ("p", cap in sums.file_permitted),
    )
    return "+" + "".join(flag for flag, on in flags if on)


def _spec(explanation: Explanation, cap: int, names: SetNames) -> str:
    context = (explanation.admitted or explanation.container).security_context
    if context.privileged:
        return "privileged"
    if cap in explanation.asked:
        return "add"
    if _named(context.drop, cap):
        return "drop"
    return "default" if cap in names.defaults else ""


def _named(dropped: tuple[str, ...], cap: int) -> bool:
    names = {bare(name) for name in dropped}
    return "ALL" in names or (isinstance(cap, Cap) and cap.name in names)


def short(title: str) -> str:
    """A step's title for a narrow column: `exec /usr/local/bin/app -> /bin/sh` becomes `app -> sh`."""
    if not title.startswith("exec "):
        return title
    files = (part.split(" (")[0] for part in title.removeprefix("exec ").split(" -> "))
    return " -> ".join(os.path.basename(file) or file for file in files)
