# SPDX-License-Identifier: Apache-2.0
"""What a command line says about the command itself rather than its work: `--debug`, and how a failure exits."""

from __future__ import annotations

from dataclasses import dataclass

import click


@dataclass(slots=True)
class Settings:
    """Each click context has it as its `obj`, and whoever reports an error reads it."""

    debug: bool = False
    failure: int = 0
    """The exit code for whatever could not be done, where the command has one for all; 0: the error's own."""
    words: tuple[str, ...] = ()
    """The command line before the cursor, where a shell asks what can follow; see `caplet.cli.shells`."""


def _debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    del param
    if value:
        ctx.ensure_object(Settings).debug = True


DEBUG = click.Option(
    ["--debug"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_debug,
    help="Show the traceback of an error.",
)
"""Of `caplet` and of each command: people write it at either place."""
