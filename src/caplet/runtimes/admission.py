# SPDX-License-Identifier: Apache-2.0
"""What a platform's own admission makes of a container: it lets it pass, changes it, or refuses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import Refused


@dataclass(frozen=True, slots=True)
class Admitted:
    """The container as the node gets it."""

    container: Container
    changes: tuple[str, ...] = ()
    """What admission sets, and what only the cluster can tell, in words."""


Admission: TypeAlias = "Callable[[PodSpec, Container], Admitted | Refused]"


def unchanged(_pod: PodSpec, container: Container) -> Admitted:
    """Admission that has nothing to say of capabilities, users or privilege."""
    return Admitted(container)
