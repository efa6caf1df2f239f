# SPDX-License-Identifier: Apache-2.0
"""`caplet completion`: the script that completes caplet's words in a shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands, options, images, tags and capability names in SHELL.

    Needs bash 4.4 or newer, zsh, or fish 3 or newer.

    Exit code: 0; 2 when the command line is wrong.

    \b
    Examples:
      eval "$(caplet completion bash)"                                      # in ~/.bashrc
      eval "$(caplet completion zsh)"                                       # in ~/.zshrc, after compinit
      caplet completion fish > ~/.config/fish/completions/caplet.fish       # once
    """
    from caplet.cli.complete import source

    click.echo(source(shell), nl=False)
