# SPDX-License-Identifier: Apache-2.0
"""Shows how far long work is: one line on a terminal, gone at the end."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.progress import Progress

PROGRESS_AFTER = 1.0
"""Seconds until progress is shown: a quick scan is silent."""
INTERVAL = 0.2
"""Seconds between two looks."""


@contextlib.contextmanager
def shown(progress: Progress, what: str) -> Iterator[None]:
    """One line on standard error that is rewritten, where that is a terminal, and gone at the end."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_show, args=(progress, what, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _show(progress: Progress, what: str, over: threading.Event) -> None:
    started = time.monotonic()
    wait = PROGRESS_AFTER
    while not over.wait(wait):
        wait = INTERVAL
        megabytes = progress.bytes / 1e6
        rate = megabytes / (time.monotonic() - started)
        sys.stderr.write(
            f"\r\x1b[K{what}: {progress.layers} of {progress.total_layers} layers, {megabytes:,.0f} MB, {rate:,.0f} MB/s"
        )
        sys.stderr.flush()
    if wait != PROGRESS_AFTER:
        sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()
