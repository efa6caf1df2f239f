# SPDX-License-Identifier: Apache-2.0
"""`caplet why`: from a log line, or from a live Pod, to the cause and the narrowest remedy."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from caplet.cli.terminal import printable
from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caplet.cli.imageoption import ImageOption
    from caplet.explain.explanation import Explanation
    from caplet.kubernetes.pod import PodSpec
    from caplet.why.answer import Answer, Clue, Decided

    Explained = Callable[[tuple[tuple[str, ...], ...]], Explanation]

MAX_LOG = 64 << 20
"""Bytes of a log on standard input."""

EXIT_UNDETERMINED = 4
SCHEMA_VERSION = 1


@click.command()
@click.argument("what", metavar="[TEXT | pod/NAME | -]", required=False)
@click.option(
    "-f",
    "--filename",
    "files",
    metavar="FILE",
    multiple=True,
    help="The Pod's manifest, or - for standard input.",
)
@click.option("--container", metavar="NAME", help="Only this container.  [default: all]")
@click.option(
    "--image", "images", metavar="[NAME=]REF", multiple=True, help="Image on disk: oci:DIR[:TAG], ..."
)
@click.option(
    "--on", metavar="NODE", help="Engine and release.  [default: the live Pod's own, else containerd]"
)
@click.option("-n", "--namespace", metavar="NS", help="Of a live Pod.")
@click.option("--context", metavar="NAME", help="kubectl's.")
@click.option("--kubeconfig", metavar="FILE", help="kubectl's.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the answer.",
)
def command(
    what: str | None,
    files: tuple[str, ...],
    container: str | None,
    images: tuple[str, ...],
    on: str | None,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    output: str,
) -> int:
    """Name the cause of what a log says, or of a Pod that does not work, and what mends it.

    A line alone names candidates; the Pod's manifest and its image choose among them. With pod/NAME everything is read
    with your own kubectl: the object, its events, states, last log lines, and the node's engine. Nothing is changed.

    \b
    Exit code: 0 the cause is named; 2 wrong usage or input; 4 what is given does not decide.
    Example:
      caplet why 'exec /usr/bin/caddy: operation not permitted' -f pod.yaml --image oci:caddy
      kubectl logs web | caplet why -f pod.yaml --image oci:web
      caplet why pod/web -n shop
    """
    from caplet.cli.imageoption import ImageOption
    from caplet.why.answer import answer, clues_of
    from caplet.why.kubectl import Kubectl

    found_pods = _pods(files)
    if what is not None and what.startswith("pod/"):
        live = Kubectl(namespace, context, kubeconfig).read(what.removeprefix("pod/"))
        clues, on = live.clues, on or live.node
        found_pods += _live_pods(live.manifest, what)
    elif what is None or what == "-":
        if what is None and sys.stdin.isatty():
            raise click.UsageError(
                "Give what you saw: a line in quotes, a log on standard input, or pod/NAME."
            )
        if "-" in files:
            raise click.UsageError("Standard input is the manifest: give the line that you saw in quotes.")
        clues = clues_of(sys.stdin.buffer.read(MAX_LOG).decode("utf-8", "replace"), "line")
    else:
        clues = clues_of(what)
    if not clues and not found_pods:
        raise InvalidInput("the log is empty", "give the line that you saw")
    explained = list(_explained(found_pods, container, ImageOption.parse(images), on or "containerd"))
    found = answer(clues, explained)
    if output == "json":
        click.echo(json.dumps(_as_json(found), indent=2))
    else:
        for line in _lines(found):
            click.echo(printable(line))
    return 0 if any(one.clues or not found.clues for one in found.decided) else EXIT_UNDETERMINED


def _pods(files: tuple[str, ...]) -> list[PodSpec]:
    from caplet.kubernetes.pod import pods
    from caplet.kubernetes.source import manifests

    return pods(manifests(files)) if files else []


def _live_pods(manifest: bytes, name: str) -> list[PodSpec]:
    from caplet.kubernetes.document import documents
    from caplet.kubernetes.pod import pods

    return pods(documents(manifest, name))


def _explained(
    found: list[PodSpec], container: str | None, option: ImageOption, on: str
) -> Iterator[Explained]:
    """For each container what it becomes, on the first node named."""
    from caplet.cli.explain import Opened
    from caplet.kubernetes.pod import container_named
    from caplet.runtimes.node import nodes

    if not found:
        return
    node = nodes(on)[0]
    option.check(found)
    opened = Opened(option, None)
    for pod in found:
        for one in (container_named(pod, container),) if container else pod.every_container:
            yield opened.explainer(pod, one, node)


def _lines(found: Answer) -> Iterator[str]:
    answered = [one for one in found.decided if one.clues]
    for one in answered or found.decided:
        yield from _decided_lines(one)
    if found.open:
        for clue in found.clues:
            yield f"saw        {clue.text}{_source(clue)}"
        yield "candidates"
        for candidate in found.open:
            yield f"  {candidate.cause.code} {candidate.cause.name}: {candidate.cause.summary}"
    elif not found.decided:
        yield from (f"saw        {clue.text}{_source(clue)}" for clue in found.clues)
        yield "no cause that caplet knows"
    for need in found.needs:
        yield f"to decide  {need}"


def _decided_lines(one: Decided) -> Iterator[str]:
    from caplet.remedies.remedies import remedies_of

    cause = one.found.cause
    yield f"{cause.code} {cause.name}: {cause.summary}"
    for clue in one.clues:
        yield f"  saw      {clue.text}{_source(clue)}"
    yield f"  because  {one.found.message}"
    for number, remedy in enumerate(remedies_of(one.explanation), 1):
        yield f"  remedy {number} {remedy.title}"
        yield from (f"           {line}" for line in remedy.paste())
    yield f"  more     caplet cause {cause.code}"


def _source(clue: Clue) -> str:
    return f"   ({clue.source})" if clue.source else ""


def _as_json(found: Answer) -> dict[str, Any]:
    from caplet.remedies.remedies import remedies_of

    return {
        "schemaVersion": SCHEMA_VERSION,
        "clues": [
            {"text": one.text, "source": one.source, "container": one.container or None}
            for one in found.clues
        ],
        "causes": [
            {
                "code": one.found.cause.code,
                "name": one.found.cause.name,
                "message": one.found.message,
                "container": one.explanation.container.name,
                "clues": [clue.text for clue in one.clues],
                "remedies": [
                    {"title": remedy.title, "patch": remedy.patch, "commands": list(remedy.commands)}
                    for remedy in remedies_of(one.explanation)
                ],
            }
            for one in found.decided
        ],
        "candidates": [{"code": one.cause.code, "name": one.cause.name} for one in found.open],
        "needs": list(found.needs),
    }
