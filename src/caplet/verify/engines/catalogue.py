# SPDX-License-Identifier: Apache-2.0
"""The real engines by name, where they usually are on a machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.kernel.caps import nearest
from caplet.verify.engines.containerd import Containerd
from caplet.verify.engines.docker import Docker
from caplet.verify.engines.ociruntime import OCIRuntimeAlone
from caplet.verify.engines.podman import Podman

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from caplet.verify.engines.interface import RealEngine

ENGINES: Mapping[str, Callable[[], RealEngine]] = {
    "containerd": Containerd.found,
    "docker": Docker.found,
    "podman": Podman,
}

RUNTIMES = ("runc", "crun")
"""They run the config.json of an engine that is only described."""


def engine(name: str, described: str = "containerd") -> RealEngine:
    """The engine of that name. For an OCI runtime, `described` is the engine above it, as `--on` spells it."""
    if name in RUNTIMES:
        return OCIRuntimeAlone(name, described)
    if name in ENGINES:
        return ENGINES[name]()
    known = (*ENGINES, *RUNTIMES)
    raise InvalidInput(f"no real engine {name!r}{nearest(name, known)}", f"known: {', '.join(known)}")


def present() -> dict[str, RealEngine]:
    """Those that can be used here and now."""
    every = {name: engine(name) for name in (*ENGINES, *RUNTIMES)}
    return {name: one for name, one in every.items() if not one.lacks()}
