# SPDX-License-Identifier: Apache-2.0
"""Where the model says something else than a table of what was seen."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from tests.verify import outcome
from tests.verify.rows import Row, image, request_of, row_named

from caplet.explain.facts import ImageFacts
from caplet.image.rootfs import Rootfs
from caplet.kernel.caps import Caps
from caplet.runtimes.node import Node, parse

if TYPE_CHECKING:
    from tests.verify.recorded import Table


def disagreements(table: Table) -> list[str]:
    """One text a row; rows that make the same request are asked once."""
    node = parse(f"{table.node}+linux:{table.kernel}")
    asked: dict[str, str] = {}
    wrong = []
    for name, found in table.rows.items():
        request = request_of(name)
        if request not in asked:
            asked[request] = _predicted(row_named(name), node, table)
        if not outcome.agree(asked[request], found):
            wrong.append(f"{name}\n    predicted {asked[request]}\n    observed  {found}")
    return wrong


def _predicted(row: Row, node: Node, table: Table) -> str:
    available = Caps(table.available)
    every = Caps.all(node.kernel.last_cap) if table.within else available
    return outcome.predicted(row, node, _facts(), every, available)


@cache
def _facts() -> ImageFacts:
    return ImageFacts(image().config, Rootfs(image().layers))
