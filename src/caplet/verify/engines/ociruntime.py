# SPDX-License-Identifier: Apache-2.0
"""runc or crun alone, with the config.json that an engine would write: what `caplet run` does, seen as an engine."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.passwd import resolve_user
from caplet.image.rootfs import Rootfs
from caplet.run.available import own_credentials
from caplet.run.container import run_container
from caplet.run.network import PORT_START
from caplet.runtimes.model import Refused
from caplet.runtimes.node import parse
from caplet.verify.engines.interface import SECONDS, Versions, runtime_version
from caplet.verify.seen import Seen, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.node import Node

KILLED = 128 + signal.SIGKILL


@dataclass(frozen=True, slots=True)
class OCIRuntimeAlone:
    """An OCI runtime of this machine below an engine that is only described."""

    name: str
    """runc, crun."""
    engine: str = "containerd"
    """As `--on` spells it: the engine whose config.json is run."""

    def lacks(self) -> str:
        return "" if shutil.which(self.name) else f"{self.name}: it is not installed"

    def versions(self) -> Versions:
        node = parse(self.engine)
        return Versions(node.engine.name, str(node.engine_version), self.name, runtime_version(self.name))

    @contextmanager
    def session(self, image: Image) -> Iterator[OCIRuntimeSession]:
        yield OCIRuntimeSession(self.name, parse(self.versions().node), image, Rootfs(image.layers))


@dataclass(frozen=True, slots=True)
class OCIRuntimeSession:
    """An image whose file system is known."""

    runtime: str
    node: Node
    image: Image
    rootfs: Rootfs

    def run(self, pod: PodSpec, container: Container, seconds: float = SECONDS) -> Seen:
        node, config = self.node, self.image.config
        request = node.request(pod, container, config.user)
        if isinstance(request, Refused):
            return refusal(request.message)
        user = node.engine.user_string(request, config.user)
        if isinstance(user, Refused):
            return refusal(user.message)
        spec = node.engine.spec(
            pod,
            container,
            request,
            config,
            resolve_user(self.rootfs, user),
            version=node.engine_version,
            every=own_credentials().caps.bounding,
        )
        if isinstance(spec, Refused):
            return refusal(spec.message)
        begun = time.monotonic()
        try:
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
