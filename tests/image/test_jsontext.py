# SPDX-License-Identifier: Apache-2.0
"""What is JSON to one reader and something else to another is refused."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.image import jsontext

REFUSED = {
    "empty": (b"", "not JSON"),
    "truncated": (b'{"a":', "not JSON"),
    "trailing garbage": (b"{} x", "not JSON"),
    "two documents": (b"{}{}", "not JSON"),
    "trailing NUL": (b"{}\0", "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "trailing comma": (b'{"a": 1,}', "not JSON"),
    "comment": (b"{} // no", "not JSON"),
    "control character in a string": (b'{"a": "\n"}', "not JSON"),
    "duplicate key": (b'{"a": 1, "a": 1}', "'a' twice"),
    "duplicate key, escaped": (b'{"a": 1, "\\u0061": 2}', "'a' twice"),
    "duplicate key, deep": (b'[{"b": {"a": 1, "a": 2}}]', "'a' twice"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "Infinity": (b'{"a": -Infinity}', "Infinity"),
    "too large for a double": (b'{"a": 1e999}', "beyond the range"),
    "too large for 64 bits": (b'{"a": 9223372036854775808}', "64 bits"),
    "a million digits": (b'{"a": ' + b"9" * 1_000_000 + b"}", "64 bits"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "not UTF-8"),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
    "invalid UTF-8": (b'{"a": "\xff"}', "not UTF-8"),
    "overlong UTF-8": (b'{"a": "\xc0\xaf"}', "not UTF-8"),
    "surrogate in UTF-8": (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
    "half a surrogate pair": (b'{"a": "\\ud800"}', "surrogate"),
    "half a surrogate pair in a name": (b'{"\\uDC00": 1}', "surrogate"),
    "129 levels": (b"[" * 129 + b"]" * 129, "128 levels"),
    "a million levels": (b"[" * 1_000_000, "128 levels"),
    "a million levels of objects": (b'{"a":' * 1_000_000, "128 levels"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(message)) as caught:
        jsontext.parse(data, "a document")
    assert len(caught.value.message) < 200, "the message is one short line, whatever the input"


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 128 + b"]" * 128,
        b'{"a": "' + b"[" * 1000 + b'"}',
        b'{"a": "\\"' + b"[" * 1000 + b'"}',
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": 9223372036854775807, "b": -9223372036854775807, "c": 1.5}',
        b' \n {"a":{"b":null}} \t ',
    ],
    ids=[
        "128 levels",
        "brackets in a string",
        "after an escaped quote",
        "a surrogate pair",
        "limits",
        "spaces",
    ],
)
def test_accepted(data: bytes) -> None:
    assert jsontext.parse(data, "a document") == json.loads(data)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


@given(VALUES)
def test_round_trip(value: object) -> None:
    """What is written is read back, names in the same order, and writing it again gives the same bytes."""
    text = jsontext.dump(value)
    again = jsontext.parse(text, "it")
    assert again == value
    assert jsontext.dump(again) == text


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0dDeE+-. 19tfn').map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = jsontext.parse(data, "it")
    except InvalidInput:
        return
    assert json.loads(data) == value


@pytest.mark.parametrize("name", ["Config", "CONFIG", "\u017fize"], ids=["capital", "capitals", "long s"])
def test_names_that_go_would_take_for_others(name: str) -> None:
    """encoding/json folds case, and U+017F to s."""
    with pytest.raises(InvalidInput, match="ambiguous"):
        jsontext.spelled({name: 1}, ("config", "size"), "it")
    jsontext.spelled({"config": 1, "size": 2, "other": 3}, ("config", "size"), "it")
