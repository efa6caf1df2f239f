# SPDX-License-Identifier: Apache-2.0
"""Progress of forked work is seen from outside: rewritten on a terminal, line by line elsewhere, in time."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from tests.kernel.counter import SharedCounter

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_each_process_counts_in_its_own_cell() -> None:
    counter = SharedCounter(3)
    for process in range(3):
        pid = os.fork()
        if pid == 0:
            for _ in range(process + 1):
                counter.count(process)
            os._exit(0)
        os.waitpid(pid, 0)
    assert counter.total() == 6


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("SECONDS", "SECONDS_ON_A_TERMINAL"):
        monkeypatch.setattr(f"tests.kernel.counter.{name}", 0.01)
    monkeypatch.setattr("sys.stderr", stream)
    counter = SharedCounter(1)
    counter.count(0)
    with counter.shown("work", 4):
        while not stream.getvalue():
            time.sleep(0.01)
    return stream.getvalue()


def test_a_terminal_has_one_line_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(Terminal(), monkeypatch)
    assert text.startswith("\r\x1b[Kwork: 1 of 4 in ")
    assert text.endswith("\r\x1b[K")
    assert "\n" not in text


def test_a_pipe_has_a_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(io.StringIO(), monkeypatch).splitlines()
    assert lines[0].startswith("work: 1 of 4 in 0 s, about ")


def test_quick_work_says_nothing_in_a_pipe() -> None:
    code = "from tests.kernel.counter import SharedCounter\nwith SharedCounter(1).shown('work', 1): pass"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
