# SPDX-License-Identifier: Apache-2.0
"""Capabilities for a file of an image: what is meant is proposed, and what is proposed is accepted."""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput
from caplet.image.imagecaps import are_caps, image_caps, joined

MEANT = {
    "semicolon": ("NET_RAW;KILL", "separate them by commas: NET_RAW,KILL"),
    "bar": ("cap_net_raw|cap_kill", "separate them by commas: cap_net_raw,cap_kill"),
    "sets alone": ("ep", "name the capabilities too: cap_net_bind_service=ep"),
    "operator alone": ("+ep", "name the capabilities too: cap_net_bind_service=ep"),
    "sets twice": ("NET_RAW+ep,KILL+ep", "write the sets once, behind the last: NET_RAW,KILL+ep"),
    "different sets": ("NET_RAW+ep,KILL+p", "write them as cap_from_text(3) does: cap_net_bind_service=ep"),
    "quotes": ('"NET_RAW"', "write NET_RAW"),
    "brackets": ("[NET_RAW,KILL]", "write NET_RAW,KILL"),
    "a hyphen": ("net-raw", "write net_raw"),
    "a space": ("net raw", "write net_raw"),
    "a mask": ("0x0000000000002400", "write the names of a mask: NET_BIND_SERVICE,NET_RAW"),
    "a decimal mask": ("1024", "write the names of a mask: NET_BIND_SERVICE"),
    "no mask": ("99999999999999999999", ""),
    "an unknown one among others": ("NET_RAW;NO", ""),
}


@pytest.mark.parametrize(("text", "hint"), MEANT.values(), ids=list(MEANT))
def test_what_was_probably_meant(text: str, hint: str) -> None:
    assert not are_caps(text)
    with pytest.raises(InvalidInput) as caught:
        image_caps(text)
    assert caught.value.hint == hint
    if hint:
        assert are_caps(hint.rpartition(" ")[2])


@pytest.mark.parametrize(
    ("texts", "one"),
    [
        (["NET_RAW", "KILL"], "NET_RAW,KILL"),
        (["NET_RAW,", "KILL"], "NET_RAW,KILL"),
        (["cap_net_raw+ep", "cap_kill+ep"], "cap_kill,cap_net_raw=ep"),
        (["cap_net_raw+ep", "KILL"], "cap_kill,cap_net_raw=ep"),
        (["cap_net_raw+p", "KILL"], ""),
        (["NET_RAW", "none of them"], ""),
    ],
)
def test_several_are_joined(texts: list[str], one: str) -> None:
    assert joined(*texts) == one


def test_a_root_user_id_has_no_place_in_an_image() -> None:
    with pytest.raises(InvalidInput, match="a root user id"):
        image_caps("cap_net_raw=ep [rootid=1000]")
