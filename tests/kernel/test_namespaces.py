from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.kernel.namespaces import INITIAL, NO_ID, IdMap, UserNamespace

PODS = UserNamespace(INITIAL, 0, IdMap.of((0, 100000, 65536)), IdMap.of((0, 100000, 65536)))
NESTED = UserNamespace(PODS, 100000, IdMap.of((0, 101000, 10)), IdMap.of((0, 101000, 10)))
ROOTLESS = UserNamespace(INITIAL, 1000, IdMap.of((0, 1000, 1), (1, 200000, 65536)), IdMap.of((0, 1000, 1)))


@given(st.integers(0, 300000))
def test_up_undoes_down(number: int) -> None:
    for ids in (PODS.uid_map, NESTED.uid_map, ROOTLESS.uid_map, INITIAL.uid_map):
        outside = ids.down(number)
        assert outside is None or ids.up(outside) == number


def test_a_map_within_a_map() -> None:
    assert PODS.uid_map.below(IdMap.of((0, 1000, 10))) == NESTED.uid_map
    assert PODS.uid_map.below(IdMap.of((0, 65530, 10))) is None
    assert ROOTLESS.uid_map.below(IdMap.of((0, 0, 2))) is None, "a range lies in one extent"


@pytest.mark.parametrize(
    "extents",
    [
        ((0, 0, 0),),
        ((-1, 0, 1),),
        ((0, 0, NO_ID + 1),),
        ((NO_ID, 0, 1),),
        ((0, 0, 5), (4, 10, 1)),
        ((0, 0, 5), (9, 4, 1)),
    ],
    ids=["empty", "negative", "too long", "no id", "overlap inside", "overlap outside"],
)
def test_no_such_map(extents: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(InvalidInput):
        IdMap.of(*extents)


def test_who_is_within_whom() -> None:
    assert NESTED.within(PODS)
    assert NESTED.within(INITIAL)
    assert not PODS.within(NESTED)
    assert not PODS.within(ROOTLESS)


def test_whose_root_an_id_is() -> None:
    """rootid_owns_currentns(): of the namespace itself or of one around it."""
    assert [uid for uid in (0, 1000, 100000, 101000) if NESTED.is_root(uid)] == [0, 100000, 101000]
    assert [uid for uid in (0, 1000, 100000, 101000) if ROOTLESS.is_root(uid)] == [0, 1000]
