# SPDX-License-Identifier: Apache-2.0
"""A caplet in a process of its own, under watch: how it ends, what it says, and the most memory it had."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass

import pytest

SECONDS = 60
"""Some engines take 45 seconds for the layers of these tests; a loaded machine must not fail the test."""


@dataclass(frozen=True, slots=True)
class Watched:
    code: int
    out: str
    err: str
    megabytes: int
    """The most memory it had."""


def watched(work: str, *arguments: str) -> Watched:
    """`caplet ARGUMENTS`, with its output in files of the directory `work`."""
    paths = [os.path.join(work, name) for name in ("out", "err")]
    pid = os.posix_spawn(
        sys.executable,
        (sys.executable, "-m", "caplet", *arguments),
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, number + 1, path, os.O_WRONLY | os.O_CREAT, 0o600)
            for number, path in enumerate(paths)
        ],
    )
    end = time.monotonic() + SECONDS
    most = 0
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        most = max(most, peak(pid))
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            pytest.fail(f"over {SECONDS} seconds")
        time.sleep(0.01)
    out, err = map(read, paths)
    return Watched(os.waitstatus_to_exitcode(done[1]), out, err, most >> 10)


def peak(pid: int) -> int:
    """The most kilobytes a living process had. Not ru_maxrss, which counts the process that started it as well."""
    lines = read(f"/proc/{pid}/status").splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as source:
        return source.read()
