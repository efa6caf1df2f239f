# SPDX-License-Identifier: Apache-2.0
"""`caplet scan`: the file capabilities and set-id files of an image, as getcap(8) prints them, as a table, or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from caplet.cli.progress import shown
from caplet.cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.image.image import Image
    from caplet.kernel.caps import Caps
    from caplet.scan import Scan, ScannedFile

SCHEMA_VERSION = 1
"""Of the JSON; docs/cli/scan.md says what it holds. It grows when a field changes its meaning or goes, not when one comes."""


@click.command()
@click.argument("image", metavar="IMAGE")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "table", "json"]),
    default="text",
    show_default=True,
    help="text: a file a line, as getcap; json: everything, see docs/cli/scan.md.",
)
@click.option("--layer", "show_layer", is_flag=True, help="Say which layer has each file.")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH[/VARIANT]",
    multiple=True,
    help="Of an index, this platform only; may be repeated.  [default: all]",
)
def command(image: str, output: str, show_layer: bool, platforms: tuple[str, ...]) -> int:
    """List the files of IMAGE that carry capabilities or a set-id bit, in its final file system.

    IMAGE is oci:DIR[:TAG][@DIGEST], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]. Nothing is unpacked, and
    every blob is verified. Where engines see different files, the answer is containerd's and a note names the others.

    Exit code: 0, whatever is found; 2 when the image cannot be read, or the command line is wrong.

    \b
    Example:
      caplet scan oci:debian
        /usr/bin/ping cap_net_raw=ep
        /usr/bin/su setuid=0 mode=4755
      caplet scan -o json oci:debian | jq -r '.images[].files[].path'
    """
    from caplet.image.descriptor import Platform
    from caplet.image.image import Index, open_image
    from caplet.image.progress import Progress
    from caplet.scan import scan

    wanted = [Platform.parse(text) for text in platforms]
    opened = open_image(image, wanted[0] if len(wanted) == 1 else None)
    images: Sequence[Image] = (opened,) if not isinstance(opened, Index) else opened.images()
    if isinstance(opened, Index) and wanted:
        images = [opened.select(platform) for platform in wanted]
    progress = Progress()
    with shown(progress, "scanning"):
        scans = [scan(one, progress) for one in images]
    if output == "json":
        click.echo(json.dumps(_document(image, scans), indent=2))
        return 0
    for one in scans:
        if len(scans) > 1:
            click.echo(f"# {printable(str(one.platform))} {one.digest}")
        if output == "table":
            _table(one, show_layer)
        else:
            _lines(one, show_layer)
        _notes(one, named=isinstance(opened, Index))
    if isinstance(opened, Index) and not wanted:
        for descriptor in opened.absent():
            what = descriptor.platform or descriptor.digest
            click.echo(f"caplet: not scanned, because it is not there: {printable(str(what))}", err=True)
    return 0


# Text


def _lines(scan: Scan, show_layer: bool) -> None:
    for path, file in _named(scan):
        layer = f" layer={file.layer}@{scan.layers[file.layer]}" if show_layer else ""
        click.echo(f"{printable(path)} {_powers(file)}{layer}")


def _named(scan: Scan) -> list[tuple[bytes, ScannedFile]]:
    """Every name of every file, hard links too, as `getcap -r` has them."""
    return sorted(
        ((path, file) for file in scan.files for path in (file.path, *file.links)), key=lambda one: one[0]
    )


def _powers(file: ScannedFile) -> str:
    """`cap_net_raw=ep`, `setuid=0 mode=4755`, or both."""
    words = []
    if file.attribute is not None:
        words.append(str(file.caps) if file.caps else "attribute=empty")
    words += _set_ids(file)
    return " ".join(words)


def _set_ids(file: ScannedFile) -> list[str]:
    words = []
    if file.mode & 0o4000:
        words.append(f"setuid={file.uid}")
    if file.mode & 0o2000:
        words.append(f"setgid={file.gid}")
    return [*words, f"mode={file.mode:04o}"] if words else []


def _notes(scan: Scan, *, named: bool) -> None:
    """What would surprise, on standard error: standard output stays one file a line. Of an index, with the platform."""
    where = f"{printable(str(scan.platform))}: " if named else ""
    for file in scan.files:
        for note in file.notes:
            click.echo(f"caplet: note: {where}{printable(file.path)}: {printable(note)}", err=True)
    for difference in scan.divergent:
        click.echo(
            f"caplet: divergent: {where}{printable(difference.path)}: {printable(str(difference))}", err=True
        )


def _table(scan: Scan, show_layer: bool) -> None:
    head = ["FILE", "CAPABILITIES", "SET-ID", "MODE", "OWNER", *(["LAYER"] if show_layer else [])]
    rows = [
        [
            printable(path),
            _powers(file).split(" setuid=")[0].split(" setgid=")[0] if file.attribute is not None else "-",
            " ".join(_set_ids(file)[:-1]) or "-",
            f"{file.mode:04o}",
            f"{file.uid}:{file.gid}",
            *([f"{file.layer} {scan.layers[file.layer].hex[:12]}"] if show_layer else []),
        ]
        for path, file in _named(scan)
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


# JSON


def _document(reference: str, scans: Sequence[Scan]) -> dict[str, Any]:
    return {
        "schemaVersion": SCHEMA_VERSION,
        "reference": reference,
        "images": [
            {
                "digest": str(scan.digest),
                "platform": str(scan.platform),
                "layers": [str(digest) for digest in scan.layers],
                "files": [_file(scan, file) for file in scan.files],
                "divergent": [
                    {**_path(note.path), "engines": list(note.engines), "reason": printable(note.reason)}
                    for note in scan.divergent
                ],
            }
            for scan in scans
        ],
    }


def _file(scan: Scan, file: ScannedFile) -> dict[str, Any]:
    return {
        **_path(file.path),
        "links": [_path(path) for path in file.links],
        "mode": f"{file.mode:04o}",
        "uid": file.uid,
        "gid": file.gid,
        "size": file.size,
        "setuid": file.setuid,
        "setgid": file.setgid,
        "capability": _capability(file),
        "layer": {"index": file.layer, "digest": str(scan.layers[file.layer])},
        "notes": list(file.notes),
    }


def _path(path: bytes) -> dict[str, str]:
    """As text to read, and as its exact bytes."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = printable(path)
    return {"path": text, "pathHex": path.hex()}


def _capability(file: ScannedFile) -> dict[str, Any] | None:
    if file.attribute is None:
        return None
    if file.caps is None:
        return {"hex": file.attribute.hex(), "text": None}
    return {
        "hex": file.attribute.hex(),
        "text": str(file.caps),
        "revision": file.attribute[3],
        "permitted": _caps(file.caps.permitted),
        "inheritable": _caps(file.caps.inheritable),
        "effective": file.caps.effective,
        "rootid": file.caps.rootid,
    }


def _caps(caps: Caps) -> dict[str, Any]:
    return {"names": list(caps.names()), "mask": f"0x{caps.mask:016x}"}
