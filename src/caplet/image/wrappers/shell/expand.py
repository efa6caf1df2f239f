# SPDX-License-Identifier: Apache-2.0
"""Words to fields: parameter expansion, command substitution, field splitting (POSIX.1-2024 XCU 2.6).

Path names are not expanded: a field with `*` outside quotes stands for any number of words.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from caplet.image.wrappers.model import ANY, Unsure
from caplet.image.wrappers.shell.pattern import TooHard, compiled, matches, without_prefix, without_suffix
from caplet.image.wrappers.shell.state import MAX_TEXT, Several, State, joined, known
from caplet.image.wrappers.shell.syntax import Assignment, Command, Literal, Opaque, Parameter, Word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.image.wrappers.shell.syntax import Part

MAX_FIELDS = 4096
"""Words of one command that are kept apart."""

_AT_RUN_TIME = re.compile(
    r"HOME|HOSTNAME|PWD|OLDPWD|KUBERNETES_\w+|\w+_SERVICE_(HOST|PORT\w*)|\w+_PORT(_\w+)?"
)
"""Variables that the engine, the kubelet or the shell sets: `config.json` and the Pod do not tell all of them."""
_OF_THE_SHELL = frozenset(
    {"BASH", "RANDOM", "SECONDS", "LINENO", "PPID", "SHLVL", "BASH_VERSION", "HOSTTYPE", "OSTYPE", "MACHTYPE", "FUNCNAME",
     "BASH_LINENO", "EPOCHSECONDS", "EPOCHREALTIME", "BASHPID", "PIPESTATUS", "OPTARG", "OPTIND", "REPLY"}
)  # fmt: skip
_GLOB = re.compile(r"[*?]|\[.+\]|\{[^{}]*(?:,|\.\.)[^{}]*\}")
"""Path name expansion, and brace expansion as bash has it."""


class Surroundings(Protocol):
    """What expansion asks of the reader.

    `name` is $0; `substitute` gives the output of a command, without the newlines at its end; `special` UID, EUID, BASH_SOURCE
    and their like, None for an ordinary name; `functions` the calls that led here, the innermost first, as FUNCNAME has them.
    """

    name: str

    def substitute(self, command: Command, state: State) -> str: ...

    def special(self, name: str, state: State) -> str | None: ...

    def functions(self) -> tuple[str, ...]: ...


class Unset(Exception):
    """${name:?word}: the shell ends."""


def fields(words: Iterable[Word | Assignment], state: State, around: Surroundings) -> list[str]:
    """The words of a simple command."""
    found: list[str] = []
    for word in words:
        if isinstance(word, Assignment):
            found.append(f"{word.name}=(...)")
            continue
        found += word_fields(word, state, around)
        if len(found) > MAX_FIELDS:
            return [*found[:MAX_FIELDS], Several("...")]
    return found


def word_fields(word: Word, state: State, around: Surroundings) -> list[str]:
    """One word's fields."""
    pieces: list[list[str]] = [[]]
    """Fields that are being put together."""
    some = False
    for part in word:
        quoted = getattr(part, "quoted", False)
        if isinstance(part, Parameter) and _is_list(part, quoted=quoted):
            values = list(_list_of(part, state, around))
            if not quoted:
                values = [one for value in values for one in _split(value, state)]
            if not values and not quoted:
                continue
            some = some or bool(values)
            for place, value in enumerate(values):
                if place:
                    pieces.append([])
                pieces[-1].append(value)
            continue
        value = part_value(part, state, around)
        if isinstance(part, Literal) and not quoted:
            some = some or bool(value)
            pieces[-1].append(Several(value) if _GLOB.search(value) and not state.noglob else value)
        elif quoted:
            some = True
            pieces[-1].append(Unsure(value) if isinstance(value, Several) else value)
        else:
            split = _split(value, state)
            some = some or bool(split)
            for place, one in enumerate(split):
                if place:
                    pieces.append([])
                pieces[-1].append(one)
    if not some:
        return []
    return [_put_together(piece) for piece in pieces if piece or len(pieces) == 1]


def _put_together(piece: list[str]) -> str:
    text = joined(piece)
    if any(isinstance(part, Several) for part in piece):
        return Several(text)
    return text


def _split(value: str, state: State) -> list[str]:
    """Field splitting and path name expansion of what was not quoted."""
    if isinstance(value, Unsure):
        return [Several(value)]
    if "IFS" in state.variables:
        return [Several(value)] if value else []
    return [Several(one) if _GLOB.search(one) and not state.noglob else one for one in value.split()]


