# SPDX-License-Identifier: Apache-2.0
"""What is measured, and the ratios to reach."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import images, manifests, peers
from bench.peers import Way

if TYPE_CHECKING:
    from bench.images import Image

MEGABYTE = 1_000_000
REAL = ("small", "large")
"""Images as people have them; the others show the extremes."""
SCAN_LIMIT = {"gzip": 1.15, "zstd": 0.8}
"""On two cores zstd layers can be done side by side, which `zstd -dc` does not do."""
LIMIT = {"gzip": "igzip", "zstd": "zstd"}
SLACK = 64 * 1024
"""Bytes a grant may write beyond its new layer."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """`way` takes at most `bound` times the wall time of `other`, round by round."""

    way: str
    other: str
    bound: float


@dataclass(frozen=True, slots=True)
class AtMost:
    """`way` stays below an amount: `peak` or `written`, in bytes."""

    way: str
    field: str
    bound: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """`way` takes at most so long, on a machine that is quiet; what `less` takes in the same round is not counted."""

    way: str
    bound: float
    less: str = ""


Goal = Ratio | AtMost | Seconds


@dataclass(frozen=True, slots=True)
class Case:
    """One piece of work, done in several ways in turn."""

    name: str
    title: str
    ways: tuple[Way, ...]
    goals: tuple[Goal, ...]
    layout: str = ""
    """The image's directory, which is read once before anything is measured."""


OLD, NEW = "umoci", "umoci, newest"
PEAK = 100 * MEGABYTE


def names() -> list[str]:
    """All cases, without making an image."""
    kinds = [
        f"{verb}-{image}-{kind}"
        for image in images.RECIPES
        for kind in images.COMPRESSIONS
        for verb in ("scan", "grant")
    ]
    return ["start-up", "explain-tiny-gzip", *kinds]


def case(name: str, work: str) -> Case:
    """The case of this name; its image is made where it is not there yet."""
    if name == "start-up":
        return start_up()
    verb, image, compression = name.split("-")
    return {"scan": scan, "grant": grant, "explain": explain}[verb](
        images.make(image, work), compression, work
    )


def start_up() -> Case:
    """What each call costs before it does anything."""
    ours = peers.caplet("caplet --version", "--version")
    bare = Way("python -c pass", "exec python -c pass", ("python",))
    return Case("start-up", "Start-up", (ours, bare), (Ratio(ours.name, bare.name, 4.0),))


CONTAINERS = 5000


def explain(image: Image, compression: str, work: str) -> Case:
    """A Pod and its image, from the command line; and many containers of an image that was opened before."""
    layout = images.layout_of(work, image.name, compression)
    ours = peers.caplet("caplet explain", f"explain -f {manifests.pod(work)} --image oci:{layout}:latest")
    many, none = (
        Way(
            f"explain {count:,} containers",
            f"exec python -m bench.rate oci:{layout}:latest {count}",
            ("python",),
        )
        for count in (CONTAINERS, 1)
    )
    bare = Way("python -c pass", "exec python -c pass", ("python",))
    goals = (
        AtMost(ours.name, "peak", PEAK),
        Seconds(ours.name, 0.25),
        Seconds(many.name, CONTAINERS / 1000, less=none.name),
    )
    return Case("explain-tiny-gzip", "explain", (ours, bare, many, none), goals, layout)


def scan(image: Image, compression: str, work: str) -> Case:
    """File capabilities and set-id files of the final file system."""
    layout = images.layout_of(work, image.name, compression)
    ours = peers.caplet("caplet scan", f"scan oci:{layout}:latest", lists=True)
    limit = peers.decompress(LIMIT[compression], _blobs(image, compression, layout, lowest=0))
    newest = peers.umoci_scan(NEW, peers.newest_umoci(), layout)
    others = (
        peers.umoci_scan(OLD, "umoci", layout),
        peers.buildah_scan(layout),
        peers.buildah_scan_warm(layout, _store(work, image.name)),
    )
    goals: list[Goal] = [AtMost(ours.name, "peak", PEAK)]
    if image.name in REAL:
        goals += [Ratio(ours.name, NEW, 1 / 12), Ratio(ours.name, limit.name, SCAN_LIMIT[compression])]
    ways = _chosen(image.name, compression, (ours, limit), (newest,), others)
    return Case(
        f"scan-{image.name}-{compression}", f"scan, {image.name}, {compression}", ways, tuple(goals), layout
    )


def grant(image: Image, compression: str, work: str) -> Case:
    """One file capability into the image, from layout to layout."""
    layout = images.layout_of(work, image.name, compression)
    asked = f"/{image.program}={peers.CAPABILITY}"
    ours = peers.caplet("caplet grant", f'grant oci:{layout}:latest -o "oci:$OUT/image:granted" {asked}')
    needed = _blobs(image, compression, layout, lowest=image.program_layer)
    limit = peers.decompress(LIMIT[compression], needed)
    newest = peers.umoci_grant(NEW, peers.newest_umoci(), layout, image.program)
    others = (
        peers.umoci_grant(OLD, "umoci", layout, image.program),
        peers.buildah_grant(layout, image.program),
        peers.buildah_grant_warm(layout, image.program, _store(work, image.name)),
    )
    goals: list[Goal] = [
        AtMost(ours.name, "peak", PEAK),
        AtMost(ours.name, "written", image.program_size + SLACK),
    ]
    if image.name in REAL:
        goals += [Ratio(ours.name, NEW, 1 / 25), Ratio(ours.name, limit.name, 1.25)]
    if image.name == "tiny":
        goals.append(Ratio(ours.name, NEW, 1.0))
    ways = _chosen(image.name, compression, (ours, limit), (newest,), others)
    return Case(
        f"grant-{image.name}-{compression}", f"grant, {image.name}, {compression}", ways, tuple(goals), layout
    )


def _blobs(image: Image, compression: str, layout: str, lowest: int) -> list[str]:
    return [os.path.join(layout, layer.blobs[compression]) for layer in image.layers[lowest:]]


def _store(work: str, image: str) -> str:
    """Where buildah keeps what it unpacked before."""
    return os.path.join(work, "store", image)


def _chosen(
    image: str, compression: str, always: tuple[Way, ...], newest: tuple[Way, ...], others: tuple[Way, ...]
) -> tuple[Way, ...]:
    """300,000 entries ask about memory, not about peers; umoci 0.4.7 reads no zstd, and buildah unpacks either alike."""
    if image == "many":
        return always
    return always + newest + (others if compression == "gzip" else ())
