# SPDX-License-Identifier: Apache-2.0
"""Why a layer cannot be read: its blob is damaged, or it was made so.

A flipped bit shows first as a broken stream or a wrong tar header, since the digest is compared at the end of the blob.
Who reads that must know which of the two it is: one is mended by copying the image again, the other is not.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from caplet.errors import CapletError, ImageError
from caplet.image.blobs import VerifiedReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.blobs import BlobSource
    from caplet.image.descriptor import Descriptor


def damage(source: BlobSource, descriptor: Descriptor) -> ImageError | None:
    """What is wrong with the stored bytes; None where they are those that the digest names. Reads the blob to its end."""
    try:
        with VerifiedReader(source, descriptor) as reader:
            while reader.next():
                pass
    except ImageError as error:
        return ImageError(
            error.message.removeprefix(f"{source.name}: "),
            error.hint or f"{source.name} is damaged: copy it again from where it came",
        )
    return None


@contextlib.contextmanager
def naming(index: int, layer: object = None) -> Iterator[None]:
    """Says in which layer something is wrong, and that its blob is damaged where that is the reason."""
    try:
        yield
    except CapletError as error:
        look = getattr(layer, "damage", None)
        found: ImageError | None = look() if look is not None else None
        reason = found or error
        if f"layer {index} " in reason.message:
            raise reason from None
        raise type(reason)(f"layer {index}: {reason.message}", reason.hint) from None
