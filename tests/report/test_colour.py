# SPDX-License-Identifier: Apache-2.0
"""When there is colour: --color, NO_COLOR, FORCE_COLOR, TERM=dumb, a pipe."""

from __future__ import annotations

import pytest

from caplet.report.colour import Choice, Look, wants_colour


@pytest.mark.parametrize(
    ("choice", "environ", "terminal", "wanted"),
    [
        pytest.param("auto", {}, True, True, id="terminal"),
        pytest.param("auto", {}, False, False, id="pipe"),
        pytest.param("auto", {"NO_COLOR": "1"}, True, False, id="no-color"),
        pytest.param("auto", {"NO_COLOR": ""}, True, True, id="no-color-empty-does-not-count"),
        pytest.param("auto", {"FORCE_COLOR": "1"}, False, True, id="force-color"),
        pytest.param(
            "auto", {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False, id="no-color-before-force-color"
        ),
        pytest.param("auto", {"TERM": "dumb"}, True, False, id="dumb"),
        pytest.param("always", {"NO_COLOR": "1"}, False, True, id="always"),
        pytest.param("never", {"FORCE_COLOR": "1"}, True, False, id="never"),
    ],
)
def test_wants_colour(choice: Choice, environ: dict[str, str], terminal: bool, wanted: bool) -> None:
    assert wants_colour(choice, environ, terminal=terminal) is wanted


def test_paint_escapes_before_it_colours() -> None:
    assert Look(colour=True).paint("a\x1b[0m", "bad") == "\x1b[31ma\\x1b[0m\x1b[0m"
