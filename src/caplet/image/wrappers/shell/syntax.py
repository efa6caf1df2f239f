# SPDX-License-Identifier: Apache-2.0
"""The syntax tree of a shell script, with the names of POSIX.1-2024 XCU 2.10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Literal:
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Parameter:
    """`$name`, `${name}`, `${name:-word}`, `${#name}`, `${name[@]}`."""

    name: str
    operator: str = ""
    """As it is written: `:-`, `##`, `/`, `:` for a substring; `len` for ${#name}; `!` and what follows for ${!name}; `?` for others."""
    word: Word = ()
    quoted: bool = False
    subscript: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """`$(...)` or backquotes."""

    body: Sequence
    quoted: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class Opaque:
    """What is not evaluated: arithmetic, process substitution, a regular expression."""

    text: str
    quoted: bool = False


Part: TypeAlias = Literal | Parameter | Command | Opaque
Word: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Assignment:
    name: str
    value: Word = ()
    array: tuple[Word, ...] | None = None
    append: bool = False
    subscript: str | None = None


@dataclass(frozen=True, slots=True)
class Simple:
    """Assignments, then words; redirections are left out, as they execute nothing."""

    line: int
    assignments: tuple[Assignment, ...]
    words: tuple[Word | Assignment, ...]
    """An Assignment among the words is an array: `local a=(...)`."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: tuple[Node, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class AndOr:
    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Background:
    """`command &`."""

    command: Node


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class If:
    clauses: tuple[tuple[Sequence, Sequence], ...]
    otherwise: Sequence | None


@dataclass(frozen=True, slots=True)
class While:
    line: int
    condition: Sequence
    body: Sequence
    until: bool


@dataclass(frozen=True, slots=True)
class For:
    line: int
    name: str
    words: tuple[Word, ...] | None
    """None: the positional parameters."""
    body: Sequence


@dataclass(frozen=True, slots=True)
class Endless:
    """`for ((...))`, `select`: rounds that are not counted."""

    line: int
    body: Sequence


@dataclass(frozen=True, slots=True)
class Case:
    word: Word
    items: tuple[tuple[tuple[Word, ...], Sequence, str], ...]
    """(patterns, commands, `;;` or `;&` or `;;&`)."""


@dataclass(frozen=True, slots=True)
class Subshell:
    body: Sequence


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: Node


@dataclass(frozen=True, slots=True)
class Test:
    """`[[ ... ]]`: its words; operators are `Literal`s that are not quoted."""

    line: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """`(( ... ))`."""

    text: str


Node: TypeAlias = (
    Simple
    | Pipeline
    | AndOr
    | Background
    | Sequence
    | If
    | While
    | For
    | Endless
    | Case
    | Subshell
    | Function
    | Test
    | Arithmetic
)


def plain(word: Word | Assignment) -> str | None:
    """The text of a word without quotes and expansions: what may be a reserved word or an operator."""
    if isinstance(word, Assignment):
        return None
    if len(word) == 1 and isinstance(word[0], Literal) and not word[0].quoted:
        return word[0].text
    return None
