# SPDX-License-Identifier: Apache-2.0
"""Clue: one line that was seen. clues_of() finds those that some cause knows, in a log of any form and size.

Around the line itself there may be what wrote it down: CRI's `2026-01-01T00:00:00Z stderr F `, Docker's
`{"log": "...", "stream": ...}`, the time of `kubectl logs --timestamps`, the colours of a terminal. They are taken off.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache

from caplet.causes.catalogue import CAUSES

MAX_LINE = 512
"""Characters on each side of a telling word that are looked at: patterns may take the square of a line's length."""

MAX_JSON = 64 << 10
"""Characters of a line that is read as JSON; Docker cuts its own at 16 KiB."""

MAX_CLUES = 20
"""Different lines, the last ones: a crash loop ends as it began."""

MAX_LOOKED_AT = 2000
"""Lines with a telling word that no cause knows, before the rest of the log is left alone."""

TELLING = (
    "permission denied",
    "not permitted",
    "eacces",
    "enomem",
    "cannot allocate memory",
    "capabilit",
    "unknown cap",
    "capeff",
    "all caps",
    "dropped and added",
    "errno 0",
    "shared librar",
    "dst not allowed",
    "already in use",
    "invalid argument",
    "out of range",
    "too large",
    "not supported",
    "sock_raw",
    "are you root",
    "denied by autogke",
    "gke warden",
    "security context constraint",
    "podsecurity",
    "securitycontext",
    "allowprivilegeescalation",
    "sysctl",
    "may not be specified",
    "no matching entries",
    "root privileges",
    "effective uid",
    "no new privileges",
    "non-root",
    "run as root",
    "hostusers",
)
"""Each pattern of a cause needs one of these: looking for words goes through a large log a hundred times faster."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|[@-Z\\^_])")
_CRI = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,24}(?:Z|[+-]\d\d:\d\d) (?:stdout|stderr) [FP] ")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]{8,24}(?:Z|[+-]\d\d:\d\d)\s")
_ESCAPED_QUOTE = re.compile(r"\\{1,8}\"")
_MESSAGE_FIELDS = ("log", "msg", "message", "error", "err", "MESSAGE")
"""Of a JSON line: Docker's json-file driver, then what zap, logrus, bunyan, klog and journald call theirs."""


@dataclass(frozen=True, slots=True)
class Clue:
    """Something that was seen."""

    text: str
    """One line."""
    source: str = ""
    """Where: `log line 3`, `event Failed`, `state of container web`."""
    container: str = ""
    """Whose it is; empty where it may be any."""


def clues_of(text: str, source: str = "", container: str = "") -> tuple[Clue, ...]:
    """Each line that some cause knows, the last ones; of a text without such a line, its last one.

    A `source` that ends in `line` is continued by its number, where there are several.
    """
    known: dict[str, int] = {}
    for looked_at, (begin, end) in enumerate(reversed(_telling_lines(text)), 1):
        said = unwrapped(text[begin:end])
        if said not in known and is_known(said):
            known[said] = begin
        if len(known) >= MAX_CLUES or looked_at - len(known) >= MAX_LOOKED_AT:
            break
    alone = source.removesuffix("line").removesuffix(", ")
    if not known:
        last = _last_line(text)
        return (Clue(last, alone, container),) if last else ()
    several = "\n" in text.strip()
    return tuple(
        Clue(said, _where(text, begin, source) if several else alone, container)
        for said, begin in sorted(known.items(), key=lambda one: one[1])
    )


def unwrapped(line: str) -> str:
    """What was said, without what wrote it down."""
    said = _ANSI.sub("", line).replace("\0", "").strip()
    said = _CRI.sub("", said, count=1) if _CRI.match(said) else _TIME.sub("", said, count=1)
    for _ in range(2):  # a program that logs JSON, in Docker's JSON
        if said.startswith("{"):
            said = _message(said)
    return _around(_TIME.sub("", said, count=1) if _TIME.match(said) else said).strip()


def comparable(line: str) -> str:
    """The line without the backslashes that one program puts before another one's quotes."""
    return _ESCAPED_QUOTE.sub('"', line)


def is_known(line: str) -> bool:
    """Whether some cause knows it."""
    line = comparable(line)
    return any(pattern.search(line) for pattern in _patterns())


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Of all causes, each once."""
    every = dict.fromkeys(log.pattern for cause in CAUSES for log in cause.logs)
    return tuple(re.compile(pattern, re.IGNORECASE) for pattern in every)


def _telling_lines(text: str) -> list[tuple[int, int]]:
    """Begin and end of the lines with a telling word, in order; of an endless line what is around the word."""
    lower = text.replace("İ", "I").lower()  # the only character whose lower case has another length
    found: set[tuple[int, int]] = set()
    for word in TELLING:
        at = lower.rfind(word)
        for _ in range(MAX_LOOKED_AT):
            if at < 0:
                break
            begin, end = _line(text, at)
            found.add((begin, end))
            at = lower.rfind(word, 0, begin)
    return sorted(found)


def _line(text: str, at: int) -> tuple[int, int]:
    """The line around a place, or that much of it which is looked at."""
    low, high = max(0, at - MAX_JSON // 2), min(len(text), at + MAX_JSON // 2)
    before, end = text.rfind("\n", low, at), text.find("\n", at, high)
    return (low if before < 0 else before + 1), (high if end < 0 else end)


def _around(line: str) -> str:
    """Of a line that is too long, what is around its last telling word."""
    if len(line) <= 2 * MAX_LINE:
        return line
    lower = line.lower()
    at = max(lower.rfind(word) for word in TELLING)
    return line[max(0, at - MAX_LINE) : max(at, 0) + MAX_LINE]


def _message(line: str) -> str:
    """What a line of JSON says; the line where it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line
    if not isinstance(value, dict):
        return line
    said = [one for name in _MESSAGE_FIELDS if isinstance(one := value.get(name), str)]
    return ": ".join(one.strip() for one in said) or line


def _last_line(text: str) -> str:
    end = text[-MAX_JSON:].rstrip()
    return unwrapped(end[end.rfind("\n") + 1 :])[:MAX_LINE]


def _where(text: str, begin: int, source: str) -> str:
    return f"{source or 'line'} {text.count(chr(10), 0, begin) + 1}"
