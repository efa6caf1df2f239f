# SPDX-License-Identifier: Apache-2.0
"""`caplet pack`: make an image from static programs, with their capabilities."""

from __future__ import annotations

import functools
import operator
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from caplet.cli.reporting import reporting
from caplet.cli.terminal import printable
from caplet.errors import InvalidInput
from caplet.image.compression import Compression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.image.descriptor import Descriptor
    from caplet.image.image import Image, Index
    from caplet.pack.binary import Binary


class PackCommand(click.Command):
    """What follows `--` is the program's; `--ca-certificates[=FILE]` has a value only after `=`, as in getopt_long(3).

    click knows neither, so both are taken out of the arguments before it sees them, into the context's `meta`.
    """

    OPTIONAL_VALUES = ("--ca-certificates", "--time-zones")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--" in args:
            at = args.index("--")
            args, ctx.meta["cmd"] = args[:at], tuple(args[at + 1 :])
        for index, argument in enumerate(args):
            name, equals, value = argument.partition("=")
            if equals and name in self.OPTIONAL_VALUES:
                if not value:
                    raise click.UsageError(f"{name}= needs a value behind the equals sign", ctx)
                args[index], ctx.meta[name] = name, value
        return super().parse_args(ctx, args)


@click.command(cls=PackCommand)
@click.argument("binaries", metavar="FILE[:PATH][=CAPS]...", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    metavar="IMAGE",
    required=True,
    help="oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE:NAME.",
)
@click.option("--caps", metavar="CAPS", help="Capabilities of the first FILE; the same as =CAPS behind it.")
@click.option(
    "--user", metavar="UID[:GID]", default="65532", show_default=True, help="Who runs it, by number."
)
@click.option(
    "--entrypoint",
    metavar="WORD",
    multiple=True,
    help="What starts, one option a word.  [default: the first FILE]",
)
@click.option("--env", metavar="NAME=VALUE", multiple=True, help="An environment variable.")
@click.option("--workdir", metavar="DIR", default="", help="Where it starts; made if need be.")
@click.option("--label", "labels", metavar="KEY=VALUE", multiple=True, help="A label.")
@click.option("--port", "ports", metavar="PORT[/PROTOCOL]", multiple=True, help="Say that it listens there.")
@click.option(
    "--ca-certificates",
    "certificates",
    is_flag=True,
    help="Add this machine's CA certificates, or those of FILE with =FILE.",
)
@click.option(
    "--time-zones",
    "zones",
    is_flag=True,
    help="Add the time zones of the tzdata package or of this machine, or of DIR with =DIR.",
)
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="Say what the ELF header cannot: linux/arm/v6.")
@click.option(
    "--compression",
    type=click.Choice([one.value for one in Compression]),
    default=Compression.STORED.value,
    show_default=True,
    help="How layers are stored; the default gives the same bytes everywhere.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print the digest only.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Make an image FROM scratch out of static programs.

    The first FILE becomes the entrypoint; its place in the image is /NAME unless a PATH says otherwise. The platform is
    read from the program. Programs of several platforms with the same PATH make an index. What follows -- becomes the
    default arguments. The image depends on nothing but the contents and options: the same input, the same digest.

    Exit code: 0; 2 when it could not be done, and then nothing is written.

    \b
    Examples:
      caplet pack ./server -o oci:image --caps NET_BIND_SERVICE
      caplet pack ./server:/usr/bin/server=cap_net_bind_service+ep -o oci:image -- --port 80
      caplet pack amd64/server arm64/server -o oci-archive:image.tar --ca-certificates
    """
    from caplet.image.copy import spool_directory, write_image
    from caplet.image.descriptor import Platform
    from caplet.image.destination import parse_destination
    from caplet.pack import Content, pack

    destination = parse_destination(options["output"])
    binaries = _binaries(options["binaries"], options["caps"])
    content = Content(
        _files(options, ctx.meta), Compression(options["compression"]), spool_directory(destination)
    )
    platform = Platform.parse(options["platform"]) if options["platform"] else None
    image = pack(binaries, _process(options, ctx.meta.get("cmd", ())), content, platform)
    written = write_image(image, destination)
    with reporting(destination, written.digest):
        if options["quiet"]:
            click.echo(str(written.digest))
        else:
            _report(str(destination), image, binaries, written)


def _binaries(texts: Sequence[str], caps: str | None) -> list[Binary]:
    from caplet.image.imagecaps import image_caps
    from caplet.pack.binary import Binary

    binaries = [Binary.parse(text) for text in texts]
    if caps is not None:
        if not caps.strip():
            raise InvalidInput(
                "--caps names no capabilities", "leave it out, or write --caps NET_BIND_SERVICE"
            )
        if binaries[0].caps is not None:
            raise InvalidInput(
                f"{texts[0]} already names capabilities", "give them there or with --caps, not both"
            )
        binaries[0] = replace(binaries[0], caps=image_caps(caps))
    return binaries


def _process(options: dict[str, Any], cmd: tuple[str, ...]) -> Any:
    from caplet.pack.process import Process, User, key_and_value

    return Process(
        user=User.parse(options["user"]),
        entrypoint=options["entrypoint"],
        cmd=cmd,
        env=options["env"],
        working_dir=options["workdir"],
        labels=dict(key_and_value(label) for label in options["labels"]),
        ports=options["ports"],
    )


def _files(options: dict[str, Any], values: dict[str, Any]) -> dict[bytes, bytes]:
    from caplet.pack import certificates, zones

    files: dict[bytes, bytes] = {}
    if options["certificates"]:
        files[certificates.IMAGE_PATH] = certificates.read_bundle(values.get("--ca-certificates", ""))
    if options["zones"]:
        files |= zones.read_zones(values.get("--time-zones", ""))
    return files


def _report(name: str, image: Image | Index, binaries: Sequence[Binary], written: Descriptor) -> None:
    from caplet.image.image import Index

    images = list(image.images()) if isinstance(image, Index) else [image]
    click.echo(f"{printable(name)}  {written.digest}")
    for one in images:
        size = one.descriptor.size + sum(layer.descriptor.size for layer in one.layers)
        digest = f"  {one.digest}" if len(images) > 1 else ""
        click.echo(f"  {one.platform}  {size:,} bytes{digest}")
    caps = {binary.path: binary.caps for binary in binaries if binary.caps is not None}
    for path in sorted({binary.path for binary in binaries}):
        click.echo(f"  {printable(path)}" + (f" {caps[path]}" if path in caps else ""))
    config = images[0].config
    click.echo(f"  runs as {config.user}: {printable(shlex.join((*config.entrypoint, *config.cmd)))}")
    demanded = [one.permitted for one in caps.values() if one.effective]
    if any(demanded):
        names = ", ".join(functools.reduce(operator.or_, demanded).names())
        click.echo(
            f"  where a Pod drops ALL and does not add {names}, it does not start: operation not permitted"
        )
