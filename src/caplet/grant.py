# SPDX-License-Identifier: Apache-2.0
"""Give files of an image their capabilities, as setcap(8) gives them to files on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass

from caplet.errors import InvalidInput
from caplet.kernel.filecaps import FileCaps


@dataclass(frozen=True, slots=True)
class Grant:
    """What one file is to get."""

    caps: FileCaps
    path: bytes | None = None
    """Absolute path in the image; None: the program that the image's entrypoint starts."""

    @classmethod
    def parse(cls, text: str) -> Grant:
        """`[PATH=]CAPS`: the path is absolute, which tells it from capabilities.

        Both may hold `=`. The path ends at the first `=` after which capabilities follow: `/a=b=cap_net_raw=ep` is the
        file `/a=b`.
        """
        if not text.startswith("/"):
            return cls(_without_path(text))
        path, *rest = text.split("=")
        if not rest:
            raise InvalidInput(
                f"no capabilities given for {text}", f"write {text}=cap_net_bind_service+ep, the path before the capabilities"
            )
        for used in range(len(rest)):
            try:
                caps = _image_caps("=".join(rest[used:]))
            except InvalidInput as error:
                wrong = error if used == 0 else wrong
                continue
            return cls(caps, os.fsencode("=".join((path, *rest[:used]))))
        raise wrong


def _without_path(text: str) -> FileCaps:
    try:
        return _image_caps(text)
    except InvalidInput:
        if "/" in text:
            raise InvalidInput(f"{text}: a path in the image begins with /", f"write /{text.lstrip('./')}") from None
        raise


def _image_caps(text: str) -> FileCaps:
    caps = FileCaps.parse(text)
    if caps.rootid is not None:
        raise InvalidInput(
            f"{text}: a root user id has no place in an image",
            "an attribute of revision 3 is void on other machines, and keeps a program from starting on an idmapped mount",
        )
    return caps
