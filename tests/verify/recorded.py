# SPDX-License-Identifier: Apache-2.0
"""What real engines were seen to do, as tables beside this file: `recorded/ENGINE-VERSION-RUNTIME-VERSION.json`, or
`recorded/RUNTIME-VERSION.json`.

Made by `python -m tests.verify.matrix --record`; who has no engine tests the model against them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DIRECTORY = Path(__file__).with_name("recorded")


@dataclass(frozen=True, slots=True)
class Table:
    """One engine with one OCI runtime, on one kernel."""

    node: str
    """As `--on` spells it."""
    alone: bool
    """Only the OCI runtime was there: the engine's part is the model's own."""
    versions: str
    """As the programs call themselves."""
    kernel: str
    available: int
    """The bounding set of the engine: what it can give at most."""
    within: bool
    """The OCI runtime was spared the capabilities outside it, for which the engine asks all the same (`daemons`)."""
    rows: Mapping[str, str]
    """Row's name -> outcome."""

    @property
    def file(self) -> Path:
        name = self.node.partition("+")[2] if self.alone else self.node
        name = name.replace(":", "-").replace("+", "-")
        return DIRECTORY / f"{name}.json"

    def save(self) -> None:
        outcomes = sorted(set(self.rows.values()))
        number = {outcome: place for place, outcome in enumerate(outcomes)}
        groups: dict[str, dict[str, int]] = {}
        for name, outcome in self.rows.items():
            group, _, program = name.rpartition(" ")
            groups.setdefault(group, {})[program] = number[outcome]
        head = {
            "node": self.node,
            "alone": self.alone,
            "versions": self.versions,
            "kernel": self.kernel,
            "available": f"{self.available:x}",
            "within": self.within,
        }
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
        listed = ",\n".join(f"    {json.dumps(outcome)}" for outcome in outcomes)
        rows = ",\n".join(f"    {json.dumps(group)}: {json.dumps(of)}" for group, of in groups.items())
        DIRECTORY.mkdir(exist_ok=True)
        text = (
            "{\n" + "\n".join(lines) + f'\n  "outcomes": [\n{listed}\n  ],\n  "rows": {{\n{rows}\n  }}\n}}\n'
        )
        self.file.write_text(text, "utf-8")


def load(file: Path) -> Table:
    raw = json.loads(file.read_text("utf-8"))
    rows = {
        f"{group} {program}": raw["outcomes"][number]
        for group, of in raw["rows"].items()
        for program, number in of.items()
    }
    return Table(
        node=raw["node"],
        alone=raw["alone"],
        versions=raw["versions"],
        kernel=raw["kernel"],
        available=int(raw["available"], 16),
        within=raw["within"],
        rows=rows,
    )
