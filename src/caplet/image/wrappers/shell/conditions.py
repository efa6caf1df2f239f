# SPDX-License-Identifier: Apache-2.0
"""test(1), `[` and bash's `[[`: true, false, or None where run time decides.

POSIX.1-2024 XCU test; bash(1) CONDITIONAL EXPRESSIONS. Whether a file exists is left open: a volume may bring it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.image.wrappers.shell.expand import Surroundings, match_word, text_of, variable
from caplet.image.wrappers.shell.state import Several, State, known
from caplet.image.wrappers.shell.syntax import plain

if TYPE_CHECKING:
    from caplet.image.wrappers.shell.syntax import Word

_FILE_TESTS = frozenset(
    [
        "-a",
        "-b",
        "-c",
        "-d",
        "-e",
        "-f",
        "-g",
        "-h",
        "-k",
        "-p",
        "-r",
        "-s",
        "-t",
        "-u",
        "-w",
        "-x",
        "-G",
        "-L",
        "-N",
        "-O",
        "-S",
    ]
)
_COMPARED = frozenset(
    ["=", "==", "!=", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef"]
)
MAX_WORDS = 200
"""Words of one condition."""


def both(one: bool | None, other: bool | None) -> bool | None:
    """Three-valued and."""
    if one is False or other is False:
        return False
    return True if one and other else None


def either(one: bool | None, other: bool | None) -> bool | None:
    if one is True or other is True:
        return True
    return False if one is False and other is False else None


def negated(value: bool | None) -> bool | None:
    return None if value is None else not value


def test(words: list[str]) -> bool | None:
    """The words between `[` and `]`; None, too, for what is no expression."""
    if len(words) > MAX_WORDS or any(isinstance(word, Several) for word in words):
        return None
    match len(words):
        case 0:
            return False
        case 1:
            return bool(words[0]) if known(words[0]) else None
        case 2 if words[0] == "!":
            return negated(test(words[1:]))
        case 3 if words[1] in _COMPARED:
            return _compare(words[0], words[1], words[2])
    try:
        value, rest = _or(words)
    except IndexError:
        return None
    return value if not rest else None


def _or(words: list[str]) -> tuple[bool | None, list[str]]:
    value, words = _and(words)
    while words and words[0] == "-o":
        other, words = _and(words[1:])
        value = either(value, other)
    return value, words


def _and(words: list[str]) -> tuple[bool | None, list[str]]:
    value, words = _primary(words)
    while words and words[0] == "-a":
        other, words = _primary(words[1:])
        value = both(value, other)
    return value, words


def _primary(words: list[str]) -> tuple[bool | None, list[str]]:
    first = words[0]
    if len(words) >= 3 and words[1] in _COMPARED:
        return _compare(first, words[1], words[2]), words[3:]
    if first == "!":
        value, rest = _primary(words[1:])
        return negated(value), rest
    if first == "(":
        value, rest = _or(words[1:])
        if rest[0] != ")":
            raise IndexError
        return value, rest[1:]
    if first in ("-n", "-z") and len(words) > 1:
        filled = bool(words[1]) if known(words[1]) else None
        return (filled if first == "-n" else negated(filled)), words[2:]
    if first in _FILE_TESTS and len(words) > 1:
        return None, words[2:]
    return (bool(first) if known(first) else None), words[1:]


def _compare(left: str, operator: str, right: str) -> bool | None:
    if not known(left) or not known(right):
        return None
    if operator in ("=", "=="):
        return left == right
    if operator == "!=":
        return left != right
    if operator in ("<", ">"):
        return (left < right) if operator == "<" else (left > right)
    return _numbers(left, operator, right)


def _numbers(left: str, operator: str, right: str) -> bool | None:
    number = re.compile(r"\s*[+-]?\d{1,18}\s*")
    if not number.fullmatch(left) or not number.fullmatch(right):
        return None if operator in ("-nt", "-ot", "-ef") else False
    one, other = int(left), int(right)
    return {
        "-eq": one == other,
        "-ne": one != other,
        "-lt": one < other,
        "-le": one <= other,
        "-gt": one > other,
        "-ge": one >= other,
    }.get(operator)


class DoubleBracket:
    """`[[ ... ]]`: words are not split, the right side of == is a pattern, && and || come in."""

    def __init__(self, words: tuple[Word, ...], state: State, around: Surroundings) -> None:
        self._words = list(words)
        self._state = state
        self._around = around

    def value(self) -> bool | None:
        if len(self._words) > MAX_WORDS:
            return None
        try:
            value = self._or()
        except IndexError:
            return None
        return value if not self._words else None

    def _next(self) -> str | None:
        return plain(self._words[0]) if self._words else None

    def _or(self) -> bool | None:
        value = self._and()
        while self._next() == "||":
            del self._words[0]
            value = either(value, self._and())
        return value

    def _and(self) -> bool | None:
        value = self._primary()
        while self._next() == "&&":
            del self._words[0]
            value = both(value, self._primary())
        return value

    def _primary(self) -> bool | None:
        first = self._next()
        if first == "!":
            del self._words[0]
            return negated(self._primary())
        if first == "(":
            del self._words[0]
            value = self._or()
            if self._next() != ")":
                raise IndexError
            del self._words[0]
            return value
        if len(self._words) >= 3 and plain(self._words[1]) in (*_COMPARED, "=~"):
            left, operator, right = self._words[0], plain(self._words[1]), self._words[2]
            del self._words[:3]
            return self._compared(left, operator or "", right)
        if first is not None and re.fullmatch(r"-[a-zA-Z]", first) and len(self._words) > 1:
            operand = self._words[1]
            del self._words[:2]
            return self._unary(first, self._text(operand))
        return self._filled(self._text(self._words.pop(0)))

    def _compared(self, left: Word, operator: str, right: Word) -> bool | None:
        subject = self._text(left)
        if operator in ("=", "==", "!="):
            value = match_word(right, subject, self._state, self._around)
            return negated(value) if operator == "!=" else value
        if operator == "=~":
            return None
        return _compare(subject, operator, self._text(right))

    def _unary(self, operator: str, operand: str) -> bool | None:
        if operator == "-n":
            return self._filled(operand)
        if operator == "-z":
            return negated(self._filled(operand))
        if operator == "-v" and known(operand) and re.fullmatch(r"\w+", operand):
            found = variable(operand, self._state, self._around)
            return None if found is not None and not known(found) else found is not None
        return None

    def _text(self, word: Word) -> str:
        return text_of(word, self._state, self._around)

    @staticmethod
    def _filled(text: str) -> bool | None:
        return bool(text) if known(text) else None
