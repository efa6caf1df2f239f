# SPDX-License-Identifier: Apache-2.0
"""Places to write an image to: references as for reading, but for what names one image among those that are there."""

from __future__ import annotations

from caplet.errors import InvalidInput, Unavailable
from caplet.image.reference import ELSEWHERE, OTHER_FILES, Reference, Transport, parse_reference

WAYS = "write oci:DIR[:TAG], oci-archive:FILE[:TAG] or docker-archive:FILE[:NAME:TAG]"

_LOADERS = {
    "docker-daemon": "docker load -i",
    "containers-storage": "podman load -i",
}
"""What brings a Docker archive to where an engine keeps its images."""


def parse_destination(text: str) -> Reference:
    """The place that `text` names. InvalidInput where it is none, Unavailable where it is no file."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in {one.value for one in Transport}:
        raise _no_place(text, scheme if colon else "", rest)
    found = parse_reference(text)
    if found.digest is not None or found.index is not None:
        raise InvalidInput(f"{found}: an output is named by a tag, not by a digest or number", WAYS)
    return found


def _no_place(text: str, scheme: str, rest: str) -> InvalidInput | Unavailable:
    if not text:
        return InvalidInput("the name of the output is empty", WAYS)
    if scheme in ELSEWHERE | OTHER_FILES:
        name = rest.removeprefix("//")
        if scheme in _LOADERS:
            way = f"write docker-archive:image.tar:{name}, then {_LOADERS[scheme]} image.tar"
        else:
            way = f"write oci:image:latest, then skopeo copy oci:image:latest {text}"
        return Unavailable(
            f"{text!r}: this version writes image layouts and archives only, not {scheme}:", way
        )
    wrong = f"{text!r} does not say what kind of image to write"
    path = text.removeprefix("file://")
    if "://" in path:
        return InvalidInput(wrong, WAYS)
    if path.endswith((".tar", ".tar.gz", ".tgz")):
        return InvalidInput(
            wrong, f"write oci-archive:{path}, or docker-archive:{path}:NAME:TAG for docker load"
        )
    return InvalidInput(
        wrong, f"write oci:{path} for a layout in a directory, or oci-archive:FILE for one file"
    )
