# SPDX-License-Identifier: Apache-2.0
"""The engines that the tests can have on this machine: started for them where they are daemons."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.verify import daemons

from caplet.verify.engines.ociruntime import OCIRuntimeAlone
from caplet.verify.engines.podman import Podman

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from caplet.verify.engines.interface import RealEngine

DESCRIBED = "containerd:1.6.20"
"""The engine whose config.json runc and crun alone are given."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One engine: what it needs installed, and how to have it."""

    tools: tuple[str, ...]
    start: Callable[[ExitStack, str], RealEngine]
    alone: bool = False
    """An OCI runtime without an engine."""
    within: bool = False
    """The engine asks for capabilities that this machine may lack, and its OCI runtime is spared them."""

    shared: bool = False
    """Containers share a sandbox, and so its ports."""

    @property
    def workers(self) -> int:
        """Containers at a time; runc and crun alone are forked from this process, one after another."""
        return 1 if self.alone or self.shared else 2

    @contextmanager
    def engine(self, work: str) -> Iterator[RealEngine]:
        """In the directory, as long as the block runs."""
        with ExitStack() as stack:
            yield self.start(stack, work)


def _alone(name: str) -> Machine:
    return Machine(
        (name,), lambda _stack, _work: OCIRuntimeAlone(name, DESCRIBED, admission=False), alone=True
    )


def _podman(runtime: str) -> Machine:
    """With the defaults that Podman was built with, whatever the distribution's containers.conf says."""

    def start(stack: ExitStack, work: str) -> RealEngine:
        name = os.path.join(work, "containers.conf")
        with open(name, "w", encoding="utf-8"):
            stack.enter_context(patch.dict(os.environ, CONTAINERS_CONF=name))
        return Podman(runtime)

    return Machine(("podman", "conmon", runtime), start)


def _containerd(runtime: str) -> Machine:
    return Machine(
        ("containerd", "ctr", runtime),
        lambda stack, work: stack.enter_context(daemons.containerd_cri(f"{work}/{runtime}", runtime)),
        shared=True,
    )


MACHINES: Mapping[str, Machine] = {
    "runc": _alone("runc"),
    "crun": _alone("crun"),
    "podman": _podman("crun"),
    "podman-runc": _podman("runc"),
    "docker": Machine(
        ("dockerd", "docker", "containerd", "runc"),
        lambda stack, work: stack.enter_context(daemons.docker(f"{work}/docker")),
        within=True,
    ),
    "containerd": _containerd("runc"),
    "containerd-crun": _containerd("crun"),
}
