# SPDX-License-Identifier: Apache-2.0
"""What a program holds when it starts is seen, whatever it does next."""

from __future__ import annotations

import os
import signal
import time

import pytest

from caplet.run.execstop import ExecStop
from caplet.run.status import parse_status

pytestmark = pytest.mark.usefixtures("root")


def waiting_child(*argv: str) -> tuple[int, int]:
    """A child that executes `argv` when a byte comes."""
    theirs, ours = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        os.read(theirs, 1)
        try:
            os.execv(argv[0], argv)
        finally:
            os._exit(77)
    os.close(theirs)
    return pid, ours


def start(go: int) -> None:
    os.write(go, b"x")
    os.close(go)


def test_a_shell_that_executes_another_program_at_once_is_seen_as_the_shell() -> None:
    for _ in range(20):
        pid, go = waiting_child("/bin/sh", "-c", "exec /bin/true")
        watched = ExecStop(pid)
        start(go)
        assert parse_status(watched.status()).name in {"sh", "dash"}
        assert os.waitpid(pid, 0)[1] == 0


def test_a_program_that_is_not_there_tells_nothing_and_its_end_is_its_parents() -> None:
    pid, go = waiting_child("/nowhere")
    watched = ExecStop(pid)
    start(go)
    assert not watched.status()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 77


def test_signals_reach_the_process_meanwhile() -> None:
    pid, go = waiting_child("/bin/true")
    watched = ExecStop(pid)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
    os.close(go)
    watched.end()


def test_a_process_that_goes_on_when_nobody_asked() -> None:
    pid, go = waiting_child("/bin/true")
    watched = ExecStop(pid)
    start(go)
    time.sleep(0.1)
    watched.end()
    watched.end()
    assert os.waitpid(pid, 0)[1] == 0
