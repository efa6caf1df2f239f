# SPDX-License-Identifier: Apache-2.0
"""`caplet demo`: the whole story on this machine, each scene predicted, run and compared."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from caplet.cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.demo.stage import Played
    from caplet.kernel.credentials import ThreadCaps

EXIT_NOT_AS_IT_MUST = 1
EXIT_DIFFERENT = 5
"""Predicted and observed differ: the model is wrong about this kernel."""

SETS = ("bounding", "permitted", "effective", "inheritable", "ambient")
WIDTHS = (18, 18, 18, 13, 7)
LABEL = 18


@click.command()
def command() -> int:
    """A server on port 80 that is not root: without its capability, with it, and where it is not allowed.

    Packs a small static server, runs it in three containers on this machine's kernel, and compares what the kernel
    model predicts with what /proc/PID/status shows. Needs no Docker, network or installed runtime, and leaves nothing
    behind. An ordinary user needs newuidmap and a range of ids in /etc/subuid.

    Exit code: 0 when all three ended as they must, 5 when a prediction was wrong, else 1; 2 when this machine cannot.

    \b
    Example:
      caplet demo
    """
    from caplet.run.rootless import as_root

    return as_root(tell)


def tell() -> int:
    """Play the scenes one after the other and say how each ended; the exit code."""
    from caplet.demo.scenes import SCENES
    from caplet.demo.stage import play

    began = time.monotonic()
    say(introduction())
    played = []
    for number, scene in enumerate(SCENES, 1):
        played.append(play(scene))
        say(("", *described(number, played[-1])))
    say(("", *conclusion(played, time.monotonic() - began)))
    if any(one.differences for one in played):
        return EXIT_DIFFERENT
    return 0 if all(one.as_it_must for one in played) else EXIT_NOT_AS_IT_MUST


def say(lines: Sequence[str]) -> None:
    """Colour only for a terminal that wants it (https://no-color.org)."""
    plain = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    for line in lines:
        click.echo(line, color=not plain)


def introduction() -> tuple[str, ...]:
    from caplet.demo.scenes import ENGINE, PORT, PORT_START, USER

    system = os.uname()
    return (
        bold(f"A server on port {PORT}, run by a user that is not root."),
        "",
        field("Pod", f"runAsUser: {USER}, runAsNonRoot, drop: [all], add: [NET_BIND_SERVICE],"),
        field("", "allowPrivilegeEscalation: false, readOnlyRootFilesystem: true"),
        field("engine", f"as containerd {ENGINE} would; ports below {PORT_START} need a privilege"),
        field("kernel", f"Linux {system.release} {system.machine}"),
    )


def described(number: int, played: Played) -> Iterator[str]:
    """One scene: what is packed, the five sets, the end, the reason."""
    scene, result = played.scene, played.result
    yield bold(f"{number}. {scene.title}")
    caps = f" {scene.file_caps}" if scene.file_caps else ""
    yield field("image", f"/http{caps}  {dim(str(played.image.digest))}")
    yield field("Pod", f"drop: [all], add: [{', '.join(scene.add)}]")
    yield row("", SETS)
    yield row("before execve", sets(played.plan.first.before.caps))
    if result.created is not None and result.created.caps != played.plan.first.before.caps:
        yield row("  but observed", sets(result.created.caps))
    yield row("after: predicted", after(played, observed=False))
    yield row("       observed", after(played, observed=True))
    good = played.as_it_must and not played.differences
    mark = click.style("as it must be" if good else "NOT as it must be", fg="green" if good else "red")
    yield field("ends", f"{click.style(printable(played.wording), bold=True)}  {mark}")
    for index, reason in enumerate(played.reasons):
        yield field("because" if index == 0 else "", dim(printable(reason)))
    for difference in played.differences:
        yield field("wrong", click.style(printable(difference), fg="red"))


def after(played: Played, *, observed: bool) -> Sequence[str]:
    """The five sets after execve(2), or that there was no after."""
    seen = played.result.observed if observed else played.plan.first.after
    return sets(seen.caps) if seen is not None else ("not started",)


def sets(caps: ThreadCaps) -> tuple[str, ...]:
    return tuple(",".join(getattr(caps, name).names()) or "-" for name in SETS)


def conclusion(played: Sequence[Played], seconds: float) -> Iterator[str]:
    right = sum(one.as_it_must and not one.differences for one in played)
    yield bold(
        f"{right} of {len(played)} ended as predicted and as they must, in {seconds:.1f} s. Nothing is left behind."
    )
    if right == len(played):
        yield dim("Yours:  caplet pack ./server -o oci:image --caps NET_BIND_SERVICE")


def field(label: str, text: str) -> str:
    return f"   {dim(label.ljust(9))}{text}"


def row(label: str, cells: Sequence[str]) -> str:
    text = "".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=False)).rstrip()
    return f"   {label.ljust(LABEL)}{text if label else dim(text)}".rstrip()


def bold(text: str) -> str:
    return click.style(text, bold=True)


def dim(text: str) -> str:
    return click.style(text, dim=True) if text.strip() else text
