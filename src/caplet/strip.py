# SPDX-License-Identifier: Apache-2.0
"""Take the capabilities of files out of an image, as `setcap -r` does from files on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.image.change import AtPaths, Change, Manner, change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.image.image import Image, Index


def strip(subject: Image | Index, paths: Sequence[bytes] = (), manner: Manner | None = None) -> Change:
    """The image or index in which the files at `paths` have no capabilities; without paths, no file has any."""
    return change(subject, AtPaths(tuple(paths), lambda _: (None, ())), manner or Manner("strip"))