def _is_list(part: Parameter, *, quoted: bool) -> bool:
    """It stands for any number of fields."""
    whole = part.name == "@" or part.subscript == "@" or part.operator == "!@"
    if part.operator == "len" or (whole and part.operator in ("?", ":-", "-", ":+", "+")):
        return False
    return whole or (not quoted and part.operator == "" and (part.name == "*" or part.subscript == "*"))


def _list_of(part: Parameter, state: State, around: Surroundings) -> tuple[str, ...]:
    """What `$@`, `${array[@]}` and `${@:2}` stand for; `${!prefix@}` is left open."""
    if part.operator == "!@":
        return (Several(part.text),)
    if part.name in ("@", "*"):
        values = state.parameters
    elif part.name in state.arrays:
        values = state.arrays[part.name]
    else:
        value = variable(part.name, state, around)
        values = () if value is None else (value,)
    if values is None:
        return (Several(part.text),)
    if not part.operator:
        return values
    span = text_of(part.word, state, around)
    match = re.fullmatch(r"\s*(\d{1,9})\s*(?::\s*(\d{1,9})\s*)?", span)
    if match is None or not known(span) or part.operator != ":":
        return (Several(part.text),)
    start = int(match[1])
    if part.name in ("@", "*"):
        values = (around.name, *values)
    return values[start:] if match[2] is None else values[start : start + int(match[2])]


def text_of(word: Word, state: State, around: Surroundings) -> str:
    """One text, as in an assignment or after `case`: nothing is split."""
    parts: list[str] = []
    for part in word:
        if isinstance(part, Parameter) and _is_list(part, quoted=True):
            parts.append(joined(list(_list_of(part, state, around)), " "))
        else:
            parts.append(part_value(part, state, around))
    text = joined(parts)
    return Unsure(text[:MAX_TEXT]) if len(text) > MAX_TEXT else text


def pattern_of(word: Word, state: State, around: Surroundings) -> list[tuple[str, bool]] | None:
    """The pieces of a pattern; None where one is not known."""
    pieces: list[tuple[str, bool]] = []
    for part in word:
        value = text_of((part,), state, around)
        if isinstance(value, Unsure):
            return None
        pieces.append((value, bool(getattr(part, "quoted", False))))
    return pieces


def part_value(part: Part, state: State, around: Surroundings) -> str:
    match part:
        case Literal(text, quoted):
            if text.startswith("~") and not quoted:
                return Unsure(text)
            return text
        case Opaque(text):
            return Unsure(text)
        case Command():
            return around.substitute(part, state)
        case Parameter():
            return _parameter(part, state, around)


def variable(name: str, state: State, around: Surroundings) -> str | None:
    """The value; None where it is not set."""
    special = around.special(name, state)
    if special is not None:
        return special
    if name.isdecimal():
        return _positional(int(name[:9]), state, around)
    match name:
        case "#":
            return Unsure("$#") if state.parameters is None else str(len(state.parameters))
        case "?":
            return Unsure("$?") if state.status is None else str(state.status)
        case "@" | "*":
            if state.parameters is None:
                return Unsure(f"${name}")
            return joined(list(state.parameters), " ") if state.parameters else None
        case "$" | "!" | "-":
            return Unsure(f"${name}")
    if name in state.variables:
        return state.variables[name]
    if name in state.arrays:
        array = state.arrays[name]
        if array is None:
            return Unsure(f"${name}")
        return array[0] if array else None
    if name in _OF_THE_SHELL or _AT_RUN_TIME.fullmatch(name):
        return Unsure(f"${name}")
    return Unsure(f"${name}") if ANY in state.variables else None


def _positional(number: int, state: State, around: Surroundings) -> str | None:
    if number == 0:
        return around.name
    if state.parameters is None:
        return Unsure(f"${number}")
    before = state.parameters[:number]
    if any(isinstance(one, Several) for one in before):
        return Unsure(f"${number}")
    return before[number - 1] if len(before) == number else None


def _parameter(part: Parameter, state: State, around: Surroundings) -> str:
    value = _subscripted(part, state, around) if part.subscript else variable(part.name, state, around)
    operator = part.operator
    if operator.startswith("!"):
        if value is None or not known(value) or not re.fullmatch(r"[A-Za-z_]\w*|\d{1,9}", value):
            return Unsure(part.text)
        return _parameter(replace(part, name=value, operator=operator[1:], subscript=None), state, around)
    if value is None and state.nounset and not _may_be_unset(part):
        raise Unset(part.name)
    match operator:
        case "":
            return value or "" if value is None or known(value) else value
        case "len":
            if part.name in ("@", "*") or part.subscript in ("@", "*"):
                return _count(part, state, around)
            return Unsure(part.text) if value is not None and not known(value) else str(len(value or ""))
        case ":-" | "-" | ":=" | "=" | ":?" | "?" | ":+" | "+":
            return _default(part, value, state, around)
        case "?" | "@":
            return Unsure(part.text)
    if value is not None and not known(value):
        return Unsure(part.text)
    try:
        return _changed(part, value or "", state, around)
    except TooHard:
        return Unsure(part.text)


