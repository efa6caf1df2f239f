# SPDX-License-Identifier: Apache-2.0
"""Opens an image on disk for explanations: reads no more layers than the questions need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.explain.facts import HEAD, MAX_REMEMBERED, ImageFacts, Remembering
from caplet.image.entry import Kind
from caplet.image.image import Index, open_image
from caplet.image.topdown import TopDown

if TYPE_CHECKING:
    from caplet.image.descriptor import Platform
    from caplet.image.entry import Entry
    from caplet.image.image import Image

ANY_EXECUTE = 0o111
SMALL_SETTINGS = (b"passwd", b"group", b"ld.so.cache")
"""Last components of the files that say who a user is and where libraries are."""


def open_facts(reference: str, platform: Platform | None) -> ImageFacts:
    """The image of a reference, of an index the one for `platform`. Raises CapletError where it cannot be read."""
    found = open_image(reference, platform)
    image = found.images()[0] if isinstance(found, Index) else found
    return facts_of(image, reference)


def facts_of(image: Image, reference: str) -> ImageFacts:
    return ImageFacts(
        image.config,
        Remembering(TopDown(image.layers, _wanted, heads=HEAD)),
        reference,
        image.descriptor.digest,
    )


def _wanted(entry: Entry) -> bool:
    """Scripts and settings, which will be asked for, are kept while their layer passes; of larger programs the first page."""
    if entry.kind is not Kind.FILE or entry.size > MAX_REMEMBERED:
        return False
    return bool(entry.mode & ANY_EXECUTE) or entry.name.rpartition(b"/")[2] in SMALL_SETTINGS
