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
    CAPS is as setcap(8) has it, or names as Kubernetes has them, joined by commas, which means +ep. IMAGE is not changed
    unless --in-place lets OUT be IMAGE itself; nothing is unpacked, and no root is needed. A file that already has its
    capabilities is left alone: the digest stays.

    Exit code: 0, also when there was nothing to change; 2 when it could not be done, and then nothing is written.

    \b
    Examples:
      caplet grant oci:web -o oci:web:granted NET_BIND_SERVICE
      caplet grant oci:web -o oci-archive:web.tar /usr/sbin/nginx=NET_BIND_SERVICE,CHOWN
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
    from caplet.image.imagecaps import are_caps

    if are_caps(image) and texts:
        raise InvalidInput("the image comes first", f"write: caplet grant {texts[0]} -o OUT {image}")
    if are_caps(image):
        raise InvalidInput("no image is named", f"write: caplet grant oci:DIR:TAG -o OUT {image}")
    if not texts:
        raise InvalidInput(
            "no capabilities are named", f"write: caplet grant {image} -o OUT NET_BIND_SERVICE"
        )
    for text in texts:
        if text.partition(":")[0] in TRANSPORTS:
            raise InvalidInput(f"{text} is one image too many", f"the output is named with -o: -o {text}")
    _refuse_torn(texts)
    grants = [Grant.parse(text) for text in texts]
    _refuse_strays(texts, grants)
    return grants


TRANSPORTS = frozenset({"oci", "oci-archive", "docker-archive"})


def _refuse_torn(texts: Sequence[str]) -> None:
    """PATH=CAPS in several words: `/bin/ping = NET_RAW`, `/bin/ping NET_RAW`, and setcap's `cap_net_raw+ep /bin/ping`."""
    from caplet.image.imagecaps import are_caps

    words = [word for text in texts if (word := text.strip("="))]
    if len(texts) < 2 or len(words) != 2:
        return
    for path, caps in (words, words[::-1]):
        if path.startswith("/") and "=" not in path and are_caps(caps):
            raise InvalidInput("PATH and CAPS are one argument", f"write {path}={caps}")


def _refuse_strays(texts: Sequence[str], grants: Sequence[Grant]) -> None:
    """Capabilities behind a space where a comma was meant: `/bin/ping=NET_RAW NET_ADMIN` must not change another file."""
    from caplet.image.imagecaps import joined

    stray = next((at for at, one in enumerate(grants) if at and one.path is None), 0)
    if not stray:
        return
    before = grants[stray - 1]
    path = "" if before.path is None else texts[stray - 1].removesuffix(before.spelled)
    better = joined(before.spelled, texts[stray])
    raise InvalidInput(
        f"{texts[stray]} has no path and is not the first",
        (f"capabilities of one file are joined by commas: {path}{better}" if better else "give its path")
        + ("; those of the entrypoint's program come first" if path else ""),
    )
