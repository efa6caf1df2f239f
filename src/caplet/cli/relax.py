# SPDX-License-Identifier: Apache-2.0
"""`caplet relax`: let programs start where their capabilities are not allowed."""

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
    """Turn +ep into +p for files of IMAGE, and write the result to OUT.

    A file with +ep does not start where one of its capabilities is not allowed: execve(2) fails with "operation not
    permitted". With +p it starts everywhere, but has its capabilities only if it raises them itself. PATH is absolute, in
    the image; links are followed. Without PATH it is every file that has +ep. IMAGE is not changed
    unless --in-place lets OUT be IMAGE itself.

    Exit code: 0, also when there was nothing to change; 2 when it could not be done, and then nothing is written.

    \b
    Examples:
      caplet relax oci:caddy -o oci:caddy:relaxed /usr/bin/caddy
      caplet relax oci:caddy -o oci:caddy:relaxed --all
    """
    from caplet.relax import relax

    files = file_paths(paths, all_files)
    run_change("relax", image, options, lambda subject, manner: relax(subject, files, manner))