def _may_be_unset(part: Parameter) -> bool:
    """`set -u` leaves lists and defaults alone."""
    return (
        part.name in ("@", "*")
        or part.subscript is not None
        or part.operator.endswith(("-", "=", "?", "+", "@"))
    )


def _subscripted(part: Parameter, state: State, around: Surroundings) -> str | None:
    if part.name == "BASH_SOURCE":
        return around.special(part.name, state) if part.subscript == "0" else Unsure(part.text)
    if part.name == "FUNCNAME" and re.fullmatch(r"\d{1,3}", part.subscript or ""):
        return (dict(enumerate(around.functions()))).get(int(part.subscript or 0))
    if part.name not in state.arrays:
        whole = variable(part.name, state, around)
        if part.subscript in ("0", "@", "*"):
            return whole
        return None if whole is None else Unsure(part.text)
    array = state.arrays[part.name]
    if array is None:
        return Unsure(part.text)
    if part.subscript in ("@", "*"):
        return joined(list(array), " ") if array else None
    if part.subscript is None or not re.fullmatch(r"-?\d{1,6}", part.subscript):
        return Unsure(part.text)
    place = int(part.subscript)
    return array[place] if -len(array) <= place < len(array) else None


def _count(part: Parameter, state: State, around: Surroundings) -> str:
    if part.name == "FUNCNAME":
        return str(len(around.functions()))
    values = state.parameters if part.name in ("@", "*") else state.arrays.get(part.name)
    if values is None or any(isinstance(one, Several) for one in values):
        return Unsure(part.text)
    return str(len(values))


def _default(part: Parameter, value: str | None, state: State, around: Surroundings) -> str:
    operator = part.operator
    if value is not None and not known(value):
        return Unsure(part.text)
    missing = value is None or (operator.startswith(":") and not value)
    if operator.endswith("+"):
        return "" if missing else text_of(part.word, state, around)
    if not missing:
        assert value is not None
        return value
    if operator.endswith("?"):
        raise Unset(text_of(part.word, state, around))
    default = text_of(part.word, state, around)
    if operator.endswith("=") and not part.subscript:
        state.set(part.name, default)
    return default


def _changed(part: Parameter, value: str, state: State, around: Surroundings) -> str:
    """${x#p}, ${x%p}, ${x/p/r}, ${x:1:2}, ${x^}."""
    operator = part.operator
    if operator in ("#", "##", "%", "%%"):
        pieces = pattern_of(part.word, state, around)
        if pieces is None:
            return Unsure(part.text)
        remove = without_prefix if operator.startswith("#") else without_suffix
        return remove(compiled(pieces), value, longest=len(operator) == 2)
    if operator in ("^", "^^", ",", ",,") and not part.word:
        changed = value.upper() if operator.startswith("^") else value.lower()
        return changed if len(operator) == 2 else changed[:1] + value[1:]
    if operator == ":":
        return _substring(part, value, state, around)
    if operator in ("/", "//"):
        return _replaced(part, value, state, around)
    return Unsure(part.text)


def _substring(part: Parameter, value: str, state: State, around: Surroundings) -> str:
    span = text_of(part.word, state, around)
    match = re.fullmatch(r"\s*(-?\d{1,9})\s*(?::\s*(-?\d{1,9})\s*)?", span)
    if match is None or not known(span):
        return Unsure(part.text)
    start = int(match[1])
    if start < 0:
        start += len(value)
        if start < 0:
            return ""
    if match[2] is None:
        return value[start:]
    length = int(match[2])
    return value[start : start + length] if length >= 0 else value[start:length]


def _replaced(part: Parameter, value: str, state: State, around: Surroundings) -> str:
    """Only where pattern and replacement are plain text."""
    text = text_of(part.word, state, around)
    pattern, _, replacement = text.partition("/")
    if not known(text) or _GLOB.search(pattern) or "\\" in text or not pattern or "&" in replacement:
        return Unsure(part.text)
    return value.replace(pattern, replacement, -1 if part.operator == "//" else 1)


def match_word(word: Word, subject: str, state: State, around: Surroundings) -> bool | None:
    """Whether a `case` pattern matches; None where that is not known."""
    pieces = pattern_of(word, state, around)
    if (
        pieces is not None
        and all(not quoted for _, quoted in pieces)
        and "".join(text for text, _ in pieces) == "*"
    ):
        return True
    if pieces is None or not known(subject):
        return None
    try:
        return matches(compiled(pieces), subject)
    except TooHard:
        return None
