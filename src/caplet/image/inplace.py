# SPDX-License-Identifier: Apache-2.0
"""Whether an output takes the place of the image that is read: an input stays what it was unless somebody says otherwise."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from caplet.image.layout import names
from caplet.image.reference import Transport

if TYPE_CHECKING:
    from caplet.image.image import Image, Index
    from caplet.image.reference import Reference


def replaces(image: Image | Index, source: Reference, destination: Reference) -> bool:
    """Whether `source`, which is `image`, no longer names it once something is written to `destination`.

    An archive is written whole: the same file is the same place, whatever it is called inside. A layout holds many images:
    the same tag is the same place.
    """
    if not _same_file(source.path, destination.path):
        return False
    if Transport.OCI not in (source.transport, destination.transport):
        return True
    if source.transport is not destination.transport:
        return False  # a directory and a file: writing says so
    if source.tag:
        return source.tag == destination.tag
    own = {name for one in image.source.entries() if one.digest == image.digest for name in names(one)}
    return own <= {destination.tag} if own else not (destination.tag or source.digest)


def _same_file(first: str, second: str) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False
