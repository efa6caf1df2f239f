"""Whatever a name holds, what is shown moves no cursor and reorders no line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.cli.terminal import UNSAFE_CATEGORIES, printable


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        pytest.param("usr/bin/ping", "usr/bin/ping", id="plain"),
        pytest.param(b"caf\xc3\xa9", "café", id="utf-8"),
        pytest.param(b"\xff\xfe", "\\xff\\xfe", id="not-utf-8"),
        pytest.param("a\nb", "a\\x0ab", id="newline"),
        pytest.param("\x1b[31m", "\\x1b[31m", id="escape-sequence"),
        pytest.param("\u202egnp.exe", "\\u202egnp.exe", id="bidi-override"),
        pytest.param("\U000e0001", "\\U000e0001", id="tag-character"),
        pytest.param("\x9b31m", "\\x9b31m", id="c1-csi"),
    ],
)
def test_escapes(raw: str | bytes, shown: str) -> None:
    assert printable(raw) == shown


@given(st.one_of(st.text(), st.binary()))
def test_never_unsafe(raw: str | bytes) -> None:
    import unicodedata

    assert not {unicodedata.category(char) for char in printable(raw)} & UNSAFE_CATEGORIES
