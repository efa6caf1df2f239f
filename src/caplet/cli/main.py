# SPDX-License-Identifier: Apache-2.0
"""The `caplet` group: finds a command's module by its name and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from caplet import __version__
from caplet.cli.settings import DEBUG, Settings
from caplet.cli.terminal import printable, shown
from caplet.errors import CapletError, ManyInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

COMMANDS = {
    "cause": "what is known of a cause by its code: what you see, why, proof, fix",
    "completion": "print the script that completes caplet's words in bash, zsh or fish",
    "demo": "the whole story on this machine in ten seconds",
    "explain": "which capabilities each program of a Pod will hold, why, and what mends it",
    "grant": "give a file of an image its capabilities",
    "pack": "make an image from a static binary, with its capabilities",
    "relax": "let a file start where its capabilities are not allowed: +ep becomes +p",
    "run": "run a Pod's container on this kernel exactly as the node would",
    "scan": "list the file capabilities and set-id files of an image",
    "strip": "take file capabilities out of an image",
    "verify": "a Pod's container on this machine's real engines: predicted against observed",
    "why": "from a log line or a live Pod to its cause and what mends it",
}
"""Command and what `caplet --help` says of it. The module is `caplet.cli.NAME`, its click command `command`."""

ALIASES = {"setcap": "grant", "getcap": "scan"}

COMPLETING = "_CAPLET_COMPLETE"
"""Set by the script of `caplet completion` when a shell wants to know what can stand at the cursor."""

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
"""As a shell reports a process that ended by SIGINT (128 + 2)."""
EXIT_BROKEN_PIPE = 141


class ReaderGone(Exception):
    """Nobody reads standard output any more."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, so that `caplet scan` does not pay for `caplet run`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"caplet.cli.{name}").command
        if DEBUG not in command.params:
            command.params.append(DEBUG)
        if COMPLETING in os.environ:
            from caplet.cli.complete import equip

            equip(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] == "help" and not ctx.resilient_parsing:
            # caplet help [COMMAND], as git, docker and kubectl have it.
            if len(args) == 1:
                click.echo(ctx.get_help())
                ctx.exit()
            args = [args[1], "--help"]
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0].lower(), [*COMMANDS, *ALIASES], n=1)
            if near:
                raise click.UsageError(f"{error.message} Did you mean {near[0]!r}?", ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:  # click's own main() would exit with 1
            raise ReaderGone from error

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands' names without importing one of them, then the options."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    name="caplet",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[DEBUG],
)
@click.version_option(__version__, message="caplet %(version)s")
def caplet() -> None:
    """Give a container that runs as non-root exactly the Linux capabilities it needs, and prove it.

    \b
    Example:
      caplet demo
      caplet scan oci:image
      caplet grant oci:image -o oci:image:granted /usr/bin/app=cap_net_bind_service+ep
    """


def run(arguments: Sequence[str]) -> int:
    """Run the command line; returns the exit code. `caplet.errors` says what each exception becomes."""
    settings = Settings()
    if COMPLETING in os.environ:
        from caplet.cli.shells import register

        register()
    try:
        result = caplet.main(list(arguments), prog_name="caplet", standalone_mode=False, obj=settings)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        _explain_usage(error)
        return settings.failure or EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("caplet: interrupted", err=True)
        return EXIT_INTERRUPTED
    except (BrokenPipeError, ReaderGone):
        # The reader went away (head, less): not our error, and the interpreter must not say so at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except (CapletError, OSError, MemoryError) as error:
        if settings.debug:
            import traceback

            traceback.print_exception(error)
        code = explain_error(error)
        return settings.failure or code
    return result if isinstance(result, int) else 0


def _explain_usage(error: click.ClickException) -> None:
    """One line, and where to read on; for `caplet` alone, the help."""
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    where = ctx.command_path if ctx else "caplet"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return
    click.echo(f"{where}: {shown(error.format_message())}", err=True)
    if ctx:
        click.echo(f"  see: {where} --help", err=True)


def explain_error(error: CapletError | OSError | MemoryError) -> int:
    """One line on standard error, and what to do where there is something to do."""
    if isinstance(error, ManyInvalid):
        for problem in error.problems:
            explain_error(problem)
        return error.exit_code
    if isinstance(error, CapletError):
        click.echo(f"caplet: {shown(error.message)}", err=True)
        if error.hint:
            click.echo(f"  {shown(error.hint)}", err=True)
        return error.exit_code
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        click.echo(f"caplet: {printable(f'{where}{error.strerror or error}')}", err=True)
    else:
        click.echo("caplet: out of memory", err=True)
    return EXIT_USAGE
