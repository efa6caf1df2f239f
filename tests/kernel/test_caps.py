from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from tests.conftest import missing
from tests.kernel.strategies import caps

from caplet.errors import InvalidInput
from caplet.kernel.caps import LAST_CAP, Cap, Caps

HEADER = Path("/usr/include/linux/capability.h")


@given(caps, caps, caps)
def test_they_are_sets(a: Caps, b: Caps, c: Caps) -> None:
    """Judged by Python's own sets, unknown bits and all."""
    x, y = set(a), set(b)
    assert set(a & b) == x & y
    assert set(a | b) == x | y
    assert set(a - b) == x - y
    assert set(a ^ b) == x ^ y
    assert (a <= b) is (x <= y)
    assert (a < b) is (x < y)
    assert (a >= b) is (x >= y)
    assert (a > b) is (x > y)
    assert len(a) == len(x)
    assert bool(a) is bool(x)
    assert all(cap in a for cap in x)
    assert Caps.of(*x) == a
    assert a & (b | c) == (a & b) | (a & c)


@given(caps)
def test_text_and_set_are_the_same(a: Caps) -> None:
    assert Caps.parse(str(a)) == a
    assert Caps.parse(str(a).lower()) == a


@pytest.mark.parametrize(
    "text",
    [
        "NET_RAW",
        "net_raw",
        "CAP_NET_RAW",
        "cap_net_raw",
        "Cap_Net_Raw",
        "13",
        " NET_RAW ",
        "NET_RAW,",
        "NET_RAW NET_RAW",
    ],
)
def test_every_spelling(text: str) -> None:
    assert Caps.parse(text) == Caps.of(Cap.NET_RAW)


def test_lists() -> None:
    assert Caps.parse("CHOWN, cap_kill\tSETUID") == Caps.of(Cap.CHOWN, Cap.KILL, Cap.SETUID)
    assert Caps.parse("ALL") == Caps.parse("all") == Caps.all()
    assert Caps.parse("") == Caps.parse("none") == Caps()
    assert str(Caps.of(Cap.KILL, Cap.CHOWN, 63)) == "CHOWN,KILL,63"


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("NET_BIND_SERVCE", "NET_BIND_SERVICE"),
        ("cap_sysadmin", "SYS_ADMIN"),
        ("NETRAW", "NET_RAW"),
        ("CAP_NET_BIND", "NET_BIND_SERVICE"),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest(text: str, nearest: str) -> None:
    with pytest.raises(InvalidInput, match=f"unknown capability .*; did you mean {nearest}\\?"):
        Caps.parse(text)


@pytest.mark.parametrize(
    "text", ["64", "-1", "CAP_", "0x1", "NET_RAW;CHOWN", "ÀLL", "١", "CAP_CAP_CHOWN", "CAP_13"]
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        Caps.parse(text)


@pytest.mark.parametrize("mask", [-1, 1 << 64])
def test_a_mask_has_64_bits(mask: int) -> None:
    with pytest.raises(InvalidInput):
        Caps(mask)


def test_names_and_numbers_are_the_kernels() -> None:
    if not HEADER.exists():
        missing("the kernel's headers (linux-libc-dev)")
    defined = re.findall(r"^#define CAP_(\w+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)
    assert {name: int(number) for name, number in defined} == {cap.name: cap.value for cap in Cap}


def test_the_last_is_this_kernels_last() -> None:
    assert int(Path("/proc/sys/kernel/cap_last_cap").read_text()) == LAST_CAP
