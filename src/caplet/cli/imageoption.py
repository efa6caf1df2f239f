# SPDX-License-Identifier: Apache-2.0
"""`--image [NAME=]REF`: which image on disk stands for a container's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.kernel.caps import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caplet.kubernetes.pod import Container, PodSpec

ON_DISK = re.compile(r"(oci|oci-archive|docker-archive):")
"""Transports of containers-transports(5) that are read."""

_OPTION = re.compile(r"(?!(?:oci|oci-archive|docker-archive):)([^=]+)=(.+)", re.DOTALL)
"""No name of a container or an image has an equals sign."""


@dataclass(frozen=True, slots=True)
class ImageOption:
    """The options of one command."""

    named: Mapping[str, str]
    """By container name, or by the image as the manifest writes it; "" for every container."""

    @classmethod
    def parse(cls, options: Iterable[str]) -> ImageOption:
        named: dict[str, str] = {}
        for option in options:
            match = _OPTION.fullmatch(option)
            name, reference = (match[1], match[2]) if match else ("", option)
            if name in named:
                raise InvalidInput(f"--image {option}: there is one for {name or 'every container'} already")
            named[name] = reference
        return cls(named)

    def check(self, pods: Iterable[PodSpec]) -> None:
        """Raises InvalidInput for a name that no container and no image has."""
        known = {
            word for pod in pods for one in pod.every_container for word in (one.name, one.image) if word
        }
        for name in self.named:
            if name and name not in known:
                raise InvalidInput(
                    f"--image {name}=...: no container and no image of that name{nearest(name, sorted(known))}",
                    f"there are: {', '.join(sorted(known))}",
                )

    def reference(self, container: Container) -> str | None:
        """The image to read for the container; None where it is in a registry and nothing stands for it."""
        for name in (container.name, container.image or "", ""):
            if name in self.named:
                return self.named[name]
        own = container.image or ""
        return own if ON_DISK.match(own) else None
