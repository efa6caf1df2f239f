# SPDX-License-Identifier: Apache-2.0
"""The pages that people copy from: every session in them is run, and its output is the page's."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import pytest
from tests.console import ROOT, blocks, surprises

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [ROOT / "docs" / "recipes.md", ROOT / "docs" / "myths.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the pages have the digests of amd64")
@pytest.mark.usefixtures("root")
def test_sessions(page: Path, tmp_path: Path) -> None:
    """In the page's order: each begins where the one before it ended."""
    if found := surprises(page, tmp_path):
        pytest.fail(found, pytrace=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Path) -> None:
    """Text blocks are formulas; anything else that looks like a command would not be run."""
    assert {language for language, _, _ in blocks(page)} <= {"console", "text"}
