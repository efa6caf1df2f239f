# SPDX-License-Identifier: Apache-2.0
"""Take the capabilities of files out of an image, as `setcap -r` does from files on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.image.change import Change, Edit, Manner, change, having_capabilities, named, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caplet.image.entry import Entry
    from caplet.image.image import Image, Index
    from caplet.image.topdown import TopDown


def strip(subject: Image | Index, paths: Sequence[bytes] = (), manner: Manner | None = None) -> Change:
    """The image or index in which the files at `paths` have no capabilities; without paths, no file has any."""
    return change(subject, _Strip(tuple(paths)), manner or Manner("strip"))


@dataclass(frozen=True, slots=True)
class _Strip:
    paths: tuple[bytes, ...]

    def wanted(self, image: Image) -> Callable[[Entry], bool]:
        del image
        return wanted(self.paths)

    def edits(self, image: Image, files: TopDown) -> Iterator[Edit]:
        chosen = named(image, files, self.paths) if self.paths else having_capabilities(files)
        for found, asked in chosen:
            yield Edit(found.path, None, asked)
