# SPDX-License-Identifier: Apache-2.0
"""Names of outputs: references but for those that choose among images; tests/cli/test_pack.py has the hints."""

from __future__ import annotations

import pytest

from caplet.errors import CapletError
from caplet.image.destination import parse_destination
from caplet.image.reference import parse_reference


@pytest.mark.parametrize("text", ["oci:a", "oci:a:b", "oci-archive:a.tar:b", "docker-archive:a.tar:b/c:d"])
def test_a_place_is_a_reference(text: str) -> None:
    assert parse_destination(text) == parse_reference(text)
    assert str(parse_destination(text)) == text


@pytest.mark.parametrize(
    "text", ["", "a", ":", "oci:", "oci:a:b c", "oci:a:@1", "docker-archive:a:@0", "http://a", "sif:a"]
)
def test_anything_else_is_an_error_with_a_way_out(text: str) -> None:
    with pytest.raises(CapletError) as caught:
        parse_destination(text)
    assert caught.value.hint.startswith("write ")
