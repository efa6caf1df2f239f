# SPDX-License-Identifier: Apache-2.0
"""`caplet verify`: what was predicted of a container beside what the real engine and kernel made of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from caplet.cli.terminal import printable
from caplet.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.node import Node
    from caplet.verify.compare import Difference
    from caplet.verify.engines.interface import RealEngine
    from caplet.verify.seen import Seen

EXIT_DIFFERS = 5
EXIT_UNDETERMINED = 4
SCHEMA_VERSION = 1

LAST_LINES = 5
"""Of what a container said before it ended by itself."""
LAST_CHARACTERS = 64 * 1024
"""The same in JSON."""


class NoEngine(Unavailable):
    """Nothing could be compared."""

    exit_code = EXIT_UNDETERMINED


@dataclass(frozen=True, slots=True)
class Asked:
    """An engine, and the node that it is to be, as the user spelled it; empty where it is itself."""

    engine: RealEngine
    node: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """One container on one engine."""

    engine: str
    node: str
    explanation: Explanation
    seen: Seen
    differences: tuple[Difference, ...]

    @property
    def name(self) -> str:
        """`containerd 1.7.34 / runc 1.1.5`; a platform with its own name before it."""
        platform = self.explanation.node.platform is not None and self.node
        return f"{self.node} = {self.engine}" if platform else self.engine


@click.command()
@click.option(
    "-f",
    "--filename",
    "files",
    metavar="FILE",
    multiple=True,
    required=True,
    help="The Pod's manifest, or - for standard input.",
)
@click.option("--container", metavar="NAME", help="Which container.  [default: the only one]")
@click.option(
    "--image",
    "images",
    metavar="[NAME=]REF",
    multiple=True,
    help="The container's image on disk: oci:DIR[:TAG], ...  [default: the Pod's own image:]",
)
@click.option(
    "--engine",
    "engines",
    metavar="NAME[,...]",
    help="Real engines of this machine: containerd (through its CRI socket), docker, podman.  [default: those that answer]",
)
@click.option(
    "--on",
    metavar="NODE[,...]",
    help="Nodes to emulate with this machine's OCI runtime: containerd:2.1, crio, openshift, ... (see caplet explain)",
)
@click.option(
    "--context", metavar="NAME", help="A cluster of your kubeconfig: in a namespace of its own there."
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 600, min_open=True),
    default=1.0,
    show_default=True,
    help="How long the container may run.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form of the answer.",
)
def command(
    files: tuple[str, ...],
    container: str | None,
    images: tuple[str, ...],
    engines: str | None,
    on: str | None,
    context: str | None,
    seconds: float,
    output: str,
) -> int:
    """Run a Pod's container on the real engines of this machine, read its five sets from the kernel, and compare them with
    what `caplet explain` says, set by set.

    Each container is started as a user or a kubelet would have the engine start it, without network, and removed again.
    Needs root, or whoever may use the engine.

    \b
    Exit code: 0 everything is as predicted; 5 something differs; 4 no engine could be asked; 2 wrong usage or input.
    Example:
      caplet verify -f pod.yaml --image oci:app
      caplet verify -f pod.yaml --image oci:app --on containerd:1.7,containerd:2.1,crio
    """
    from caplet.cli.imageoption import ImageOption
    from caplet.image.image import Image, open_image
    from caplet.kubernetes.pod import container_named, pods
    from caplet.kubernetes.source import manifests
    from caplet.run.foreign import this_platform

    found = pods(manifests(files, None))
    if len(found) != 1:
        raise InvalidInput(f"{len(found)} Pods in the input", "give a manifest with one of them")
    pod = found[0]
    chosen = container_named(pod, container)
    option = ImageOption.parse(images)
    option.check(found)
    reference = option.reference(chosen)
    if reference is None:
        raise pod.document.error(
            (*chosen.path, "image"),
            f"container {chosen.name}: its image {chosen.image!r} is in a registry",
            "give the image on disk: --image oci:DIR[:TAG] (skopeo copy docker://... oci:DIR brings it)",
        )
    image = open_image(reference, this_platform())
    assert isinstance(image, Image)
    asked, missing = _engines(engines, on, context)
    if output == "text":
        click.echo(printable(_heading(pod, chosen, reference)))
    results = list(_all(pod, chosen, image, reference, asked, seconds, missing, tell=output == "text"))
    if not results:
        raise NoEngine("no engine answers: " + "; ".join(missing), HINT)
    if output == "json":
        click.echo(json.dumps(_document(pod, chosen, reference, results, missing), indent=2))
    else:
        for reason in missing:
            click.echo(printable(f"not asked: {reason}"), err=True)
    return EXIT_DIFFERS if any(one.differences for one in results) else 0


HINT = "--on containerd emulates a node with an OCI runtime, or with none"


def _engines(names: str | None, on: str | None, context: str | None) -> tuple[list[Asked], list[str]]:
    """Those that are asked for, or all that answer; and what those that do not answer need."""
    from caplet.run.container import find_runtime
    from caplet.verify.engines.catalogue import ENGINES
    from caplet.verify.engines.ociruntime import OCIRuntimeAlone

    wanted: dict[str, RealEngine] = {}
    for name in filter(None, map(str.strip, (names or "").split(","))):
        if name not in ENGINES:
            raise InvalidInput(f"unknown engine {name[:40]!r}", f"known: {', '.join(ENGINES)}")
        wanted[name] = ENGINES[name]()
    chosen: list[Asked] = []
    if on:
        from caplet.runtimes.node import nodes

        runtime, _ = find_runtime(None)
        chosen = [Asked(OCIRuntimeAlone(runtime, node.name), node.name) for node in nodes(on)]
    if context:
        from caplet.verify.engines.kubectl import Cluster

        wanted[f"--context {context}"] = Cluster(context)
    default = not wanted and not chosen
    if default:
        wanted = {name: make() for name, make in ENGINES.items()}
    lacking = {name: engine.lacks() for name, engine in wanted.items()}
    missing = [f"{name} needs {what}" for name, what in lacking.items() if what]
    chosen = [*(Asked(engine) for name, engine in wanted.items() if not lacking[name]), *chosen]
    if not chosen:
        raise NoEngine("no engine answers: " + "; ".join(missing), HINT)
    return chosen, [] if default else missing


def _all(
    pod: PodSpec,
    container: Container,
    image: Image,
    reference: str,
    engines: list[Asked],
    seconds: float,
    missing: list[str],
    *,
    tell: bool,
) -> Iterator[Verified]:
    """One after the other; whoever turns out not to answer goes into `missing`."""
    from caplet.explain.open import facts_of

    facts = facts_of(image, reference)
    for asked in engines:
        try:
            one = _verified(pod, container, image, facts, asked, seconds)
        except Unavailable as error:
            missing.append(f"{asked.node or asked.engine.name}: {error.message}")
            continue
        if tell:
            for line in _lines(one):
                click.echo(printable(line))
        yield one


def _verified(
    pod: PodSpec, container: Container, image: Image, facts: ImageFacts, asked: Asked, seconds: float
) -> Verified:
    from caplet.explain.container import explain
    from caplet.run.available import own_credentials, spared
    from caplet.verify.compare import differences

    engine = asked.engine
    every = own_credentials().caps.bounding
    versions = engine.versions()
    edited = spared if asked.node else None
    explanation = explain(pod, container, facts, _node(engine), (), every, versions.default_caps, edited)
    with engine.session(image) as session:
        seen = session.run(pod, container, seconds)
    return Verified(str(versions), asked.node, explanation, seen, differences(explanation, seen))


def _node(engine: RealEngine) -> Node:
    """The engine in its own versions, on this machine's kernel."""
    import os

    from caplet.kernel.versions import Kernel
    from caplet.runtimes.node import parse

    words = [part for part in engine.versions().node.split("+") if not part.startswith("linux:")]
    return parse("+".join([*words, f"linux:{Kernel.parse(os.uname().release)}"]))


