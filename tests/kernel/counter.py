# SPDX-License-Identifier: Apache-2.0
"""How far long work in several processes is, while it is done: one line on a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import mmap
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 10.0
"""Between two lines where nobody sees them rewritten: a log stays readable, and shows that it goes on."""
SECONDS_ON_A_TERMINAL = 0.5

_CELL = struct.Struct("q")


class SharedCounter:
    """One number for each process, in memory that forked processes share; each process counts in its own cell."""

    def __init__(self, processes: int) -> None:
        self._cells = mmap.mmap(-1, max(1, processes) * _CELL.size)

    def count(self, process: int) -> None:
        at = process * _CELL.size
        _CELL.pack_into(self._cells, at, _CELL.unpack_from(self._cells, at)[0] + 1)

    def total(self) -> int:
        return sum(value for (value,) in _CELL.iter_unpack(self._cells))

    @contextlib.contextmanager
    def shown(self, what: str, all_of_them: int) -> Iterator[None]:
        """Progress on standard error while the block runs. Fork before: a thread looks at the number."""
        over = threading.Event()
        watcher = threading.Thread(target=self._show, args=(what, all_of_them, over), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _show(self, what: str, all_of_them: int, over: threading.Event) -> None:
        terminal = sys.stderr.isatty()
        begun = time.monotonic()
        while not over.wait(SECONDS_ON_A_TERMINAL if terminal else SECONDS):
            done, seconds = self.total(), time.monotonic() - begun
            left = seconds * (all_of_them - done) / done if done else 0.0
            line = f"{what}: {done:,} of {all_of_them:,} in {seconds:.0f} s, about {left:.0f} s to go"
            print(
                f"\r\x1b[K{line}" if terminal else line,
                end="" if terminal else "\n",
                file=sys.stderr,
                flush=True,
            )
        if terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
