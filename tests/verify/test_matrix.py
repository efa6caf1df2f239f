# SPDX-License-Identifier: Apache-2.0
"""A sample of the matrix on each engine of this machine. `make verify-matrix` runs all of it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.verify.machine import MACHINES
from tests.verify.matrix import observed
from tests.verify.model import disagreements
from tests.verify.rows import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLE = 12


@pytest.mark.e2e
@pytest.mark.root
@pytest.mark.parametrize("name", MACHINES)
def test_predicted_is_what_is_observed(name: str, tool: Callable[[str], str], root: None) -> None:
    for program in MACHINES[name].tools:
        tool(program)
    rows = random.Random(name).sample(ROWS, SAMPLE)
    assert disagreements(observed(MACHINES[name], rows)) == []
