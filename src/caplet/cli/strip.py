# SPDX-License-Identifier: Apache-2.0
"""`caplet strip`: take file capabilities out of an image."""

from __future__ import annotations

from typing import Any

import click

from caplet.cli.changing import changing_options, file_paths, run_change


@click.command()
@click.argument("image", metavar="IMAGE")
@click.argument("paths", metavar="[PATH]...", nargs=-1)
@changing_options
@click.option(
    "--all", "all_files", is_flag=True, help="Every file that has capabilities.  [default without PATH]"
)
def command(image: str, paths: tuple[str, ...], all_files: bool, **options: Any) -> None:
    """Take capabilities away from files of IMAGE, and write the result to OUT.

    PATH is absolute, in the image; links are followed. Without PATH every file that has capabilities loses them. Set-id
    bits stay. IMAGE is not changed unless --in-place lets OUT be IMAGE itself; nothing is unpacked, and no root is needed.

    Exit code: 0, also when there was nothing to change; 2 when it could not be done, and then nothing is written.

    \b
    Examples:
      caplet strip oci:debian -o oci:debian:stripped /bin/ping
      caplet strip oci:debian -o oci:debian:stripped --all
    """
    from caplet.strip import strip

    files = file_paths(paths, all_files)
    run_change("strip", image, options, lambda subject, manner: strip(subject, files, manner))
