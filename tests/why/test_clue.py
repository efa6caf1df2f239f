# SPDX-License-Identifier: Apache-2.0
"""Clues: the line is found in a log of any form and size, and nothing that a log holds makes it slow."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caplet.causes.catalogue import CAUSES
from caplet.why.candidate import candidates_of
from caplet.why.clue import MAX_CLUES, TELLING, Clue, clues_of, is_known, unwrapped

LINE = "exec /usr/bin/caddy: operation not permitted"
BIND = "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"
LOGS = list({log.pattern: log for cause in CAUSES for log in cause.logs}.values())
TIME = "2026-01-01T00:00:00.123456789Z"


def texts(log: str) -> list[str]:
    return [clue.text for clue in clues_of(log)]


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(f"{LINE}\n", id="plain"),
        pytest.param(f"starting\r\n{LINE}\r\nbye\r\n", id="CRLF"),
        pytest.param(f"starting\n\x1b[31m{LINE}\x1b[0m\n", id="colours"),
        pytest.param(
            "\x1b[1;31mexec\x1b[m /usr/bin/\x1b[Kcaddy: operation not permitted", id="colours inside"
        ),
        pytest.param(f"\x1b]0;title\x07{LINE}", id="a terminal's title"),
        pytest.param(f"{TIME} starting\n{TIME} {LINE}\n", id="kubectl logs --timestamps"),
        pytest.param(f"{TIME} stdout F starting\n{TIME} stderr F {LINE}\n", id="CRI"),
        pytest.param(f"2026-01-01T00:00:00.1+01:00 stderr P {LINE}", id="CRI, part of a line"),
        pytest.param(json.dumps({"log": LINE + "\n", "stream": "stderr", "time": TIME}), id="Docker"),
        pytest.param(
            json.dumps({"log": json.dumps({"level": "fatal", "msg": LINE}) + "\n", "stream": "stderr"}),
            id="JSON in Docker's JSON",
        ),
        pytest.param(f"\0\xff\ufffd\n{LINE}\n\x00\x01\x02", id="binary"),
        pytest.param(f"İ\u2028İ\n{LINE}", id="letters whose lower case is longer"),
        pytest.param(f"{'x' * 5_000_000}\n{LINE}\n{'y' * 5_000_000}", id="megabytes on one line"),
        pytest.param("GET / 200\n" * 500_000 + LINE, id="half a million lines"),
        pytest.param(LINE + "\n" + "GET / 200\n" * 500_000, id="long ago"),
    ],
)
def test_the_line_is_found(log: str) -> None:
    started = time.perf_counter()
    assert texts(log) == [LINE]
    assert time.perf_counter() - started < 2


def test_where_it_was_is_told() -> None:
    assert clues_of(f"a\nb\n{LINE}\n", "line") == (Clue(LINE, "line 3"),)
    assert clues_of(LINE, "event Failed", "web") == (Clue(LINE, "event Failed", "web"),)


def test_one_line_twice_is_one_clue() -> None:
    log = f"{TIME} {LINE}\nbye\n{TIME.replace('01T', '02T')} {LINE}\n{BIND}"
    assert texts(log) == [LINE, BIND]


def test_the_last_different_lines_are_kept() -> None:
    log = "\n".join(f"listen tcp :{port}: bind: permission denied" for port in range(1, 500))
    found = texts(log)
    assert len(found) == MAX_CLUES
    assert found[-1] == "listen tcp :499: bind: permission denied"


@pytest.mark.parametrize("log", ["", "\n \r\n\t\n", "\0\0"])
def test_an_empty_log_has_none(log: str) -> None:
    assert texts(log) == []


def test_of_a_log_that_tells_nothing_the_last_line_is_one() -> None:
    assert texts("starting\nlistening on :8080\n\n") == ["listening on :8080"]


@pytest.mark.parametrize("prefix", ['"', '\\"', '\\\\\\"'])
def test_escaped_quotes_are_quotes(prefix: str) -> None:
    """Docker quotes runc's message, and kubelet Docker's."""
    assert is_known(
        f"OCI runtime create failed: exec: {prefix}/usr/bin/caddy{prefix}: operation not permitted"
    )


def test_a_message_around_an_endless_line_is_short() -> None:
    (clue,) = clues_of("x" * 3_000_000 + " " + LINE + " " + "y" * 3_000_000)
    assert LINE in clue.text
    assert len(clue.text) < 2000


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.example[:40])
def test_every_example_is_found_in_a_log(log: object) -> None:
    example: str = log.example  # type: ignore[attr-defined]
    assert any(is_known(text) for text in texts(f"before\n{TIME} stderr F {example}\nafter\n"))


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.example[:40])
def test_every_pattern_needs_a_telling_word(log: object) -> None:
    """Else a line that a cause knows would be passed over."""
    pattern: str = log.pattern  # type: ignore[attr-defined]

    @settings(max_examples=30, deadline=None, derandomize=True, database=None)
    @given(st.from_regex(pattern))
    def check(line: str) -> None:
        assert any(word in line.lower() for word in TELLING), line

    check()


FRAGMENTS = (
    "exec /", "exec container process `", "bind ", "bind() to ", "permission denied", "operation not permitted",
    ": ", "line 1: ", "/a", "[dumb-init] ", "[FATAL tini (7)] exec ", "ibv_a", "mlock", "io_uring", "mlockall",
    "lock memory ", "ping: ", "perf_event_open", "failed to set capabilities on file '", "invalid argument", "a",
    'capability "', "unknown cap: `", "(", "listen EACCES: permission denied ", "listen tcp ", ":80", "fork/exec ",
    "s6-a: fatal: unable to set ", "error loading shared library ", " error while loading shared libraries: ", "'",
)  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=3), st.booleans())
def test_no_line_is_slow(parts: list[str], whole: bool) -> None:
    """Neither one that repeats what patterns look for nor one that nearly matches to its end."""
    unit = "".join(parts)
    line = (unit * 4096)[:4096] if whole else parts[0] * 40 + unit + "a" * 4000
    started = time.process_time()
    candidates_of([Clue(unwrapped(line))])
    is_known(unwrapped(line))
    assert time.process_time() - started < 0.5


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_bytes_around_a_line_do_not_hide_it(before: bytes, after: bytes) -> None:
    log = (before + b"\n" + LINE.encode() + b"\n" + after).decode("utf-8", "replace")
    assert LINE in texts(log)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(st.text())
def test_any_text_is_read(log: str) -> None:
    assert all(clue.text for clue in clues_of(log))


def test_a_hostile_log_of_megabytes_is_read_in_time() -> None:
    """Each line has a telling word, and no cause knows it."""
    log = "\n".join(f"{number} permission denied " + "bind" * 200 for number in range(20_000))
    started = time.process_time()
    clues_of(log)
    assert time.process_time() - started < 10
