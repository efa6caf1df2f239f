"""The judge is libcap itself, by ctypes: it must accept the same texts and write the same ones."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from tests.conftest import missing
from tests.kernel import libcap
from tests.kernel.strategies import sets

from caplet.errors import InvalidInput
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.captext import Sets, from_text, to_text

WORDS = (
    "cap_chown", "CAP_Chown", "cap_kill", "cap_checkpoint_restore", "10", "0x1f", "012", "63", "64", "08", "all", "ALL", "cap_bpf",
    "cap_chow", "chown", "_x", "99999999999999999999", "0x", "0X1F", "cap_chown1", "0", "00", "allx", "all_", "none", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> libcap.Libcap:
    library = libcap.load()
    if library is None:
        missing("libcap")
    assert library is not None
    return library


def clause(random: Random) -> str:
    caps = ",".join(random.choice(WORDS) for _ in range(random.choice((0, 1, 1, 1, 2, 3))))
    actions = (
        random.choice(("=", "+", "-", "=+", "=-", "=", "+", "-", "==", "", ":"))
        + "".join(random.choice("eip") for _ in range(random.choice((0, 1, 1, 2, 3))))
        for _ in range(random.choice((1, 1, 1, 2, 3)))
    )
    return caps + "".join(actions)


def text(random: Random) -> str:
    clauses = [clause(random) for _ in range(random.choice((0, 1, 1, 2, 3)))]
    whole = random.choice((" ", "  ", "\n", "\t", "\v", "")).join(clauses)
    if whole and random.random() < 0.15:
        at = random.randrange(len(whole))
        whole = whole[:at] + random.choice("eip=+-, _0a\x01\xe9\x0c") + whole[at + random.choice((0, 1)) :]
    return random.choice(("", "", " ")) + whole


def test_it_accepts_what_libcap_accepts_and_makes_the_same_of_it(judge: libcap.Libcap) -> None:
    random, accepted = Random(2), 0
    for _ in range(6_000):
        one = text(random)
        expected = judge.from_text(one.encode())
        try:
            assert from_text(one) == expected, one
            accepted += 1
        except InvalidInput:
            assert expected is None, one
    assert accepted > 1_000


def test_it_writes_what_libcap_writes(judge: libcap.Libcap) -> None:
    random = Random(3)
    near = [0, (1 << 41) - 1, (1 << 64) - 1, 1 << 10]
    for _ in range(3_000):
        masks = [
            random.choice((*near, random.getrandbits(64), random.getrandbits(41) & random.getrandbits(41)))
            for _ in "eip"
        ]
        if random.random() < 0.5:
            masks[random.randrange(3)] = masks[0]
        some = Sets(*map(Caps, masks))
        assert to_text(some) == judge.to_text(some)


@given(sets)
def test_text_and_sets_are_the_same(some: Sets) -> None:
    assert from_text(to_text(some)) == some


CHOWN, KILL = Caps.of(Cap.CHOWN), Caps.of(Cap.KILL)
ALL = Caps.all()


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("", Sets()),
        ("=", Sets()),
        ("=ep", Sets(ALL, Caps(), ALL)),
        ("all=ep", Sets(ALL, Caps(), ALL)),
        ("all=", Sets()),
        ("cap_chown+p", Sets(permitted=CHOWN)),
        ("cap_chown=ep cap_chown-e", Sets(permitted=CHOWN)),
        ("cap_chown,cap_kill=+eip", Sets(CHOWN | KILL, CHOWN | KILL, CHOWN | KILL)),
        ("=p cap_kill-p", Sets(permitted=ALL - KILL)),
        ("cap_chown+e-e+p", Sets(permitted=CHOWN)),
        ("63,all=p", Sets(permitted=ALL)),
        ("all,63=p", Sets(permitted=ALL | Caps.of(63))),
    ],
    ids=lambda value: repr(value) if isinstance(value, str) else "",
)
def test_clauses(written: str, meant: Sets) -> None:
    assert from_text(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "cap_chown",
        "+p",
        "-p",
        "=+p",
        "=p+e",
        "cap_chown+",
        "cap_chown=+",
        "cap_chown,=p",
        "cap_chown =p",
        "cap_chown=x",
        "ep",
    ],
)
def test_refused(written: str) -> None:
    with pytest.raises(InvalidInput):
        from_text(written)
