# SPDX-License-Identifier: Apache-2.0
"""libcap's text form of three capability sets: `cap_chown,cap_kill=ep cap_net_raw+i`.

cap_from_text(3) and cap_text_formats(7) describe it; what they leave open follows libcap 2.66 to 2.76, `libcap/cap_text.c`
(cap_from_text, lookupname, cap_to_text). A text is a list of clauses between spaces; each is a list of capabilities and then
actions, an operator with the sets it works on:

    clause  = [caps] first *next        caps may be left out before "=", and means all
    caps    = cap *("," cap)            cap_chown, CAP_CHOWN, 10, 0xa, 012, all
    first   = "=" *set / ("=+" / "=-" / "+" / "-") 1*set
    next    = ("+" / "-") 1*set
    set     = "e" / "i" / "p"

`=` lowers the listed capabilities in all three sets and then raises them in those named; `+` and `-` only raise, lower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.kernel.caps import LAST_CAP, MAX_BITS, NO_CAPS, Cap, Caps, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIBCAP_NAMES: dict[str, int] = {f"cap_{cap.name.lower()}": cap for cap in Cap}
"""What libcap accepts, after lowering the case."""

EVERY_SPELLING: dict[str, int] = LIBCAP_NAMES | {cap.name.lower(): cap for cap in Cap}
"""Kubernetes' names without CAP_ too."""

_SPACE = " \t\n\v\f\r"
_CLAUSE = re.compile(
    r"(?P<caps>[A-Za-z0-9_]+(?:,[A-Za-z0-9_]+)*)?"
    r"(?P<first>=[+-]?|[+-])(?P<sets>[eip]*)(?P<next>(?:[+-][eip]+)*)"
)
_NEXT = re.compile(r"([+-])([eip]+)")


@dataclass(frozen=True, slots=True)
class Sets:
    """What a cap_t holds."""

    effective: Caps = NO_CAPS
    inheritable: Caps = NO_CAPS
    permitted: Caps = NO_CAPS

    def raised(self, caps: Caps, sets: str) -> Sets:
        return Sets(*(old | caps if flag in sets else old for flag, old in self._flags()))

    def lowered(self, caps: Caps, sets: str) -> Sets:
        return Sets(*(old - caps if flag in sets else old for flag, old in self._flags()))

    def state(self, cap: int) -> str:
        """The sets that hold the capability, in libcap's order: `eip`."""
        return "".join(flag for flag, caps in self._flags() if cap in caps)

    def _flags(self) -> tuple[tuple[str, Caps], ...]:
        return ("e", self.effective), ("i", self.inheritable), ("p", self.permitted)


def from_text(text: str, names: Mapping[str, int] = LIBCAP_NAMES, last: int = LAST_CAP) -> Sets:
    """cap_from_text(3). `last` bounds what `all` means: libcap asks the kernel."""
    sets = Sets()
    for clause in re.split(f"[{_SPACE}]+", text.strip(_SPACE)):
        if clause:
            sets = _apply(sets, clause, names, last)
    return sets


def _apply(sets: Sets, clause: str, names: Mapping[str, int], last: int) -> Sets:
    match = _CLAUSE.fullmatch(clause)
    if match is None:
        raise InvalidInput(
            f"{clause[:80]!r} is not capabilities with an operator",
            "write them as cap_from_text(3) does: cap_net_bind_service=ep",
        )
    listed, first, to = match["caps"], match["first"], match["sets"]
    if listed is None and (first != "=" or match["next"]):
        raise InvalidInput(f"{clause[:80]!r} lists no capabilities: only a plain '=' may stand for all")
    if first != "=" and not to:
        raise InvalidInput(f"{clause[:80]!r} names no set after {first[-1]!r}", "the sets are e, i and p")
    caps = Caps.all(last) if listed is None else _listed(listed, names, last)
    if first.startswith("="):
        sets = sets.lowered(caps, "eip")
    sets = sets.lowered(caps, to) if first.endswith("-") else sets.raised(caps, to)
    for operator, to in _NEXT.findall(match["next"]):
        sets = sets.raised(caps, to) if operator == "+" else sets.lowered(caps, to)
    return sets


def _listed(text: str, names: Mapping[str, int], last: int) -> Caps:
    caps = Caps()
    for word in text.split(","):
        # "all" replaces what stands before it in the list: forceall() assigns where a name adds.
        caps = Caps.all(last) if word.lower() == "all" else caps | Caps.of(_number(word, names))
    return caps


def _number(word: str, names: Mapping[str, int]) -> int:
    """A name, or a number as strtoul(3) with base 0 reads it."""
    name = word.lower()
    if name in names:
        return names[name]
    if re.fullmatch(r"0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*", name):
        digits = name.removeprefix("0x")
        base = 16 if name.startswith("0x") else 8 if name.startswith("0") else 10
        if len(digits.lstrip("0")) <= 3 and (number := int(digits, base)) < MAX_BITS:
            return number
        raise InvalidInput(f"no capability has the number {word[:32]}: the last possible is {MAX_BITS - 1}")
    raise InvalidInput(f"unknown capability {word[:80]!r}{nearest(name, names)}")


def to_text(sets: Sets, last: int = LAST_CAP) -> str:
    """cap_to_text(3): the state that most capabilities share first, then one clause a differing state.

    from_text(to_text(x)) == x
    """
    states = [sets.state(cap) for cap in range(MAX_BITS)]
    named, unnamed = states[: last + 1], states[last + 1 :]
    counts = {state: named.count(state) for state in _STATES}
    # Of equally frequent states the one with the lowest value wins, which prefers the empty one.
    shared = min(_STATES, key=lambda state: (-counts[state], _STATES.index(state)))
    clauses = [
        _list(named, 0, state) + _difference(shared, state)
        for state in reversed(_STATES)
        if state != shared and counts[state]
    ]
    if clauses and not shared:
        # "= cap_chown+ep cap_kill+i" is written "cap_chown=ep cap_kill+i".
        clauses[0] = clauses[0].replace("+", "=", 1)
    else:
        clauses.insert(0, "=" + shared)
    clauses += [
        _list(unnamed, last + 1, state) + "+" + state for state in reversed(_STATES[1:]) if state in unnamed
    ]
    return " ".join(clauses)


_STATES = ("", "e", "p", "ep", "i", "ei", "ip", "eip")
"""By libcap's value of a state: LIBCAP_EFF is 1, LIBCAP_PER 2, LIBCAP_INH 4."""


def _list(states: list[str], first: int, state: str) -> str:
    return ",".join(_names(states, first, state))


def _names(states: list[str], first: int, state: str) -> Iterator[str]:
    for number, its in enumerate(states, start=first):
        if its == state:
            yield f"cap_{Cap(number).name.lower()}" if number <= LAST_CAP else str(number)


def _difference(old: str, new: str) -> str:
    plus = "".join(flag for flag in new if flag not in old)
    minus = "".join(flag for flag in old if flag not in new)
    return (f"+{plus}" if plus else "") + (f"-{minus}" if minus else "")
