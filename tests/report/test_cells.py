# SPDX-License-Identifier: Apache-2.0
"""Lines are broken, not changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.report.cells import NARROWEST, cells, pad, wrap
from caplet.report.printable import printable

TEXTS = st.text(st.characters(), max_size=120).map(printable)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        pytest.param("one two three", 8, ["one two", "three"], id="at-spaces"),
        pytest.param("NET_RAW,CHOWN,KILL", 10, ["NET_RAW,", "CHOWN,KILL"], id="behind-commas"),
        pytest.param("NET_BIND_SERVICE", 10, ["NET_BIND_S", "ERVICE"], id="in-a-long-word"),
        pytest.param("漢字漢字漢字", 8, ["漢字漢字", "漢字"], id="wide"),
        pytest.param("any length", None, ["any length"], id="no-width"),
    ],
)
def test_wrap(text: str, width: int | None, lines: list[str]) -> None:
    assert wrap(text, width) == lines


@given(TEXTS, st.integers(NARROWEST, 60))
def test_wrap_loses_nothing_but_spaces(text: str, width: int) -> None:
    lines = wrap(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(cells(line) <= width for line in lines)


def test_marks_that_combine_take_no_cell() -> None:
    assert cells("e\u0301") == 1
    assert pad("e\u0301", 3) == "e\u0301  "
