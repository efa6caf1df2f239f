# SPDX-License-Identifier: Apache-2.0
"""A process seen from outside, in the middle of its execve(2) too."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from tests.verify.daemons import PAUSE_CALL

from caplet.programs.shipped import path
from caplet.run.available import own_credentials
from caplet.verify import outside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PR_SET_NAME = 15
_libc = ctypes.CDLL(None)


@pytest.fixture
def sleeping() -> Iterator[int]:
    with subprocess.Popen(("sleep", "60")) as process:
        yield process.pid
        process.kill()


def test_a_program(sleeping: int) -> None:
    look = outside.first_program(sleeping)
    assert look is not None
    assert look.observed.caps == own_credentials().caps
    assert look.secure is False


def test_a_process_of_another_user(sleeping: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may use Docker without root sees the sets, which everyone may read, and no auxiliary vector."""
    monkeypatch.setattr(outside, "_auxv", lambda _: None)
    look = outside.first_program(sleeping)
    assert look is not None
    assert look.observed.name == "sleep"
    assert look.secure is None


def test_a_container_of_another_machine(sleeping: int) -> None:
    """Docker Desktop's process numbers are those of its virtual machine."""
    assert outside.first_program(sleeping, "0123456789abcdef") is None


def test_a_process_that_is_gone() -> None:
    with subprocess.Popen("true") as process:
        process.wait()
    assert outside.first_program(process.pid) is None


def started(argv: tuple[str, ...], *, after: Callable[[Callable[[], object]], object]) -> outside.Look | None:
    """What is seen of a process that has runc's name and executes the program when `after` calls what it is given."""
    (ready, ready_end), (gate, go) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _libc.prctl(PR_SET_NAME, b"runc:[2:INIT]", 0, 0, 0)
        os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
        os.write(ready_end, b"\n")
        os.read(gate, 1)
        os.execv(argv[0], argv)
    try:
        os.read(ready, 1)
        after(lambda: os.write(go, b"\n"))
        return outside.first_program(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for fd in (ready, ready_end, gate, go):
            os.close(fd)


def test_the_runtime_that_waits_is_not_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_the_first_look_again(start: Callable[[], object]) -> None:
        monkeypatch.setattr(time, "sleep", lambda _: start())

    monkeypatch.setattr(outside, "EXEC_SECONDS", 10.0)
    look = started(("/bin/sleep", "60"), after=at_the_first_look_again)
    assert look is not None
    assert look.observed.name == "sleep"


@pytest.mark.root
def test_the_instant_of_execve(tmp_path: Path, root: None) -> None:
    """Who looks at a set-user-ID program right when it starts sees the new ids, never the new program with the old ones."""
    if os.statvfs(tmp_path).f_flag & os.ST_NOSUID:
        pytest.skip("the directory for temporary files is mounted nosuid")
    program = tmp_path / "setuid"
    program.write_bytes(path("probe").read_bytes())
    os.chown(program, 1234, 0)
    program.chmod(0o4755)
    for _ in range(50):
        look = started((str(program), PAUSE_CALL[platform.machine()]), after=lambda start: start())
        assert look is not None
        assert (look.observed.name, look.observed.euid, look.secure) == ("setuid", 1234, True)
