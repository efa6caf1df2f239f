# SPDX-License-Identifier: Apache-2.0
"""Which verdicts are good ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.explain.explanation import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.report.colour import Style

WORKS = frozenset({Verdict.EFFECTIVE, Verdict.NOT_NEEDED})

STYLES: Mapping[Verdict, Style] = {
    Verdict.EFFECTIVE: "good",
    Verdict.NOT_NEEDED: "good",
    Verdict.INERT: "bad",
    Verdict.EXEC_FAILS: "bad",
    Verdict.FORBIDDEN: "bad",
    Verdict.REFUSED: "bad",
    Verdict.UNKNOWN: "unsure",
}
