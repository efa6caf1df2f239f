# SPDX-License-Identifier: Apache-2.0
"""An iterator that works ahead on a thread of its own, for work that leaves the interpreter lock: decompression does."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

INLINE = 16
"""Pieces that come before a thread is worth starting: 4 MiB."""
AHEAD = 24
"""Pieces that may wait: at 256 KiB each, 6 MiB."""
BATCH = 6
"""Pieces handed over at once: waking a thread for each costs more than the work between."""


def ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces. What the iterator raises is raised here; closing this one ends the thread."""
    yield from itertools.islice(pieces, INLINE)
    line = _Line()
    # A daemon: an iterator that nobody finishes must not keep the interpreter from ending.
    worker = threading.Thread(target=line.fill, args=(pieces,), name="caplet-ahead", daemon=True)
    worker.start()
    try:
        while batch := line.take():
            yield from batch
    finally:
        line.abandon()
        worker.join()
    if line.error is not None:
        raise line.error


class _Line:
    """A bounded queue of pieces between two threads; an empty batch is the end."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._abandoned = False
        self.error: BaseException | None = None

    def fill(self, pieces: Iterator[bytes]) -> None:
        held: list[bytes] = []
        try:
            for piece in pieces:
                held.append(piece)
                if len(held) == BATCH:
                    if not self._put(held):
                        return
                    held = []
        except BaseException as error:  # noqa: BLE001 - it is raised again where the pieces are wanted
            self.error = error
        self._put(held)
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _put(self, pieces: list[bytes]) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: len(self._pieces) < AHEAD or self._abandoned)
            self._pieces.extend(pieces)
            self._changed.notify_all()
            return not self._abandoned

    def take(self) -> list[bytes]:
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._over)
            batch = list(self._pieces)
            self._pieces.clear()
            self._changed.notify_all()
            return batch

    def abandon(self) -> None:
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
