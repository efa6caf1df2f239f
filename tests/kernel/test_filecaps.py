from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.kernel.strategies import file_caps

from caplet.errors import InvalidInput
from caplet.kernel import captext
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NBS = Caps.of(Cap.NET_BIND_SERVICE)
XATTR = "security.capability"


@given(file_caps)
def test_decode_undoes_encode(caps: FileCaps) -> None:
    assert FileCaps.decode(caps.encode()) == caps


@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_invalid_input(value: bytes) -> None:
    try:
        caps = FileCaps.decode(value)
    except InvalidInput:
        return
    assert caps.encode() == value or value[3] == 1  # revision 1 is written as 2


@given(file_caps.filter(lambda caps: not caps.flags and (caps.permitted or caps.inheritable)))
def test_parse_undoes_str(caps: FileCaps) -> None:
    shown = replace(caps, rootid=None) if caps.rootid in (0, 0xFFFFFFFF) else caps
    assert FileCaps.parse(str(caps)) == shown


@pytest.mark.parametrize(
    ("value", "caps"),
    [
        ("01000002 00040000 00000000 00000000 00000000", FileCaps(NBS, effective=True)),
        ("01000002 00300000 00300000 00000000 00000000", FileCaps.parse("cap_net_raw,cap_net_admin=eip")),
        (
            "01000003 00040000 00000000 00000000 00000000 00000100",
            FileCaps(NBS, effective=True, rootid=65536),
        ),
        ("00000002 00000000 00000000 00000000 00000000", FileCaps()),
        ("00000002 00000000 00000000 00010000 00000080", FileCaps(Caps.of(40), Caps.of(63))),
    ],
    ids=["NBS=ep", "two=eip", "rootid", "empty", "high"],
)
def test_known_bytes(value: str, caps: FileCaps) -> None:
    assert FileCaps.decode(bytes.fromhex(value)) == caps
    assert caps.encode() == bytes.fromhex(value)


def test_revision_1_has_half_the_bits() -> None:
    assert FileCaps.decode(bytes.fromhex("01000001 00040000 01000000")) == FileCaps(
        NBS, Caps.of(Cap.CHOWN), effective=True
    )


GOOD = FileCaps(NBS, effective=True).encode()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"", "cut short: 0 of 4"),
        (GOOD[:3], "cut short: 3 of 4"),
        (GOOD[:4], "revision 2 has 4 bytes, not 20"),
        (GOOD[:19], "revision 2 has 19 bytes, not 20"),
        (GOOD + b"\n", "revision 2 has 21 bytes, not 20"),
        (b"\1\0\0\3" + GOOD[4:], "revision 3 has 20 bytes, not 24"),
        (b"\1\0\0\1" + GOOD[4:], "revision 1 has 20 bytes, not 12"),
        (b"\1\0\0\4" + GOOD[4:], "unknown revision 4"),
        (b"\1\0\0\0" + GOOD[4:], "unknown revision 0"),
        (b"0x01000002", "unknown revision 49"),
    ],
)
def test_malformed_values_say_what_is_wrong(value: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        FileCaps.decode(value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("NET_BIND_SERVICE", "cap_net_bind_service=ep"),
        ("CAP_NET_RAW,CAP_NET_ADMIN", "cap_net_admin,cap_net_raw=ep"),
        ("cap_net_raw", "cap_net_raw=ep"),
        ("cap_net_raw+ep", "cap_net_raw=ep"),
        ("NET_RAW+p", "cap_net_raw=p"),
        ("cap_net_raw=eip", "cap_net_raw=eip"),
        ("=", "="),
        ("all=ep", "=ep"),
        ("ALL", "=ep"),
        ("=ep cap_chown-ep", "=ep cap_chown-ep"),
        ("cap_chown=p 45+p", "cap_chown=p 45+p"),
        ("cap_net_raw=ep [rootid=1000]", "cap_net_raw=ep [rootid=1000]"),
    ],
)
def test_spellings(text: str, shown: str) -> None:
    assert str(FileCaps.parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no capabilities given"),
        (" \t", "no capabilities given"),
        ("cap_chown=e", "must be none"),
        ("cap_chown=ep cap_kill=p", "must be none"),
        ("cap_chown=p cap_kill=ep", "must be none"),
        ("NET_BIND_SERVCE", "did you mean NET_BIND_SERVICE"),
        ("cap_net_bind_servce+ep", "did you mean cap_net_bind_service"),
        ("cap_chown=ep [rootid=99999999999]", "not capabilities with an operator"),
        ("cap_chown=ep [rootid=4294967296]", "not a user id"),
    ],
)
def test_refused_texts_say_why(text: str, says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        FileCaps.parse(text)
    assert says in refused.value.message


def some_caps(random: Random) -> FileCaps:
    full = (1 << 41) - 1
    masks = [
        random.choice((0, full, random.getrandbits(64), random.getrandbits(41) & random.getrandbits(41)))
        for _ in "pi"
    ]
    rootid = random.choice((None, None, 0, 1, 1000, 65536))
    return FileCaps(Caps(masks[0]), Caps(masks[1]), random.random() < 0.5, rootid)


@pytest.mark.usefixtures("root")
def test_it_shows_what_getcap_shows(tool: Callable[[str], str], tmp_path: Path) -> None:
    random, expected = Random(4), {}
    for number in range(300):
        path = tmp_path / f"file{number:03}"
        path.touch()
        os.setxattr(path, XATTR, (caps := some_caps(random)).encode())
        expected[str(path)] = caps
    output = subprocess.run(
        [tool("getcap"), "-n", *expected], capture_output=True, text=True, check=True
    ).stdout
    assert output.splitlines() == [f"{path} {caps}" for path, caps in expected.items()]


def read(text: str) -> captext.Sets | None:
    try:
        return captext.from_text(text)
    except InvalidInput:
        return None


@pytest.mark.usefixtures("root")
def test_it_takes_and_writes_what_setcap_takes_and_writes(tool: Callable[[str], str], tmp_path: Path) -> None:
    random, done = Random(5), 0
    words = ("cap_chown", "cap_kill", "cap_net_raw", "all", "45", "")
    for number in range(150):
        actions = [
            random.choice(words)
            + random.choice(("=", "+", "=+", "-"))
            + random.choice(("ep", "p", "i", "eip", "ei", "e", ""))
            for _ in range(random.choice((1, 1, 2)))
        ]
        text, path = " ".join(actions), tmp_path / f"file{number}"
        path.touch()
        setcap = subprocess.run([tool("setcap"), text, str(path)], capture_output=True, check=False)
        sets = read(text)
        if sets is None:
            assert setcap.returncode != 0, text
            continue
        try:
            caps = FileCaps.of_sets(sets)
        except InvalidInput:
            # libcap 2.66 lets a capability pass that is effective and nothing else; 2.76 does not.
            assert setcap.returncode != 0 or not sets.effective <= sets.permitted | sets.inheritable, text
            continue
        assert setcap.returncode == 0, text
        assert os.getxattr(path, XATTR) == caps.encode(), text
        done += 1
    assert done > 30
