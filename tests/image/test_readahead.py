# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

import pytest

from caplet.errors import ImageError
from caplet.image.readahead import AHEAD, GivenUp, ReadAhead, until


def test_each_index_is_read_once_and_only_what_is_asked_for_counts() -> None:
    read: list[int] = []

    def one(index: int, stop: threading.Event) -> int:
        del stop
        read.append(index)
        return index * index

    values = ReadAhead(one)
    assert [values.get(9), values.get(8), values.get(9)] == [81, 64, 81]
    values.close()
    assert values.asked == {8, 9}
    assert len(read) == len(set(read))
    assert min(read) >= 8 - AHEAD


def test_a_layer_that_is_not_needed_is_given_up() -> None:
    reading, ended = threading.Event(), threading.Event()

    def one(index: int, stop: threading.Event) -> int:
        if index == 2:
            assert reading.wait(60)  # the one below is under way
            return index
        try:
            for _ in until(stop, iter(lambda: b"more", b"")):
                reading.set()
        except GivenUp:
            ended.set()
            raise
        return index

    values = ReadAhead(one)
    assert values.get(2) == 2
    values.close()
    assert ended.is_set()
    assert values.asked == {2}


def test_an_error_below_is_raised_only_where_it_is_asked_for() -> None:
    def one(index: int, stop: threading.Event) -> int:
        del stop
        if index == 1:
            raise ImageError("layer 1 is broken")
        return index

    values = ReadAhead(one)
    assert values.get(2) == 2
    with pytest.raises(ImageError, match="layer 1 is broken"):
        values.get(1)
    values.close()


def test_after_close_it_still_answers() -> None:
    values = ReadAhead(lambda index, stop: (index, stop.is_set()))
    values.close()
    assert values.get(3) == (3, False)
