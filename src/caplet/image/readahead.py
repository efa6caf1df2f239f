# SPDX-License-Identifier: Apache-2.0
"""Layers read from the top down, the next ones below begun before anybody knows that they are needed.

Only what stands in an upper layer says whether the layer below it counts. Until then the other processor would wait;
what it reads in vain is given up as soon as the answer is there.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")

WORKERS = 2
"""Layers in work at once. Each of them keeps a processor busy, and a second one where it is free (`content`)."""

AHEAD = 2
"""Layers below the one that is asked for: small ones lie between large ones, and are read in no time."""


class GivenUp(Exception):
    """Nobody needs this layer any more."""


def until(stop: threading.Event, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The chunks; raises GivenUp in their midst once `stop` is set."""
    for chunk in chunks:
        if stop.is_set():
            raise GivenUp
        yield chunk


class ReadAhead(Generic[T]):
    """What `read(index, stop)` gives for each index, computed once; `stop` says that it is given up."""

    def __init__(self, read: Callable[[int, threading.Event], T]) -> None:
        self._read = read
        self._stop = threading.Event()
        self._done: dict[int, T] = {}
        self._started: dict[int, Future[T]] = {}
        self._pool: ThreadPoolExecutor | None = None

    def get(self, index: int) -> T:
        """The value, or what `read` raised. An error of a layer that nobody asks for is nobody's."""
        if index not in self._done:
            self._done[index] = self._first(index)
        return self._done[index]

    @property
    def asked(self) -> frozenset[int]:
        """Indexes that `get` gave."""
        return frozenset(self._done)

    def close(self) -> None:
        """Give up what is being read ahead. Later a `get` reads without haste."""
        self._stop.set()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _first(self, index: int) -> T:
        if self._stop.is_set() or (index == 0 and index not in self._started) or (os.cpu_count() or 1) == 1:
            return self._read(index, threading.Event())
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._pool = ThreadPoolExecutor(WORKERS, "layer")
        for below in range(index, max(index - AHEAD, 0) - 1, -1):
            if below not in self._started:
                self._started[below] = self._pool.submit(self._read, below, self._stop)
        try:
            return self._started[index].result()
        except BaseException:  # this layer's error, or an interrupt: the others are not needed either
            self._stop.set()
            raise
