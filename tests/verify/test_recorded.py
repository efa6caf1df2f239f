# SPDX-License-Identifier: Apache-2.0
"""The model against what real engines were seen to do, also where there are no engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.verify.recorded import DIRECTORY, load
from tests.verify.rows import ROWS

if TYPE_CHECKING:
    from pathlib import Path

from tests.verify.model import disagreements

PAGE = DIRECTORY.parents[2] / "docs" / "cli" / "verify.md"
FILES = sorted(DIRECTORY.glob("*.json"))
ENGINES = {"docker", "podman", "containerd"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_predicted_is_what_was_observed(file: Path) -> None:
    table = load(file)
    assert disagreements(table) == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_combination_was_observed(file: Path) -> None:
    table = load(file)
    assert list(table.rows) == [row.name for row in ROWS]
    assert table.file == file


def test_each_engine_and_runtime_was_recorded() -> None:
    tables = list(map(load, FILES))
    nodes = [table.node for table in tables if not table.alone]
    assert sorted(table.node.partition("+")[2] for table in tables if table.alone) == [
        "crun:1.8.1",
        "runc:1.1.5",
    ]
    assert {node.partition(":")[0] for node in nodes} == ENGINES
    assert {node.partition("+")[2].partition(":")[0] for node in nodes} == {"runc", "crun"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_page_names_every_table(file: Path) -> None:
    table = load(file)
    _, _, runtime = table.versions.partition(" / ")
    name = f"{runtime} with containerd's config.json" if table.alone else table.versions
    line = f"| {name} | {table.kernel} | {len(table.rows)} | 0 |"
    assert line in PAGE.read_text("utf-8").splitlines()
