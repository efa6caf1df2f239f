# SPDX-License-Identifier: Apache-2.0
"""One run of one command, measured as a whole process by the kernel's own accounting.

- wall: from before the start to after the end, by the monotonic clock.
- cpu: user and system time of the process and of all its waited-for children, wait4(2).
- peak: the largest resident set among them, wait4(2) `ru_maxrss`. exec keeps the mark of the process that forked
  (fs/exec.c, exec_mmap(), setmax_mm_hiwater_rss()), so no figure is below this interpreter's own size; `floor()` tells it.
- written: bytes of dirtied pages, /proc/PID/io `write_bytes` (Documentation/filesystems/proc.rst), children included;
  temporary files count, links and reflinks do not.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass

TIMEOUT = 900
"""Seconds; no peer takes a quarter of it on the machines we know."""
LAST = 2000
"""Bytes of a failed command's messages that are shown."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run took."""

    wall: float
    cpu: float
    peak: int
    written: int


class Failed(Exception):
    """The command did not do what is measured."""

    def __init__(self, command: tuple[str, ...], code: int, errors: str) -> None:
        super().__init__(f"{' '.join(command)}\nexited with {code}\n{errors}")
        self.said = (errors.strip().splitlines() or [f"exit code {code}"])[-1]
        """Its last line of complaint."""


def run(command: tuple[str, ...], environment: dict[str, str]) -> tuple[Sample, bytes]:
    """Run to the end; the sample, and what the command printed."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=environment,
            process_group=0,
        )
        watchdog = threading.Timer(TIMEOUT, os.killpg, (process.pid, signal.SIGKILL))
        watchdog.start()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        wall = time.monotonic() - start
        watchdog.cancel()
        written = _written(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        if process.returncode != 0:
            raise Failed(command, process.returncode, errors.read()[-LAST:].decode(errors="replace"))
        sample = Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, written)
        return sample, output.read()


def floor() -> int:
    """The resident set below which `peak` cannot fall."""
    sample, _ = run(("true",), dict(os.environ))
    return sample.peak


def _written(pid: int) -> int:
    """The process is dead and not yet waited for: its accounts are final and still there."""
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        fields = dict(line.split(": ") for line in file)
    return int(fields["write_bytes"])
