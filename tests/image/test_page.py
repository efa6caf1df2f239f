# SPDX-License-Identifier: Apache-2.0
"""docs/images.md names the limits that hold."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "images.md"
ROW = re.compile(r"\| [^|]+ \| ([^|]+) \| `(\w+)\.(\w+)` \|")
ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))
UNITS = {"bytes": 1, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def value(text: str) -> int:
    """4 MiB, 4096 bytes, 1000:1, 128; of 2^27 the exponent."""
    if power := re.fullmatch(r"2\^(\d+) bytes", text):
        return int(power[1])
    number, _, unit = text.removesuffix(":1").partition(" ")
    return int(number) * (UNITS[unit] if unit else 1)


@pytest.mark.parametrize(
    ("text", "module", "name"), ROWS, ids=[f"{module}.{name}" for _, module, name in ROWS]
)
def test_a_limit(text: str, module: str, name: str) -> None:
    assert getattr(importlib.import_module(f"caplet.image.{module}"), name) == value(text)


def test_the_table_was_found() -> None:
    assert len(ROWS) >= 15
