# SPDX-License-Identifier: Apache-2.0
"""The picture's lanes say what the sets are, and mark the loss where it happens."""

from __future__ import annotations

import pytest
from tests.report.cases import CASES, every, examples

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.report.picture import CELLS, Lane, picture, short


def lanes(name: str) -> tuple[Lane, ...]:
    (one,) = CASES[name]()
    return picture(one.explanation, one.causes).lanes


def test_cells_are_the_sets() -> None:
    for one in (*every(), *examples()):
        explanation = one.explanation
        drawn = picture(explanation, one.causes)
        for place, step in enumerate(explanation.steps):
            for number, name in enumerate(CELLS):
                shown = NO_CAPS
                for lane in drawn.lanes:
                    cells = lane.fields[place].cells
                    if cells and cells[number].on:
                        shown |= lane.caps
                expected = NO_CAPS if step.after is None else getattr(step.after.caps, name)
                assert shown == expected


def test_each_capability_has_one_lane() -> None:
    for one in every():
        seen = NO_CAPS
        for lane in picture(one.explanation, one.causes).lanes:
            assert not seen & lane.caps
            seen |= lane.caps


@pytest.mark.parametrize(
    ("name", "fates", "reason", "code"),
    [
        pytest.param("effective", ["has", "has"], "", "", id="effective"),
        pytest.param("inert", ["has", "lost"], "no file capabilities", "CAP101", id="inert"),
        pytest.param("exec-fails", ["lacks", "lost"], "EPERM", "CAP102", id="exec-fails"),
        pytest.param(
            "inert-behind-a-wrapper", ["has", "lost", "lost"], "no_new_privs", "CAP103", id="wrapper"
        ),
    ],
)
def test_a_loss_is_marked_where_it_happens(name: str, fates: list[str], reason: str, code: str) -> None:
    lane = next(one for one in lanes(name) if Cap.NET_BIND_SERVICE in one.caps)
    assert [field.fate for field in lane.fields] == fates
    assert (lane.fields[-1].reason, lane.fields[-1].code) == (reason, code)
    assert lane.missed is (name != "effective")


def test_what_nobody_asked_for_is_no_loss() -> None:
    """The default set goes as well, and that is as it should be."""
    asked = [lane for lane in lanes("defaults") if lane.missed]
    assert [lane.caps for lane in asked] == [Caps.of(Cap.NET_ADMIN)]


def test_a_refused_container_has_no_picture() -> None:
    assert lanes("refused-by-kubelet") == ()


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("config.json", "config.json"),
        ("exec /usr/local/bin/app (cap_net_raw=ep)", "app"),
        ("exec /entry.sh -> /bin/sh", "entry.sh -> sh"),
        ("exec app", "app"),
    ],
)
def test_short(title: str, text: str) -> None:
    assert short(title) == text
