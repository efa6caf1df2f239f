# SPDX-License-Identifier: Apache-2.0
"""The causes' pages as Markdown files: docs/causes/, made of the modules' docstrings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.causes.catalogue import CAUSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.causes.cause import Cause

INDEX = "README.md"

_ABOUT = """\
# Causes

Why a process lacks a capability, or a program does not start: a closed list. A code is never given to something else.
`caplet explain` and `caplet why` name them, `caplet cause CAP102` prints the page. Made by `make causes` of the modules in
src/caplet/causes; do not edit here.
"""


def pages() -> Mapping[str, str]:
    """File name -> text, the index among them."""
    return {f"{cause.code}.md": page(cause) for cause in CAUSES} | {INDEX: index()}


def page(cause: Cause) -> str:
    return f"# {cause.code} {cause.name}\n\n{cause.text.rstrip()}\n"


def index() -> str:
    rows = [f"| [{one.code}]({one.code}.md) | {one.name} | {one.summary} |" for one in CAUSES]
    return "\n".join([_ABOUT, "| code | name | what |", "|---|---|---|", *rows, ""])
