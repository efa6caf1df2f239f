# SPDX-License-Identifier: Apache-2.0
"""What is known at one place of a script. Where two ways meet, what differs between them is no longer known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from caplet.image.wrappers.model import SetcapAtRunTime, Unsure

if TYPE_CHECKING:
    from caplet.image.wrappers.shell.syntax import Node

MAX_TEXT = 64 << 10
"""Characters of one value, and elements of one list: what is longer is not followed."""


MAX_ALTERNATIVES = 8
"""Lists of parameters that are kept apart."""


class Several(Unsure):
    """Text that stands for any number of words: `$OPTS` without quotes, `*.conf`."""

    __slots__ = ()


def joined(parts: list[str], separator: str = "") -> str:
    """One text of several; not known where one of them is not."""
    text = separator.join(parts)
    return Unsure(text) if any(isinstance(part, Unsure) for part in parts) else text


def known(text: str) -> bool:
    return not isinstance(text, Unsure)


@dataclass(frozen=True, slots=True)
class Ran:
    """A program that the script started as a child."""

    line: int
    argv: tuple[str, ...]
    background: bool = False
    certain: bool = True
    env: tuple[tuple[str, str], ...] = ()
    """What was assigned for it alone: `A=x program`."""


@dataclass(slots=True)
class State:
    """Changed in place; `copy` before a branch."""

    variables: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    """None: the elements are not known."""
    exported: set[str] = field(default_factory=set)
    parameters: tuple[str, ...] | None = ()
    """$1, $2, ...; None where even their number is not known."""
    maybe: tuple[tuple[str, ...], ...] = ()
    """Where `parameters` is None: the few lists that it may be; empty where that is not known either."""
    functions: dict[str, Node | None] = field(default_factory=dict)
    """None: defined in two ways."""
    working_dir: str = "/"
    status: int | None = 0
    """$?."""
    errexit: bool = False
    noglob: bool = False
    nounset: bool = False
    pipefail: bool = False
    allexport: bool = False
    ran: tuple[Ran, ...] = ()
    setcaps: tuple[SetcapAtRunTime, ...] = ()
    notes: tuple[str, ...] = ()

    def copy(self) -> State:
        return State(
            dict(self.variables),
            dict(self.arrays),
            set(self.exported),
            self.parameters,
            self.maybe,
            dict(self.functions),
            self.working_dir,
            self.status,
            self.errexit,
            self.noglob,
            self.nounset,
            self.pipefail,
            self.allexport,
            self.ran,
            self.setcaps,
            self.notes,
        )

    def set(self, name: str, value: str) -> None:
        if len(value) > MAX_TEXT:
            value = Unsure(f"${name}")
        self.variables[name] = value
        self.arrays.pop(name, None)
        if self.allexport:
            self.exported.add(name)

    def forget(self, name: str) -> None:
        """The variable has some value."""
        self.variables[name] = Unsure(f"${name}")
        self.arrays.pop(name, None)

    def forget_all(self) -> None:
        """Commands that cannot be read have run in this shell. PATH is taken to stay: nothing could be found otherwise."""
        for name in self.variables:
            if name != "PATH":
                self.variables[name] = Unsure(f"${name}")
        for name in self.arrays:
            self.arrays[name] = None
        self.status = None

    def unset(self, name: str) -> None:
        self.variables.pop(name, None)
        self.arrays.pop(name, None)
        self.exported.discard(name)

    @property
    def environment(self) -> dict[str, str]:
        return {name: value for name, value in self.variables.items() if name in self.exported}


def merge(one: State | None, other: State | None) -> State | None:
    """What holds on both ways; None is a way that does not come here."""
    if one is None or other is None:
        return other if one is None else one
    if one == other:
        return one
    merged = one.copy()
    for name in one.variables.keys() | other.variables.keys():
        if not _same(one.variables.get(name), other.variables.get(name)):
            merged.variables[name] = Unsure(f"${name}")
    for name in one.arrays.keys() | other.arrays.keys():
        if one.arrays.get(name) != other.arrays.get(name) or (name in one.arrays) != (name in other.arrays):
            merged.arrays[name] = None
    merged.exported |= other.exported
    if one.parameters is None or other.parameters is None or len(one.parameters) != len(other.parameters):
        merged.parameters, merged.maybe = None, _alternatives(one, other)
    else:
        merged.parameters = tuple(
            mine if _same(mine, theirs) else Unsure(f"${place}")
            for place, (mine, theirs) in enumerate(zip(one.parameters, other.parameters, strict=True), 1)
        )
    for function in one.functions.keys() | other.functions.keys():
        if one.functions.get(function) != other.functions.get(function):
            merged.functions[function] = None
    if not _same(one.working_dir, other.working_dir):
        merged.working_dir = Unsure("$PWD")
    merged.status = one.status if one.status == other.status else None
    merged.errexit = one.errexit or other.errexit
    merged.noglob = one.noglob or other.noglob
    merged.nounset = one.nounset and other.nounset
    merged.pipefail = one.pipefail and other.pipefail
    merged.allexport = one.allexport or other.allexport
    merged.ran = _ran(one.ran, other.ran)
    merged.setcaps = _setcaps(one.setcaps, other.setcaps)
    merged.notes = tuple(dict.fromkeys((*one.notes, *other.notes)))
    return merged


def _alternatives(one: State, other: State) -> tuple[tuple[str, ...], ...]:
    lists: list[tuple[str, ...]] = []
    for state in (one, other):
        if state.parameters is None and not state.maybe:
            return ()
        lists += state.maybe if state.parameters is None else [state.parameters]
    distinct = tuple(dict.fromkeys(lists))
    return distinct if len(distinct) <= MAX_ALTERNATIVES else ()


def _same(one: str | None, other: str | None) -> bool:
    """Two texts that are not known are equal where they say the same, but are not the same for that."""
    if one is None or other is None:
        return one is other
    return str(one) == str(other) and type(one) is type(other)


def _ran(one: tuple[Ran, ...], other: tuple[Ran, ...]) -> tuple[Ran, ...]:
    if one == other:
        return one
    both = set(one) & set(other)
    every = sorted({*one, *other}, key=lambda ran: (ran.line, ran.argv))
    certain = [ran if ran in both else replace(ran, certain=False) for ran in every]
    return tuple(dict.fromkeys(certain))


def _setcaps(
    one: tuple[SetcapAtRunTime, ...], other: tuple[SetcapAtRunTime, ...]
) -> tuple[SetcapAtRunTime, ...]:
    if one == other:
        return one
    both = set(one) & set(other)
    every = sorted({*one, *other}, key=lambda setcap: (setcap.line, setcap.argv))
    return tuple(
        dict.fromkeys(
            setcap if setcap in both else SetcapAtRunTime(setcap.line, setcap.argv, certain=False)
            for setcap in every
        )
    )
