# SPDX-License-Identifier: Apache-2.0
"""`caplet completion`: the script that completes caplet's words in a shell."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that completes commands, options, images, tags and capability names in SHELL.

    SHELL is bash (4.4 or newer), zsh or fish (3 or newer). The script asks caplet itself, so it need not be printed
    again for another version.

    Exit code: 0; 2 when the command line is wrong.

    \b
    Examples, one for each shell:
      caplet completion bash > ~/.caplet.bash; echo '. ~/.caplet.bash' >> ~/.bashrc
      caplet completion zsh > ~/.caplet.zsh; echo '. ~/.caplet.zsh' >> ~/.zshrc     (after compinit)
      caplet completion fish > ~/.config/fish/completions/caplet.fish
    """
    from caplet.cli.shells import SHELLS

    click.echo(SHELLS[shell].source_template, nl=False)
