# SPDX-License-Identifier: Apache-2.0
"""Names of images on disk: `oci:DIR[:TAG][@DIGEST]`, `oci-archive:FILE[:TAG]`, `docker-archive:FILE[:NAME[:TAG]]`.

The transports are those of containers-transports(5) (containers/image v5 docs/containers-transports.5.md), so that what
works with skopeo works here: the path ends at the first colon, `:@N` is the N-th image of an archive. `@DIGEST` is ours:
it names one manifest of a layout that has no tag, or one platform of an index.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from enum import Enum

from caplet.errors import InvalidInput, Unavailable
from caplet.image.descriptor import Digest


class Transport(Enum):
    OCI = "oci"
    OCI_ARCHIVE = "oci-archive"
    DOCKER_ARCHIVE = "docker-archive"


ELSEWHERE = frozenset({"containers-storage", "docker", "docker-daemon", "registry"})
"""Transports of skopeo that are a registry or an engine's storage."""
OTHER_FILES = frozenset({"atomic", "dir", "ostree", "sif", "tarball"})
"""Transports of skopeo that are files in other forms."""

_DIGEST = re.compile(r"@([A-Za-z0-9_+.-]+:[0-9A-Fa-f]+)$")
_INDEX = re.compile(r"@([0-9]{1,4})$")
_TAG = re.compile(
    r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*"
)
"""image-spec annotations.md, grammar of org.opencontainers.image.ref.name."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]*")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image, or the place where one is to be written."""

    transport: Transport
    path: str
    tag: str = ""
    """The name inside: a tag of a layout, or NAME:TAG of a Docker archive. Empty: the only one."""
    digest: Digest | None = None
    index: int | None = None
    """The N-th image of an archive, counted from 0."""

    def __str__(self) -> str:
        text = f"{self.transport.value}:{self.path}"
        if self.tag:
            text += f":{self.tag}"
        if self.index is not None:
            text += f":@{self.index}"
        return text + (f"@{self.digest}" if self.digest else "")

    def tagged(self, tag: str) -> Reference:
        return Reference(self.transport, self.path, tag)


def parse_reference(text: str) -> Reference:
    """The reference that `text` spells. InvalidInput where it is none, Unavailable where it names a registry."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in {one.value for one in Transport}:
        raise _not_on_disk(text, scheme if colon else "")
    if "\0" in text:
        raise InvalidInput(f"{text!r} contains a NUL byte")
    transport = Transport(scheme)
    digest = None
    found = _DIGEST.search(rest)
    if found and transport is not Transport.DOCKER_ARCHIVE:
        digest = Digest.parse(found[1])
        rest = rest[: found.start()]
    path, _, name = rest.partition(":")
    if not path:
        raise InvalidInput(f"{text!r} names no path", _USAGE[transport])
    place = _INDEX.fullmatch(name)
    if place:
        return Reference(transport, path, "", digest, int(place[1]))
    grammar = _NAME if transport is Transport.DOCKER_ARCHIVE else _TAG
    if name and not grammar.fullmatch(name):
        raise InvalidInput(f"{text!r}: {name!r} is not a valid tag", _USAGE[transport])
    return Reference(transport, path, name, digest)


_USAGE = {
    Transport.OCI: "write oci:DIR[:TAG][@sha256:HEX]; the path cannot contain a colon",
    Transport.OCI_ARCHIVE: "write oci-archive:FILE[:TAG]; the path cannot contain a colon",
    Transport.DOCKER_ARCHIVE: "write docker-archive:FILE[:NAME[:TAG]] or docker-archive:FILE:@INDEX",
}


def _not_on_disk(text: str, scheme: str) -> InvalidInput | Unavailable:
    """What to write instead: the right transport for a path that exists, a copy for what is in a registry or a store."""
    if not text:
        return InvalidInput("an empty image reference", _USAGE[Transport.OCI])
    path = text.removeprefix("file://")
    if "\0" not in path and os.path.lexists(path):
        return InvalidInput(f"{text!r} does not say what kind of image it is", _spelling(path))
    if "\0" not in scheme and os.path.isdir(scheme):
        return InvalidInput(f"{text!r} does not say what kind of image it is", f"write oci:{text}")
    if text.startswith(("./", "../", "/", "~")) or text.endswith((".tar", ".tar.gz", ".tgz")):
        return InvalidInput(
            f"{text!r}: no such file", "write oci:DIR, oci-archive:FILE or docker-archive:FILE"
        )
    if scheme in OTHER_FILES:
        return Unavailable(
            f"{text!r}: this version reads image layouts and archives only, not {scheme}:",
            f"copy it first: skopeo copy {text} oci:image:latest    then use oci:image:latest",
        )
    source = text if scheme in ELSEWHERE else f"docker://{text}"
    return Unavailable(
        f"{text!r} is not on this disk: this version reads images from files",
        f"copy it first: skopeo copy {source} oci:image:latest    then use oci:image:latest",
    )


def _spelling(path: str) -> str:
    if os.path.isdir(path):
        return f"write oci:{path}"
    return f"write docker-archive:{path} (made by docker save) or oci-archive:{path} (an OCI layout in a tar file)"
