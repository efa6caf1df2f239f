# SPDX-License-Identifier: Apache-2.0
"""named_in(): a program that a clue names, with the arguments that the container's own command line has for it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PUNCTUATION = frozenset("();<>|&")
"""What ends a command: POSIX.1-2017 XCU 2.3, the operators."""

EXPANDED = frozenset("$`*?[~")
"""A word with one of these is another one when the shell has read it: XCU 2.6."""

MAX_SCRIPT = 4096
"""Characters of a word that is read as a script: what a Pod says behind `sh -c` is a line or two."""


def named_in(args: Sequence[str], program: str) -> tuple[str, ...]:
    """The argv that `args`, or a script among them, has for the program; the program alone where they do not say."""
    for number, word in enumerate(args):
        if _is(word, program):
            return (program, *args[number + 1 :])
    for word in args:
        words = _words(word) if len(word) <= MAX_SCRIPT and any(map(str.isspace, word)) else []
        for number, one in enumerate(words):
            if _is(one, program):
                return (program, *_arguments(words[number + 1 :]))
    return (program,)


def _is(word: str, program: str) -> bool:
    """A name without a directory is looked for on the path."""
    if "/" in word and "/" in program:
        return word == program
    return word.rpartition("/")[2] == program.rpartition("/")[2]


def _words(script: str) -> list[str]:
    """As the shell parts them; none where a quote is left open."""
    lexer = shlex.shlex(script.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    try:
        return list(lexer)
    except ValueError:
        return []


def _arguments(words: Sequence[str]) -> list[str]:
    """Up to the next command; none where the shell makes something else of one of them."""
    found: list[str] = []
    for word in words:
        if word and PUNCTUATION.issuperset(word):
            break
        if EXPANDED.intersection(word):
            return []
        found.append(word)
    return found
