# SPDX-License-Identifier: Apache-2.0
"""Shell patterns (POSIX.1-2024 XCU 2.14) as regular expressions, and what ${x#p}, ${x%p} and ${x/p/r} make of them.

Python's backtracking is quadratic at worst for what `*` becomes, times the number of stars; both are bounded.
"""

from __future__ import annotations

import re

MAX_SUBJECT = 8192
MAX_STARS = 8


class TooHard(Exception):
    """A pattern that is not tried: the answer is left open."""


def compiled(pieces: list[tuple[str, bool]]) -> re.Pattern[str]:
    """From (text, quoted): quoted characters stand for themselves."""
    out: list[str] = []
    stars = 0
    for text, quoted in pieces:
        if quoted:
            out.append(re.escape(text))
            continue
        at = 0
        while at < len(text):
            character = text[at]
            at += 1
            if character == "*":
                if not out or out[-1] != ".*":
                    stars += 1
                    out.append(".*")
            elif character == "?":
                out.append(".")
            elif character == "[" and (bracket := _bracket(text, at)) is not None:
                expression, at = bracket
                out.append(expression)
            else:
                out.append(re.escape(character))
    if stars > MAX_STARS:
        raise TooHard
    return re.compile("".join(out), re.DOTALL)


def _bracket(text: str, at: int) -> tuple[str, int] | None:
    """`[a-z]`, `[!x]`; None where it has no end. Classes such as [:alpha:] are left open."""
    end = text.find("]", at + 1 + text.startswith(("!", "^"), at))
    if end < 0:
        return None
    inner = text[at:end]
    if "[:" in inner or "[." in inner or "[=" in inner:
        raise TooHard
    negated = inner.startswith(("!", "^"))
    body = inner[1:] if negated else inner
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", body)
    expression = f"[{'^' if negated else ''}{escaped}]"
    try:
        re.compile(expression)
    except re.error:
        raise TooHard from None
    return expression, end + 1


def matches(pattern: re.Pattern[str], subject: str) -> bool:
    if len(subject) > MAX_SUBJECT:
        raise TooHard
    return pattern.fullmatch(subject) is not None


def without_prefix(pattern: re.Pattern[str], subject: str, *, longest: bool) -> str:
    """${x#p}, ${x##p}."""
    if len(subject) > MAX_SUBJECT:
        raise TooHard
    lengths = range(len(subject), -1, -1) if longest else range(len(subject) + 1)
    for length in lengths:
        if pattern.fullmatch(subject, 0, length):
            return subject[length:]
    return subject


def without_suffix(pattern: re.Pattern[str], subject: str, *, longest: bool) -> str:
    """${x%p}, ${x%%p}."""
    if len(subject) > MAX_SUBJECT:
        raise TooHard
    starts = range(len(subject) + 1) if longest else range(len(subject), -1, -1)
    for start in starts:
        if pattern.fullmatch(subject, start):
            return subject[:start]
    return subject
