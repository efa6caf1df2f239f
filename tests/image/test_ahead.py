# SPDX-License-Identifier: Apache-2.0
"""Working ahead changes neither the pieces nor the errors, and leaves no thread."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest

from caplet.errors import ImageError
from caplet.image.ahead import AHEAD, BATCH, INLINE, ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


def numbered(count: int, taken: list[int] | None = None) -> Iterator[bytes]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield b"%d" % number


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "caplet-ahead"]


@pytest.mark.parametrize("count", [0, 1, INLINE, INLINE + 1, INLINE + BATCH, INLINE + AHEAD * 3 + 1, 2000])
def test_the_same_pieces_in_order(count: int) -> None:
    assert list(ahead(numbered(count))) == list(numbered(count))
    assert threads() == []


@pytest.mark.parametrize("good", [0, 3, INLINE, INLINE + 1, 200])
def test_an_error_comes_after_the_pieces_before_it(good: int) -> None:
    def failing() -> Iterator[bytes]:
        yield from numbered(good)
        raise ImageError("wrong digest")

    got: list[bytes] = []
    with pytest.raises(ImageError, match="wrong digest"):
        deque(map(got.append, ahead(failing())), maxlen=0)
    assert got == list(numbered(good))
    assert threads() == []


def test_closed_early_the_thread_ends_and_little_was_done() -> None:
    taken: list[int] = []
    pieces = ahead(numbered(100_000, taken))
    for _ in range(INLINE + 2):
        next(pieces)
    assert threads() == ["caplet-ahead"]
    pieces.close()  # type: ignore[attr-defined]
    assert threads() == []
    assert len(taken) <= INLINE + 2 * AHEAD + 2 * BATCH