def _heading(pod: PodSpec, container: Container, reference: str) -> str:
    """`pod/web  container web (of setup, proxy, web)  oci:web`: which one it is, where there are several."""
    from caplet.run.report import container_shown

    names = [one.name for one in pod.every_container]
    among = f" (of {', '.join(names)})" if len(names) > 1 else ""
    return f"{container_shown(pod, container)}{among}  {reference}"


def _lines(one: Verified) -> Iterator[str]:
    seen = one.seen
    as_predicted = "as predicted" if not one.differences else "OTHERWISE THAN PREDICTED"
    yield f"{one.name}: {_outcome(seen)} {as_predicted} ({one.explanation.verdict})"
    if seen.error:
        yield f"  {seen.error}"
    if seen.started and seen.exit_code:
        for line in (seen.stderr.strip() or seen.stdout.strip()).splitlines()[-LAST_LINES:]:
            yield f"  | {line}"
    for difference in one.differences:
        yield f"  {difference.what}: predicted {difference.predicted}, observed {difference.observed}"
    if seen.observed is not None and not one.differences:
        caps = seen.observed.caps
        for name in ("bounding", "permitted", "effective", "inheritable", "ambient"):
            yield f"  {name:<12} {', '.join(getattr(caps, name).names()) or 'none'}"


def _outcome(seen: Seen) -> str:
    """What became of it; how a program ends by itself is nothing that was predicted."""
    if seen.refused:
        return "refused,"
    if not seen.started:
        return "did not start,"
    if seen.exit_code is None:
        return "started,"
    return f"started, and ended with exit code {seen.exit_code}; the start is"


def _document(
    pod: PodSpec, container: Container, reference: str, results: list[Verified], missing: list[str]
) -> dict[str, Any]:
    from caplet.run.report import container_json

    return {
        "schemaVersion": SCHEMA_VERSION,
        "pod": container_json(pod, container),
        "image": {"reference": reference},
        "verified": [_as_json(one) for one in results],
        "notAsked": missing,
    }


def _as_json(one: Verified) -> dict[str, Any]:
    from caplet.run.report import credentials_json

    return {
        "engine": one.engine,
        "node": one.node or None,
        "verdict": str(one.explanation.verdict),
        "asPredicted": not one.differences,
        "differences": [
            {"what": each.what, "predicted": each.predicted, "observed": each.observed}
            for each in one.differences
        ],
        "refused": one.seen.refused,
        "started": one.seen.started,
        "error": one.seen.error or None,
        "exitCode": one.seen.exit_code,
        "stdout": one.seen.stdout[-LAST_CHARACTERS:],
        "stderr": one.seen.stderr[-LAST_CHARACTERS:],
        "observed": credentials_json(one.seen.observed),
        "portStart": one.seen.port_start,
    }
