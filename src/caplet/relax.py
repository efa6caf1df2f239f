# SPDX-License-Identifier: Apache-2.0
"""Let programs of an image start where their capabilities are not allowed: `+ep` becomes `+p`.

execve(2) fails with EPERM for a file with the effective bit when the bounding set lacks one of its capabilities
(security/commoncap.c, bprm_caps_from_vfs_caps). Without the bit the program starts with what is allowed, and has to
raise it itself (capset(2)); a program that knows nothing of capabilities then runs without them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.image.change import AtPaths, Change, Manner, change, replaced_revision_3
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.image.image import Image, Index


def relax(subject: Image | Index, paths: Sequence[bytes] = (), manner: Manner | None = None) -> Change:
    """The image or index in which the files at `paths` have no effective bit; without paths, no file has it."""
    return change(subject, AtPaths(tuple(paths), _become), manner or Manner("relax"))


def _become(value: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    after = relaxed(value)
    if after == value:
        return after, ()
    note = "gets its capabilities only if it raises them itself: most programs do not"
    return after, (note, *replaced_revision_3(value))


def relaxed(value: bytes | None) -> bytes | None:
    """The attribute without its effective bit, in revision 2; what has no such bit stays as it is."""
    if not value:
        return value
    caps = FileCaps.decode(value)
    return replace(caps, effective=False, rootid=None).encode() if caps.effective else value
