"""The example of docs/model.md runs, and its table names the steps there are."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from caplet.kernel.execve import STEPS

PAGE = Path(__file__).parents[2] / "docs" / "model.md"


def test_the_example_runs() -> None:
    test = doctest.DocTestParser().get_doctest(PAGE.read_text(), {}, "model.md", str(PAGE), 0)
    assert doctest.DocTestRunner().run(test) == doctest.TestResults(failed=0, attempted=8)


def test_the_table_has_every_step_in_order() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", PAGE.read_text(), re.MULTILINE)
    assert rows == [(str(number), step.__name__) for number, step in enumerate(STEPS, start=1)]
