# SPDX-License-Identifier: Apache-2.0
"""Protocol Buffers' wire format: the specification's own examples, and what is written is read back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.verify.engines import protobuf
from caplet.verify.engines.protobuf import fields, message

numbers = st.integers(1, (1 << 29) - 1)


@pytest.mark.parametrize(
    ("values", "wire"),
    [
        pytest.param({1: 150}, "089601", id="Test1: int32 a = 1"),
        pytest.param({2: "testing"}, "120774657374696e67", id="Test2: string b = 2"),
        pytest.param({3: message({1: 150})}, "1a03089601", id="Test3: message c = 3"),
        pytest.param({4: "hello", 6: [1, 2, 3]}, "220568656c6c6f300130023003", id="Test4, not packed"),
        pytest.param({1: -2}, "08feffffffffffffffff01", id="a negative int32: ten bytes"),
        pytest.param({7: {"key": "value"}}, "3a0c0a036b6579120576616c7565", id="map<string, string>"),
        pytest.param({1: 0, 2: "", 3: False, 4: None, 5: (), 6: {}}, "", id="what is empty is left out"),
        pytest.param({5: message({})}, "2a00", id="an empty message is there: Int64Value of 0"),
        pytest.param({1: ["", "a"]}, "0a000a0161", id="repeated: also what is empty"),
    ],
)
def test_examples_of_the_specification(values: dict[int, protobuf.Value], wire: str) -> None:
    """https://protobuf.dev/programming-guides/encoding/."""
    assert message(values).hex() == wire


@given(st.dictionaries(numbers, st.lists(st.one_of(st.integers(0, (1 << 64) - 1), st.binary()), min_size=1)))
def test_what_is_written_is_read(values: dict[int, list[int | bytes]]) -> None:
    assert fields(message(values)) == values


@given(numbers, st.integers(-(1 << 63), (1 << 63) - 1))
def test_numbers_keep_their_sign(field: int, value: int) -> None:
    assert protobuf.number(fields(message({field: value})), field) == value


@given(st.dictionaries(st.text(), st.text()))
def test_maps(values: dict[str, str]) -> None:
    assert protobuf.mapping(fields(message({9: values})), 9) == values


@given(st.binary())
def test_any_bytes_are_a_message_or_refused(data: bytes) -> None:
    try:
        fields(data)
    except InvalidInput:
        return


@pytest.mark.parametrize("size", range(1, 9))
def test_truncated(size: int) -> None:
    with pytest.raises(InvalidInput, match="ends early"):
        fields(message({2: "testing"})[:size])
