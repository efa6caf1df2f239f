# SPDX-License-Identifier: Apache-2.0
"""`caplet run`: a Pod's container on this kernel, as the node would run it."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from caplet.cli.settings import Settings
from caplet.cli.terminal import printable
from caplet.errors import CapletError, InvalidInput

if TYPE_CHECKING:
    from caplet.run.container import RunResult

MAX_MANIFEST = 64 << 20
"""Bytes of a manifest; see caplet.kubernetes.document."""

EXIT_OURS = 125
"""Everything that goes wrong on our side, wrong options too: podman-run(1) "Exit Status" (`podman run --foo` is its example)."""


class RunCommand(click.Command):
    """Whatever goes wrong on our side exits with 125, a wrong option too: 2 may be what the container says."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if parent is not None:
            parent.ensure_object(Settings).failure = EXIT_OURS
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=RunCommand)
@click.argument("manifest", metavar="POD.yaml")
@click.option("--container", metavar="NAME", help="Which container.  [default: the only one]")
@click.option(
    "--image",
    "images",
    metavar="[NAME=]REF",
    multiple=True,
    help="The container's image on disk: oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE.  [default: the Pod's own image:]",
)
@click.option(
    "--on",
    "engine",
    metavar="ENGINE[:VERSION]",
    default="containerd",
    show_default=True,
    help="What makes the container: containerd, crio, docker or podman.",
)
@click.option(
    "--runtime",
    type=click.Choice(["runc", "crun", "embedded"]),
    help="The OCI runtime.  [default: the first that is installed]",
)
@click.option(
    "--probe",
    metavar="URL",
    help="Ask the server from inside, http://:80/, then stop the container. No TLS.",
)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(0, 3600, min_open=True),
    default=10.0,
    show_default=True,
    help="How long --probe tries.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the report.",
)
@click.pass_context
def command(
    ctx: click.Context,
    manifest: str,
    container: str | None,
    images: tuple[str, ...],
    engine: str,
    runtime: str | None,
    probe: str | None,
    timeout: float,
    output: str,
) -> int:
    """Run the container of a Pod (or Deployment, Job, ...) with exactly the user, capabilities and no_new_privs that
    kubelet and container engine would give it, and say what the kernel made of them.

    The container's output is its own; the report goes to standard error (with -o json to standard output, the
    container's output in it). Nothing is left behind, however it ends. Needs root or a user with subordinate ids.

    Exit code: the container's own; 125 for whatever goes wrong before, a wrong option too; 126 its program cannot be
    invoked; 127 it is not there. With --probe: 0 for an answer from 200 to 399, else 1.

    \b
    Examples:
      caplet run pod.yaml --image oci:app
      caplet run pod.yaml --image oci:app --on containerd:1.7 --probe http://:80/
    """
    from caplet.run.rootless import as_root

    _check_timeout(ctx, timeout, probe)
    return as_root(lambda: _run(manifest, container, images, engine, runtime, probe, timeout, output))


def _run(
    manifest: str,
    container: str | None,
    images: tuple[str, ...],
    engine: str,
    runtime: str | None,
    probe: str | None,
    timeout: float,
    output: str,
) -> int:
    from caplet.run.container import find_runtime, run_container
    from caplet.run.engine import node_here, on_this_machine
    from caplet.run.pod import plan
    from caplet.run.prober import Probe
    from caplet.run.report import as_json, probe_line, refusal_json, start_lines
    from caplet.runtimes.model import Refused

    node = node_here(engine)
    runtime, program = find_runtime(runtime)
    if probe is not None:
        Probe.parse(probe)
    planned = plan(
        _read(manifest),
        manifest,
        container=container,
        images=_images(images),
        node=on_this_machine(node, runtime, program),
    )
    if isinstance(planned, Refused):
        if output == "json":
            click.echo(json.dumps(refusal_json(planned), indent=2))
        else:
            click.echo(f"{planned.by} refuses the container: {printable(planned.message)}", err=True)
        return EXIT_OURS
    text = output == "text"

    def show(result: RunResult) -> None:
        if text:
            for line in start_lines(planned, result):
                click.echo(printable(line), err=True)

    result = run_container(
        planned.spec,
        planned.rootfs,
        runtime=runtime,
        probe=probe,
        timeout=timeout,
        relay=text,
        watch=show,
    )
    if not text:
        click.echo(json.dumps(as_json(planned, result), indent=2))
    elif not result.started:
        show(result)
    elif probe is not None:
        click.echo(printable(probe_line(result, probe)), err=True)
    if probe is not None and result.started:
        return 0 if result.probe is not None and result.probe.good else 1
    return result.exit_code


def _check_timeout(ctx: click.Context, timeout: float, probe: str | None) -> None:
    if timeout != timeout:  # noqa: PLR0124  # not a number: click's range lets it through
        raise click.BadParameter("not a number of seconds", ctx, param_hint="'--timeout'")
    if probe is None and ctx.get_parameter_source("timeout") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError(
            "--timeout says how long --probe tries; without --probe the container runs until it ends.", ctx
        )


def _read(manifest: str) -> bytes:
    if manifest == "-":
        return sys.stdin.buffer.read(MAX_MANIFEST + 1)
    try:
        with open(manifest, "rb") as file:
            return file.read(MAX_MANIFEST + 1)
    except OSError as error:
        if re.match(r"(oci|oci-archive|docker-archive):", manifest):
            raise CapletError(
                f"{manifest} is an image, and a Pod says how it runs",
                f"caplet run POD.yaml --image {manifest}",
            ) from None
        raise CapletError(
            f"{manifest}: {error.strerror}", "name one manifest, or - for standard input"
        ) from None


def _images(options: tuple[str, ...]) -> dict[str, str]:
    """`NAME=REF` for one container, `REF` alone for whichever runs."""
    images: dict[str, str] = {}
    for option in options:
        match = re.fullmatch(r"([a-z0-9](?:[a-z0-9-]*[a-z0-9])?)=(.+)", option)
        name, reference = (match[1], match[2]) if match else ("", option)
        if not reference:
            raise InvalidInput("--image names no image", "write it as --image oci:DIR[:TAG], or leave it out")
        if name in images:
            raise InvalidInput(f"--image {option}: there is one for {name or 'every container'} already")
        images[name] = reference
    return images
