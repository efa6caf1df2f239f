# SPDX-License-Identifier: Apache-2.0
"""runc or crun alone, with the config.json that an engine would write: what `caplet run` does, seen as an engine."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput, Unavailable
from caplet.explain.container import explain
from caplet.explain.facts import ImageFacts, Remembering
from caplet.image.rootfs import Rootfs
from caplet.run.available import own_credentials
from caplet.run.container import run_container
from caplet.run.installed import installed
from caplet.run.network import PORT_START
from caplet.run.volumes import volume_mounts
from caplet.runtimes import apiserver
from caplet.runtimes.node import RUNTIMES, parse
from caplet.verify.engines.interface import SECONDS, Versions, number, runtime_version
from caplet.verify.seen import Seen, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation
    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.node import Node

EMBEDDED = "embedded"

KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, slots=True)
class OCIRuntimeAlone:
    """An OCI runtime of this machine below an engine that is only described."""

    name: str
    """runc, crun; `embedded` is caplet's own, which does what runc does."""
    engine: str = "containerd"
    """As `--on` spells it: the engine whose config.json is run. The OCI runtime in it does not count."""
    admission: bool = True
    """Whether the API server and the platform have their say first."""

    def lacks(self) -> str:
        return (
            ""
            if self.name == EMBEDDED or installed(self.name)
            else f"the program {self.name}: it is not installed"
        )

    def versions(self) -> Versions:
        node = parse(self.engine)
        if self.name == EMBEDDED:
            name, version = "runc", str(RUNTIMES["runc"].releases[-1])
        else:
            name, version = self.name, runtime_version(self.name)
        parts = [part for part in self.engine.split("+") if part.partition(":")[0] not in RUNTIMES]
        described = "+".join([*parts, f"{name}:{number(version)}"])
        return Versions(node.engine.name, str(node.engine_version), self.name, version, described)

    @contextmanager
    def session(self, image: Image) -> Iterator[OCIRuntimeSession]:
        node, rootfs = parse(self.versions().node), Rootfs(image.layers)
        facts = ImageFacts(image.config, Remembering(rootfs))
        yield OCIRuntimeSession(self.name, node, facts, rootfs, self.admission)


@dataclass(frozen=True, slots=True)
class OCIRuntimeSession:
    """An image whose file system is known."""

    runtime: str
    node: Node
    facts: ImageFacts
    rootfs: Rootfs
    admission: bool

    def run(self, pod: PodSpec, container: Container, seconds: float = SECONDS) -> Seen:
        explanation = self._explained(pod, container)
        spec = explanation.spec
        if spec is None:
            assert explanation.refused is not None
            return refusal(explanation.refused.message)
        if spec.user_ns is not None:
            raise Unavailable(
                f"{self.node}: a Pod with hostUsers: false is not emulated",
                "ask a real engine that has user namespaces: containerd 2, CRI-O",
            )
        begun = time.monotonic()
        try:
            spec = replace(spec, mounts=(*spec.mounts, *volume_mounts(pod, container)))
            result = run_container(spec, self.rootfs, runtime=self.runtime, relay=False, seconds=seconds)
        except InvalidInput as error:
            return refusal(error.message)
        killed = result.exit_code == KILLED and time.monotonic() - begun >= seconds
        port = result.sysctl.get(PORT_START)
        return Seen(
            started=result.started,
            observed=result.observed,
            error=result.error,
            refused=not result.started and result.created is None,
            exit_code=None if killed else result.exit_code,
            port_start=None if port is None else int(port),
            stdout=result.stdout.decode("utf-8", "replace"),
            stderr=result.stderr.decode("utf-8", "replace"),
        )

    def _explained(self, pod: PodSpec, container: Container) -> Explanation:
        """Up to the config.json, or whose word it is that there is none; what is said to come of it does not count here."""
        every = own_credentials().caps.bounding
        explanation = explain(pod, container, self.facts, self.node, every=every)
        refused = explanation.refused
        if self.admission or refused is None or refused.by != apiserver.NAME:
            return explanation
        return explain(pod, container, self.facts, replace(self.node, kubernetes=None), every=every)
