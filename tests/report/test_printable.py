# SPDX-License-Identifier: Apache-2.0
"""Text that is shown is no longer than anyone reads. tests/cli/test_terminal.py has what is escaped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.report.printable import MAX_SHOWN, printable, shown


@given(st.text(max_size=300))
def test_what_is_short_is_whole(text: str) -> None:
    assert shown(text) == printable(text) or len(printable(text)) > MAX_SHOWN


@pytest.mark.parametrize("size", [MAX_SHOWN + 1, MAX_SHOWN * 3, MAX_SHOWN * 3 + 1, 1_000_000])
def test_head_and_tail_stay(size: int) -> None:
    text = "a" * (size - 3) + "end"
    assert shown(text).startswith("aaa")
    assert shown(text).endswith("end")
    assert " ... " in shown(text)
    assert len(shown(text)) <= MAX_SHOWN + 5
