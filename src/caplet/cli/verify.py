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
    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.node import Node
    from caplet.verify.compare import Difference
    from caplet.verify.engines.interface import RealEngine
    from caplet.verify.seen import Seen

EXIT_DIFFERS = 5
EXIT_UNDETERMINED = 4
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Verified:
    """One container on one engine."""

    engine: str
    explanation: Explanation
    seen: Seen
    differences: tuple[Difference, ...]


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
    results = list(
        _all(pod, chosen, image, reference, _engines(engines, on, context), seconds, tell=output == "text")
    )
    if output == "json":
        click.echo(
            json.dumps(
                {"schemaVersion": SCHEMA_VERSION, "verified": [_as_json(one) for one in results]}, indent=2
            )
        )
    if not results:
        return EXIT_UNDETERMINED
    return EXIT_DIFFERS if any(one.differences for one in results) else 0


def _engines(names: str | None, on: str | None, context: str | None) -> list[RealEngine]:
    """Those that are asked for, or all that answer."""
    from caplet.run.container import find_runtime
    from caplet.verify.engines.catalogue import ENGINES
    from caplet.verify.engines.ociruntime import OCIRuntimeAlone

    chosen: list[RealEngine] = []
    for name in (names or "").split(","):
        if not name.strip():
            continue
        if name.strip() not in ENGINES:
            raise InvalidInput(f"unknown engine {name.strip()[:40]!r}", f"known: {', '.join(ENGINES)}")
        engine = ENGINES[name.strip()]()
        if engine.lacks():
            raise Unavailable(engine.lacks())
        chosen.append(engine)
    if on:
        from caplet.runtimes.node import nodes

        runtime, _ = find_runtime(None)
        chosen += [OCIRuntimeAlone(runtime, node.name) for node in nodes(on)]
    if context:
        from caplet.verify.engines.kubectl import Cluster

        cluster = Cluster(context)
        if cluster.lacks():
            raise Unavailable(f"--context {context}: there is no {cluster.lacks()}")
        chosen.append(cluster)
    if chosen:
        return chosen
    every: list[RealEngine] = [make() for make in ENGINES.values()]
    present = [engine for engine in every if not engine.lacks()]
    if not present:
        raise Unavailable(
            "no engine answers: " + "; ".join(engine.lacks() for engine in every),
            "--on containerd emulates a node with an OCI runtime, or with none",
        )
    return present


def _all(
    pod: PodSpec,
    container: Container,
    image: Image,
    reference: str,
    engines: list[RealEngine],
    seconds: float,
    *,
    tell: bool,
) -> Iterator[Verified]:
    from caplet.explain.container import explain
    from caplet.explain.open import facts_of
    from caplet.run.available import own_credentials, spared
    from caplet.verify.compare import differences
    from caplet.verify.engines.ociruntime import OCIRuntimeAlone

    facts = facts_of(image, reference)
    every = own_credentials().caps.bounding
    for engine in engines:
        node, configured = _node(engine), engine.versions().default_caps
        edited = spared if isinstance(engine, OCIRuntimeAlone) else None
        explanation = explain(pod, container, facts, node, (), every, configured, edited)
        with engine.session(image) as session:
            seen = session.run(pod, container, seconds)
        one = Verified(str(engine.versions()), explanation, seen, differences(explanation, seen))
        if tell:
            for line in _lines(one):
                click.echo(printable(line))
        yield one


def _node(engine: RealEngine) -> Node:
    """The engine in its own versions, on this machine's kernel."""
    import os

    from caplet.kernel.versions import Kernel
    from caplet.runtimes.node import parse

    words = [part for part in engine.versions().node.split("+") if not part.startswith("linux:")]
    return parse("+".join([*words, f"linux:{Kernel.parse(os.uname().release)}"]))


def _lines(one: Verified) -> Iterator[str]:
    explanation = one.explanation
    outcome = "refused" if one.seen.refused else "started" if one.seen.started else "did not start"
    yield f"{one.engine}: {outcome}, {'as predicted' if not one.differences else 'OTHERWISE THAN PREDICTED'} ({explanation.verdict})"
    if one.seen.error:
        yield f"  {one.seen.error}"
    for difference in one.differences:
        yield f"  {difference.what}: predicted {difference.predicted}, observed {difference.observed}"
    if one.seen.observed is not None and not one.differences:
        caps = one.seen.observed.caps
        for name in ("bounding", "permitted", "effective", "inheritable", "ambient"):
            yield f"  {name:<12} {', '.join(getattr(caps, name).names()) or 'none'}"


def _as_json(one: Verified) -> dict[str, Any]:
    from caplet.run.report import credentials_json

    return {
        "engine": one.engine,
        "verdict": str(one.explanation.verdict),
        "asPredicted": not one.differences,
        "differences": [
            {"what": each.what, "predicted": each.predicted, "observed": each.observed}
            for each in one.differences
        ],
        "refused": one.seen.refused,
        "started": one.seen.started,
        "error": one.seen.error or None,
        "observed": credentials_json(one.seen.observed),
        "portStart": one.seen.port_start,
    }
