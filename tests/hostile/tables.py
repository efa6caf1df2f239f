# SPDX-License-Identifier: Apache-2.0
"""All tables of cases, by the class of attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hostile import (
    attributes,
    controls,
    dockerarchives,
    documents,
    links,
    names,
    parsers,
    streams,
    traversal,
    users,
    whiteouts,
)

if TYPE_CHECKING:
    from tests.hostile.case import Case

TABLES: dict[str, tuple[Case, ...]] = {
    "traversal": traversal.CASES,
    "links": links.CASES,
    "whiteouts": whiteouts.CASES,
    "attributes": attributes.CASES,
    "names": names.CASES,
    "parsers": parsers.CASES,
    "streams": streams.CASES,
    "documents": documents.CASES,
    "dockerarchives": dockerarchives.CASES,
    "users": users.CASES,
    "controls": controls.CASES,
}


def cases(*tables: str) -> dict[str, Case]:
    """`TABLE/CASE` -> the case; of all tables where none is named."""
    return {f"{table}/{case.name}": case for table in tables or TABLES for case in TABLES[table]}
