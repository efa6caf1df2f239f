# SPDX-License-Identifier: Apache-2.0
"""Let programs of an image start where their capabilities are not allowed: `+ep` becomes `+p`.

execve(2) fails with EPERM for a file with the effective bit when the bounding set lacks one of its capabilities
(security/commoncap.c, bprm_caps_from_vfs_caps). Without the bit the program starts with what is allowed, and has to
raise it itself (capset(2)); a program that knows nothing of capabilities then runs without them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.image.change import (
    Change,
    Edit,
    Manner,
    capability,
    change,
    having_capabilities,
    named,
    wanted,
)
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caplet.image.entry import Entry
    from caplet.image.image import Image, Index
    from caplet.image.topdown import TopDown


def relax(subject: Image | Index, paths: Sequence[bytes] = (), manner: Manner | None = None) -> Change:
    """The image or index in which the files at `paths` have no effective bit; without paths, no file has it."""
    return change(subject, _Relax(tuple(paths)), manner or Manner("relax"))


@dataclass(frozen=True, slots=True)
class _Relax:
    paths: tuple[bytes, ...]

    def wanted(self, image: Image) -> Callable[[Entry], bool]:
        del image
        return wanted(self.paths)

    def edits(self, image: Image, files: TopDown) -> Iterator[Edit]:
        chosen = named(image, files, self.paths) if self.paths else having_capabilities(files)
        for found, asked in chosen:
            value = capability(found.node)
            yield Edit(found.path, relaxed(value), asked, _notes(value))


def relaxed(value: bytes | None) -> bytes | None:
    """The attribute without its effective bit, in revision 2; what has no such bit stays as it is."""
    if not value:
        return value
    caps = FileCaps.decode(value)
    return replace(caps, effective=False, rootid=None).encode() if caps.effective else value


def _notes(value: bytes | None) -> tuple[str, ...]:
    if not value or relaxed(value) == value:
        return ()
    notes = ("gets its capabilities only if it raises them itself: most programs do not",)
    if FileCaps.decode(value).rootid is None:
        return notes
    return (
        *notes,
        "had an attribute of revision 3, for one user namespace; revision 2, which holds in all, takes its place",
    )
