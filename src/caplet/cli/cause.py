# SPDX-License-Identifier: Apache-2.0
"""`caplet cause`: the page of a cause, or the list of all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from caplet.causes.cause import Cause

SCHEMA_VERSION = 1
"""Of the JSON; docs/cli/cause.md says what it holds. It grows when a field changes its meaning or goes, not when one comes."""


@click.command()
@click.argument("cause", metavar="[CODE|NAME]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text: to read, in Markdown; json: see docs/cli/cause.md.",
)
def command(cause: str | None, output: str) -> int:
    """Print what is known of a cause: what you see, why, how to prove it, what mends it, where it happens.

    CODE is CAP102 or 102, NAME is exec-eperm-bounding. Without either it lists them all. `caplet explain` and
    `caplet why` say which one a container has.

    Exit code: 0; 2 when there is no such cause.

    \b
    Example:
      caplet cause
      caplet cause CAP102
      caplet cause wrapper-drops-caps -o json | jq -r '.logs[].example'
    """
    from caplet.causes.catalogue import CAUSES
    from caplet.causes.pages import page

    if cause is not None:
        one = _named(cause)
        click.echo(
            json.dumps(_document(one, whole=True), indent=2) if output == "json" else page(one),
            nl=output == "json",
        )
        return 0
    if output == "json":
        causes = [_document(each, whole=False) for each in CAUSES]
        click.echo(json.dumps({"schemaVersion": SCHEMA_VERSION, "causes": causes}, indent=2))
        return 0
    width = max(len(each.name) for each in CAUSES)
    click.echo("\n".join(f"{each.code}  {each.name.ljust(width)}  {each.summary}" for each in CAUSES))
    return 0


def _named(text: str) -> Cause:
    from caplet.causes.catalogue import named, names
    from caplet.errors import InvalidInput
    from caplet.kernel.caps import nearest

    found = named(text)
    if found is None:
        near = nearest(text.strip().lower(), [word.lower() for word in names()])
        raise InvalidInput(
            f"no cause {text[:40]!r}{near.replace('cap1', 'CAP1')}", "caplet cause lists them all"
        )
    return found


def _document(cause: Cause, *, whole: bool) -> dict[str, Any]:
    short = {"code": cause.code, "name": cause.name, "summary": cause.summary, "weight": cause.weight}
    if not whole:
        return short
    logs = [{"pattern": log.pattern, "example": log.example} for log in cause.logs]
    return {"schemaVersion": SCHEMA_VERSION, **short, "logs": logs, "page": cause.text}
