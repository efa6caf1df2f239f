# SPDX-License-Identifier: Apache-2.0
"""`caplet grant`: give files of an image their capabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from caplet.cli.changing import changing_options, run_change
from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.grant import Grant


@click.command()
@click.argument("image", metavar="IMAGE")
@click.argument("grants", metavar="[PATH=]CAPS...", nargs=-1)
@changing_options
@click.option(
    "--allow-interpreter",
    is_flag=True,
    help="Without PATH: also where the entrypoint is a script, a shell or a wrapper.",
)
def command(image: str, grants: tuple[str, ...], allow_interpreter: bool, **options: Any) -> None:
    """Give files of IMAGE just these capabilities, and write the result to OUT.

    PATH is absolute, in the image; links are followed. Left out, it is the program that the image's entrypoint starts.
    CAPS is as setcap(8) has it, or names as Kubernetes has them, which means +ep. The input is not changed, nothing is
    unpacked, and no root is needed. A file that already has its capabilities is left alone: the digest stays.

    \b
    Examples:
      caplet grant oci:web -o oci:web:granted NET_BIND_SERVICE
      caplet grant oci:debian -o oci:debian:2 /bin/ping=cap_net_raw+ep /usr/bin/app=cap_chown,cap_kill=p
    """
    from caplet.grant import grant

    parsed = _parse(image, grants)
    run_change(
        "grant",
        image,
        options,
        lambda subject, manner: grant(subject, parsed, manner, interpreters=allow_interpreter),
    )


def _parse(image: str, texts: Sequence[str]) -> list[Grant]:
    from caplet.grant import Grant

    if not texts:
        raise InvalidInput(
            "no capabilities are named", f"write: caplet grant {image} -o OUT NET_BIND_SERVICE"
        )
    if len(texts) == 2 and texts[1].startswith("/") and "=" not in texts[1]:
        # setcap's own order: `setcap cap_net_raw+ep /bin/ping`.
        raise InvalidInput("PATH and CAPS are one argument", f"write {texts[1]}={texts[0]}")
    return [Grant.parse(text) for text in texts]
