# SPDX-License-Identifier: Apache-2.0
"""`caplet explain`: which capabilities the process will hold, on every runtime, and why."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import click

from caplet.cli.terminal import printable
from caplet.errors import CapletError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from caplet.cli.imageoption import ImageOption
    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.image.descriptor import Platform
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.report.colour import Choice
    from caplet.report.judged import Judged
    from caplet.runtimes.node import Node

EXIT_WILL_NOT_WORK = 1
EXIT_NO_INPUTS = 3
EXIT_UNDETERMINED = 4


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    metavar="FILE",
    multiple=True,
    help="Manifest, directory, or - for standard input.",
)
@click.option("-k", "--kustomize", metavar="DIR", help="A kustomization, through kubectl or kustomize.")
@click.option("--container", metavar="NAME", help="Only this container.  [default: all]")
@click.option(
    "--image",
    "images",
    metavar="[NAME=]REF",
    multiple=True,
    help="Image on disk that stands for the container or image NAME, or for every one: oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE.",
)
@click.option(
    "--on",
    metavar="NODE[,...]",
    default="containerd",
    show_default=True,
    help="Engine, release, platform: containerd:1.7, crio+crun:1.20, docker, podman, openshift, ..., all. Several give a matrix.",
)
@click.option(
    "--then",
    metavar="PROGRAM",
    multiple=True,
    help="What the last known program executes, with its arguments in quotes; again for what that executes.",
)
@click.option("--platform", metavar="OS/ARCH", help="Which image of an index.  [default: this machine's]")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "wide", "json", "yaml", "html"]),
    default="table",
    show_default=True,
    help="Form of the answer.",
)
@click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours and arrows; auto: on a terminal, unless NO_COLOR is set.",
)
@click.option("--allow-unknown", is_flag=True, help="Exit with 0 where something that decides is not known.")
def command(
    files: tuple[str, ...],
    kustomize: str | None,
    container: str | None,
    images: tuple[str, ...],
    on: str,
    then: tuple[str, ...],
    platform: str | None,
    output: str,
    color: Choice,
    allow_unknown: bool,
) -> int:
    """Say which capabilities each program of a Pod will hold, whether it will work, why not, and what would mend it.

    Nothing is run, and no cluster is asked. Of a container whose image cannot be read what is certain without it is said.

    \b
    Exit code: 0 every container gets what it asks for, or needs none of it; 1 one does not; 2 wrong usage or input; 3 no Pod;
    4 something that decides is not known, such as the image.
    Example:
      caplet explain -f pod.yaml --image oci:app --on containerd:1.7,containerd:2.1,crio,openshift
      helm template . | caplet explain -f - --image web=oci:web
    """
    from caplet.cli.imageoption import ImageOption
    from caplet.image.descriptor import Platform
    from caplet.kubernetes.pod import container_named
    from caplet.runtimes.node import nodes

    chosen = nodes(on)
    follow = tuple(_argv(text) for text in then)
    option = ImageOption.parse(images)
    found = _pods(files, kustomize)
    if not found:
        raise NoPod(
            "no Pod in the input",
            "kinds that have one: Pod, Deployment, StatefulSet, DaemonSet, Job, CronJob, ...",
        )
    option.check(found)
    opened = Opened(option, Platform.parse(platform) if platform else None)
    results: list[Judged] = []
    for pod in found:
        those = (container_named(pod, container),) if container else pod.every_container
        for one in those:
            results += [_judged(opened.explainer(pod, one, node)(follow)) for node in chosen]
    _show(results, output, color)
    return _exit_code([one.explanation for one in results], allow_unknown=allow_unknown)


class NoPod(InvalidInput):
    """There is nothing to explain."""

    exit_code = EXIT_NO_INPUTS


class Opened:
    """Each image opened once; what cannot be read is told once, and then is not there."""

    def __init__(self, option: ImageOption, platform: Platform | None) -> None:
        self._option = option
        self._platform = platform
        self._facts: dict[str, ImageFacts | None] = {}

    def explainer(
        self, pod: PodSpec, container: Container, node: Node
    ) -> Callable[[tuple[tuple[str, ...], ...]], Explanation]:
        """`explain` of the container with its image, and without it where that turns out to be damaged."""
        from caplet.explain.container import explain

        def explained(then: tuple[tuple[str, ...], ...] = ()) -> Explanation:
            image = self._image(container)
            try:
                return explain(pod, container, image, node, then)
            except CapletError as error:
                if image is None:
                    raise
                self._unreadable(image.reference, error)
                return explain(pod, container, None, node, then)

        return explained

    def _image(self, container: Container) -> ImageFacts | None:
        reference = self._option.reference(container)
        if reference is None:
            self._in_a_registry(container)
            return None
        if reference not in self._facts:
            self._open(reference)
        return self._facts[reference]

    def _open(self, reference: str) -> None:
        from caplet.explain.open import open_facts
        from caplet.run.foreign import this_platform

        try:
            self._facts[reference] = open_facts(reference, self._platform or this_platform())
        except CapletError as error:
            self._unreadable(reference, error)

    def _unreadable(self, reference: str, error: CapletError) -> None:
        self._facts[reference] = None
        click.echo(f"caplet: {printable(error.message)}", err=True)
        if error.hint:
            click.echo(f"  {printable(error.hint)}", err=True)

    def _in_a_registry(self, container: Container) -> None:
        key = f"{container.name}={container.image}"
        if key in self._facts:
            return
        self._facts[key] = None
        what = f"its image {container.image} is in a registry" if container.image else "it names no image"
        click.echo(
            f"caplet: container {printable(container.name)}: {printable(what)}; --image {printable(container.name)}=oci:DIR gives a copy on disk",
            err=True,
        )


def _pods(files: tuple[str, ...], kustomize: str | None) -> list[PodSpec]:
    from caplet.kubernetes.pod import pods
    from caplet.kubernetes.source import manifests

    if not files and kustomize is None:
        raise click.UsageError("Give a manifest: -f FILE, -f - for standard input, or -k DIR.")
    return pods(manifests(files, kustomize))


def _argv(text: str) -> tuple[str, ...]:
    try:
        argv = tuple(shlex.split(text))
    except ValueError as error:
        raise click.UsageError(f"--then {text!r}: {error}") from None
    if not argv:
        raise click.UsageError("--then names no program")
    return argv


def _judged(explanation: Explanation) -> Judged:
    from caplet.causes.catalogue import causes_of
    from caplet.remedies.remedies import remedies_of
    from caplet.report.judged import Judged

    return Judged(explanation, causes_of(explanation), remedies_of(explanation))


def _show(results: list[Judged], output: str, color: Choice) -> None:
    """One document, or text line by line."""
    if output == "html":
        from caplet.report.html import page

        click.echo(page(results), nl=False)
    elif output == "json":
        import json

        from caplet.report.explainjson import document

        click.echo(json.dumps(document(results), indent=2))
    elif output == "yaml":
        from caplet.report.explainjson import document
        from caplet.report.yamltext import yaml_text

        click.echo(yaml_text(document(results)), nl=False)
    else:
        from caplet.report.colour import wants_colour
        from caplet.report.text import report

        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else None
        for line in report(
            results, width, colour=wants_colour(color, os.environ, terminal=terminal), wide=output == "wide"
        ):
            click.echo(line, color=True)


def _exit_code(explanations: Iterable[Explanation], *, allow_unknown: bool) -> int:
    from caplet.explain.explanation import Verdict

    verdicts = {one.verdict for one in explanations}
    if verdicts & {Verdict.INERT, Verdict.EXEC_FAILS, Verdict.FORBIDDEN, Verdict.REFUSED}:
        return EXIT_WILL_NOT_WORK
    return EXIT_UNDETERMINED if Verdict.UNKNOWN in verdicts and not allow_unknown else 0
