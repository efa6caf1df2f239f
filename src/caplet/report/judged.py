# SPDX-License-Identifier: Apache-2.0
"""Judged: all that is to be said of one container on one node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from caplet.causes.cause import Found
    from caplet.explain.explanation import Explanation
    from caplet.remedies.remedy import Remedy


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What becomes of it, why, and what would mend it."""

    explanation: Explanation
    causes: tuple[Found, ...] = ()
    """Those that break it first."""
    remedies: tuple[Remedy, ...] = ()
    """What gives least first."""
