# SPDX-License-Identifier: Apache-2.0
"""`caplet why`: from a log line, or from a live Pod, to the cause and the narrowest remedy."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from caplet.cli.terminal import printable
from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.cli.explain import Opened
    from caplet.cli.imageoption import ImageOption
    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.node import Node
    from caplet.why.answer import Answer, Then
    from caplet.why.clue import Clue

MAX_LOG = 64 << 20
"""Bytes of a log on standard input that are kept: the last ones, which are about the end."""

BLOCK = 1 << 20

EXIT_UNDETERMINED = 4


@click.command()
@click.argument("words", metavar="[TEXT | KIND/NAME | -]", nargs=-1)
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
    "--image",
    "images",
    metavar="[NAME=]REF",
    multiple=True,
    help="Image on disk: oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE.",
)
@click.option(
    "--on",
    metavar="NODE",
    help="Engine and release.  [default: the live Pod's own, else a usual one that fits]",
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
    words: tuple[str, ...],
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

    A line alone names candidates; the Pod's manifest and its image choose among them. A whole log is read from standard
    input. KIND/NAME (pod, deploy, sts, ds, rs, job) is read with your own kubectl: the object, its events, states, last
    log lines, and the node's engine. Nothing is changed.

    \b
    Exit code: 0 the cause is named; 2 wrong usage or input; 4 what is given does not decide.
    Examples:
      caplet why 'exec /usr/bin/caddy: operation not permitted' -f pod.yaml --image oci:caddy
      kubectl logs web | caplet why -f pod.yaml --image oci:web
      caplet why pod/web -n shop --image oci:web
    """
    from caplet.cli.imageoption import ImageOption
    from caplet.why.meant import meant
    from caplet.why.whyjson import document

    option = ImageOption.parse(images)
    node = _node(on)
    seen = _seen(meant(words), files, namespace, context, kubeconfig)
    if container is not None:
        _check_container(seen.pods, container)
    found = _answer(seen, container, option, node or seen.node)
    for note in seen.notes:
        click.echo(f"caplet: {printable(note)}", err=True)
    if output == "json":
        click.echo(json.dumps(document(found, seen.notes), indent=2))
    else:
        _print(found)
    return 0 if _is_answered(found) else EXIT_UNDETERMINED


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to judge."""

    clues: Sequence[Clue]
    pods: Sequence[PodSpec]
    node: Node | None = None
    notes: Sequence[str] = ()


def _seen(
    what: str | None,
    files: tuple[str, ...],
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
) -> Seen:
    from caplet.why.clue import clues_of
    from caplet.why.kubectl import Kubectl
    from caplet.why.live import is_live, read_live

    if what is not None and is_live(what):
        if files:
            raise click.UsageError(f"{what} is read from the cluster: leave -f out.")
        live = read_live(Kubectl(namespace, context, kubeconfig), what)
        return Seen(live.clues, live.pods, live.node, live.notes)
    if what is None or what == "-":
        if what is None and sys.stdin.isatty():
            raise click.UsageError(
                "Give what you saw: a line in quotes, a log on standard input, or pod/NAME."
            )
        if "-" in files:
            raise click.UsageError("Standard input is the manifest: give the line that you saw in quotes.")
        clues = clues_of(_log(), "line")
    else:
        clues = clues_of(what)
    if not clues:
        raise InvalidInput("the log is empty", "give the line that you saw")
    return Seen(clues, _pods(files))


def _answer(seen: Seen, container: str | None, option: ImageOption, node: Node | None) -> Answer:
    from caplet.cli.explain import Opened
    from caplet.why.answer import answer
    from caplet.why.somewhere import answer_somewhere

    clues = [clue for clue in seen.clues if container is None or clue.container in {"", container}]
    if not seen.pods:
        return answer(clues, (), _image_alone(option))
    option.check(seen.pods)
    opened = Opened(option, None)
    if node is not None:
        return answer(clues, list(_containers(seen.pods, container, opened, node)))

    def on(name: str) -> list[_Container]:
        there = _node(name)
        assert there is not None
        return list(_containers(seen.pods, container, opened, there))

    return answer_somewhere(clues, on)


def _log() -> str:
    """The end of standard input."""
    kept: list[bytes] = []
    size = 0
    while block := sys.stdin.buffer.read(BLOCK):
        kept.append(block)
        size += len(block)
        while size - len(kept[0]) >= MAX_LOG:
            size -= len(kept.pop(0))
    return b"".join(kept).decode("utf-8", "replace")


def _pods(files: tuple[str, ...]) -> list[PodSpec]:
    from caplet.kubernetes.pod import pods
    from caplet.kubernetes.source import manifests

    if not files:
        return []
    found = pods(manifests(files))
    if not found:
        raise InvalidInput("no Pod in the input", "kinds that have one: Pod, Deployment, StatefulSet, ...")
    return found


def _node(on: str | None) -> Node | None:
    from caplet.runtimes.node import nodes

    if on is None:
        return None
    first, *more = nodes(on)
    if more:
        raise click.UsageError(
            f"--on {printable(on)}: the line comes from one node; caplet explain compares several"
        )
    return first


def _check_container(pods: Sequence[PodSpec], name: str) -> None:
    from caplet.kubernetes.pod import container_named

    if pods and not any(name == one.name for pod in pods for one in pod.every_container):
        container_named(pods[0], name)  # raises, naming those that there are


def _containers(
    pods: Sequence[PodSpec], container: str | None, opened: Opened, node: Node
) -> Iterator[_Container]:
    for pod in pods:
        for one in pod.every_container:
            if container in {None, one.name}:
                yield _Container(opened, pod, one, node)


@dataclass(frozen=True, slots=True)
class _Container:
    """`caplet.why.answer.Explained`."""

    opened: Opened
    pod: PodSpec
    container: Container
    node: Node

    @property
    def name(self) -> str:
        return self.container.name

    def __call__(self, then: Then = (), ports: tuple[int, ...] = ()) -> Explanation:
        from caplet.kubernetes.podspec import ContainerPort
        from caplet.remedies.remedy import with_container

        pod, container = self.pod, self.container
        more = set(ports) - {port.container_port for port in container.ports}
        if more:
            container = replace(
                container, ports=(*container.ports, *(ContainerPort(port) for port in sorted(more)))
            )
            pod = with_container(pod, self.container, container)
        return self.opened.explainer(pod, container, self.node)(then)


def _image_alone(option: ImageOption) -> ImageFacts | None:
    from caplet.explain.open import open_facts
    from caplet.run.foreign import this_platform

    if not option.named:
        return None
    if len(option.named) > 1:
        raise click.UsageError("Several images are told apart by the Pod: give it with -f.")
    return open_facts(next(iter(option.named.values())), this_platform())


def _print(found: Answer) -> None:
    from caplet.report.printable import shown
    from caplet.why.text import lines

    for line in lines(found):
        click.echo(shown(line))


def _is_answered(found: Answer) -> bool:
    """A cause answers a clue; or there was no clue, and a Pod has one."""
    return bool(found.answered) or (not found.clues and bool(found.decided))
