# SPDX-License-Identifier: Apache-2.0
"""A set of capabilities in few words: by what it is where it has a name, else by its names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.kernel.caps import NO_CAPS, Caps
from caplet.runtimes import containerd, crio, podman

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from caplet.runtimes.model import Version
    from caplet.runtimes.node import Node

MOST_NAMES = 4
"""Of a set that is written out."""

FEW = 3
"""Names beside which a set still is `all but` or an engine's default."""

_DEFAULTS: Mapping[str, Callable[[Version], Caps]] = {
    "containerd": lambda _: containerd.DEFAULT_CAPS,
    "docker": lambda _: containerd.DEFAULT_CAPS,
    "crio": crio.DEFAULT_CAPS.at,
    "podman": podman.DEFAULT_CAPS.at,
}
"""docker: moby has the list of containerd, daemon/pkg/oci/caps/defaults.go; see `caplet.runtimes.docker`."""


@dataclass(frozen=True, slots=True)
class SetNames:
    """What sets are called on one node."""

    every: Caps
    """All that the kernel has."""
    defaults: Caps = NO_CAPS
    engine: str = ""
    """Whose defaults."""

    @classmethod
    def of(cls, node: Node) -> SetNames:
        find = _DEFAULTS.get(node.engine.name)
        defaults = NO_CAPS if find is None else find(node.engine_version)
        return cls(Caps.all(node.kernel.last_cap), defaults, node.engine.title)

    def brief(self, caps: Caps, first: Caps = NO_CAPS, none: str = "-") -> str:
        """`all 41`, `all but SYS_ADMIN`, `containerd's default 14 + NET_ADMIN`, `NET_RAW, CHOWN and 7 more`.

        `first`: what is named before the others where not all is.
        """
        if not caps:
            return none
        if caps == self.every:
            return f"all {len(caps)}"
        absent = self.every - caps
        if caps < self.every and len(absent) <= FEW:
            return f"all but {_listed(absent)}"
        return self._by_defaults(caps) or _some(caps, first)

    def legend(self, sets: tuple[Caps, ...]) -> dict[str, Caps]:
        """The sets among these whose short form does not name all of it."""
        found = {self.brief(caps): caps for caps in sets if len(caps) > MOST_NAMES}
        return {text: caps for text, caps in found.items() if text != _listed(caps)}

    def _by_defaults(self, caps: Caps) -> str:
        common, more, less = caps & self.defaults, caps - self.defaults, self.defaults - caps
        if len(common) <= MOST_NAMES or len(more) > FEW or len(less) > FEW:
            return ""
        text = f"{self.engine}'s default {len(self.defaults)}"
        if more:
            text += f" + {_listed(more)}"
        return text + f" without {_listed(less)}" if less else text


def _some(caps: Caps, first: Caps) -> str:
    if len(caps) <= MOST_NAMES:
        return _listed(caps)
    ordered = [*(caps & first).names(), *(caps - first).names()][:FEW]
    return f"{', '.join(ordered)} and {len(caps) - len(ordered)} more"


def _listed(caps: Caps) -> str:
    return ", ".join(caps.names())
