# SPDX-License-Identifier: Apache-2.0
"""docs/runtimes.md says what the code says."""

from __future__ import annotations

from tests.runtimes.page import PAGE, TABLES, filled


def test_the_tables_are_the_codes() -> None:
    """`python -m tests.runtimes.page` writes them anew."""
    text = PAGE.read_text(encoding="utf-8")
    assert all(table() in text for table in TABLES.values())
    assert filled(text) == text
