# SPDX-License-Identifier: Apache-2.0
"""What grant, strip and relax have in common on the command line: their options, and what they say when they are done."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from caplet.cli.filejson import capability_json, path_json
from caplet.cli.progress import shown
from caplet.cli.reporting import reporting
from caplet.cli.terminal import printable
from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caplet.image.change import Change, FileChange, ImageChange, Manner
    from caplet.image.image import Image, Index
    from caplet.image.reference import Reference

SCHEMA_VERSION = 1
"""Of the JSON; docs/cli/grant.md says what it holds. It grows when a field changes its meaning or goes."""

COMPRESSIONS = ("stored", "gzip", "zstd", "plain")

_OPTIONS = (
    click.option(
        "-o",
        "--output",
        metavar="OUT",
        help="Where to write: oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG].",
    ),
    click.option(
        "--append",
        "way",
        flag_value="append",
        default="append",
        help="Add a layer that carries the file.  [default]",
    ),
    click.option(
        "--rewrite",
        "way",
        flag_value="rewrite",
        help="Replace the layer that has the file: the image does not grow.",
    ),
    click.option(
        "--compression",
        type=click.Choice(COMPRESSIONS),
        default="stored",
        show_default=True,
        help="Of an added layer. stored: gzip without compression, the same bytes on every machine.",
    ),
    click.option(
        "--platform",
        "platforms",
        metavar="OS/ARCH[/VARIANT]",
        multiple=True,
        help="Of an index, this platform only; may be repeated.  [default: all]",
    ),
    click.option("--in-place", is_flag=True, help="Let OUT be IMAGE itself, which is then replaced."),
    click.option("-n", "--dry-run", is_flag=True, help="Say what would change, write nothing."),
    click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="How to say it.",
    ),
    click.option("-q", "--quiet", is_flag=True, help="Print the new digest only."),
)


def changing_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that changes an image."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def file_paths(paths: Sequence[str], all_files: bool) -> tuple[bytes, ...]:
    """The files that strip and relax are to change; none means all."""
    from caplet.image.imagecaps import are_caps

    if paths and all_files:
        raise InvalidInput("--all and a PATH exclude each other")
    for path in paths:
        if not path.startswith("/") and are_caps(path):
            raise InvalidInput(
                f"{path} is a capability, not a file: all capabilities of a file are changed",
                "name the file, as /usr/bin/app; to choose its capabilities use `caplet grant`",
            )
    return tuple(os.fsencode(path) for path in paths)


def run_change(
    verb: str, image: str, options: dict[str, Any], change: Callable[[Image | Index, Manner], Change]
) -> None:
    """Opens the image, changes it, writes the output, and says what was done."""
    from caplet.image.change import Manner, Way
    from caplet.image.compression import Compression
    from caplet.image.copy import write_image
    from caplet.image.descriptor import Platform
    from caplet.image.destination import parse_destination
    from caplet.image.image import open_image
    from caplet.image.inplace import replaces
    from caplet.image.progress import Progress
    from caplet.image.reference import parse_reference

    destination = parse_destination(options["output"]) if options["output"] else None
    if destination is None and not options["dry_run"]:
        better = f"-o {image} --in-place ..." if options["in_place"] else "-o oci:DIR:TAG ..., or --dry-run"
        raise InvalidInput("no output is named", f"write: caplet {verb} {image} {better}")
    source = parse_reference(image)
    opened = open_image(source)
    if destination is not None and not options["in_place"] and replaces(opened, source, destination):
        raise InvalidInput(
            f"{destination} is the input itself, and would be replaced",
            f"choose another {_place(destination)} for the output, or say --in-place",
        )
    progress = Progress()
    manner = Manner(
        verb,
        Way(options["way"]),
        Compression(options["compression"]),
        tuple(Platform.parse(one) for one in options["platforms"]),
        _spool(destination),
        progress,
    )
    written = None if options["dry_run"] else destination
    with shown(progress, f"{verb}: read"):
        done = change(opened, manner)
        if written is not None:
            write_image(done.after, written)
    with reporting(written, done.after.digest):
        _say(done, options, image, destination)


def _place(destination: Reference) -> str:
    from caplet.image.reference import Transport

    return "tag" if destination.transport is Transport.OCI else "file"


def _spool(destination: Reference | None) -> str | None:
    """Where temporary files may lie: beside the output, or in it; None leaves it to TMPDIR."""
    if destination is None:
        return None
    from caplet.image.copy import spool_directory

    places = (spool_directory(destination), destination.path)
    return next((place for place in places if os.path.isdir(place) and os.access(place, os.W_OK)), None)


def _say(done: Change, options: dict[str, Any], image: str, destination: Reference | None) -> None:
    if options["form"] == "json":
        click.echo(json.dumps(_document(done, options, image, destination), indent=2))
        return
    from caplet.image.image import Index

    several = isinstance(done.before, Index)
    for one in done.images:
        if not options["quiet"]:
            _say_image(one, heading=several and len(done.images) > 1)
        _say_notes(one, named=several)
    for name in _absent(done):
        click.echo(f"caplet: note: {name} is listed and was not changed, because it is not there", err=True)
    if options["quiet"]:
        click.echo(str(done.after.digest))
        return
    for line in _lines(done, options["dry_run"], destination):
        click.echo(line)


def _say_image(one: ImageChange, *, heading: bool) -> None:
    if heading:
        click.echo(f"# {printable(str(one.before.platform))}")
    for line in _image_lines(one, heading):
        click.echo(line)


def _say_notes(one: ImageChange, *, named: bool) -> None:
    """On standard error, where they may stand far from the heading: with the platform, where there are several."""
    where = f"{printable(str(one.before.platform))}: " if named else ""
    for file in one.files:
        for note in file.notes:
            click.echo(f"caplet: note: {where}{printable(file.path)} {printable(note)}", err=True)


def _absent(done: Change) -> list[str]:
    """Platforms that the index lists and the layout lacks: `skopeo copy` keeps the whole index for one platform."""
    from caplet.image.image import Index

    listed = done.before.absent() if isinstance(done.before, Index) and done.changed else ()
    return [printable(str(one.platform or one.digest)) for one in listed]


# Text


def _lines(done: Change, dry_run: bool, destination: Reference | None) -> Iterator[str]:
    if done.changed:
        yield f"digest: {done.before.digest} -> {done.after.digest}"
    else:
        yield f"nothing to change: {done.before.digest}"
    if dry_run or destination is None:
        yield "dry run: nothing written"
    else:
        yield f"written: {printable(str(destination))}"
    yield from _lost(done)


def _image_lines(one: ImageChange, several: bool) -> Iterator[str]:
    if not one.files:
        yield "no file has capabilities"
    for file in one.files:
        yield _file_line(file)
    if one.layers:
        appended = len(one.after.layers) > len(one.before.layers)
        places = ", ".join(map(str, one.layers))
        what = "layer added" if appended else f"layer {places} rewritten"
        yield f"{what}: {one.bytes_added:+,} bytes"
        if several:
            yield f"digest: {one.before.digest} -> {one.after.digest}"


def _file_line(file: FileChange) -> str:
    path = printable(file.path)
    if file.asked:
        path = f"{printable(file.asked)} -> {path}"
    others = [printable(name) for name in file.names if name != file.path]
    linked = f"  (hard links: {', '.join(others)})" if others else ""
    if not file.changed:
        return f"{path}: {_text(file.before)} already{linked}"
    return f"{path}: {_text(file.before)} -> {_text(file.after)}{linked}"


def _text(value: bytes | None) -> str:
    found = capability_json(value)
    if found is None:
        return "none"
    return found["text"] or f"unreadable ({found['hex'] or 'empty'})"


def _lost(done: Change) -> Iterator[str]:
    """What spoke of the old digest."""
    for dropped in done.dropped:
        yield f"dropped: attestation {dropped.digest}, which described the old image"
    for one in done.stale:
        name = f"tag {printable(one.tag)}" if one.tag else str(one.descriptor.digest)
        yield f"no longer matches: {printable(one.kind)} ({name}), made for {one.about}"
    if done.stale or done.dropped:
        yield f"sign and attest the new digest again, for example: cosign sign NAME@{done.after.digest}"


# JSON


def _document(
    done: Change, options: dict[str, Any], image: str, destination: Reference | None
) -> dict[str, Any]:
    written = destination is not None and not options["dry_run"]
    return {
        "schemaVersion": SCHEMA_VERSION,
        "reference": image,
        "output": str(destination) if written else None,
        "changed": done.changed,
        "digest": {"old": str(done.before.digest), "new": str(done.after.digest)},
        "images": [_image_json(one) for one in done.images],
        "absent": _absent(done),
        "dropped": [str(one.digest) for one in done.dropped],
        "noLongerMatches": [
            {
                "kind": printable(one.kind),
                "digest": str(one.descriptor.digest),
                "tag": one.tag or None,
                "about": str(one.about),
            }
            for one in done.stale
        ],
    }


def _image_json(one: ImageChange) -> dict[str, Any]:
    return {
        "platform": str(one.before.platform),
        "digest": {"old": str(one.before.digest), "new": str(one.after.digest)},
        "bytesAdded": one.bytes_added,
        "layers": [
            {
                "index": index,
                "digest": str(one.after.layers[index].descriptor.digest),
                "diffId": str(one.after.layers[index].diff_id),
                "size": one.after.layers[index].descriptor.size,
            }
            for index in one.layers
        ],
        "files": [
            {
                **path_json(file.path),
                "asked": path_json(file.asked) if file.asked else None,
                "links": [path_json(name) for name in file.names if name != file.path],
                "changed": file.changed,
                "old": capability_json(file.before),
                "new": capability_json(file.after),
                "notes": list(file.notes),
            }
            for file in one.files
        ],
    }
