# SPDX-License-Identifier: Apache-2.0
"""Docker: a container made through the Engine API, with what `docker run` would send.

https://docs.docker.com/reference/api/engine/: ContainerCreate, ContainerStart, ContainerInspect, ContainerWait,
ContainerLogs, ImageLoad. The daemon is found as docker(1) finds it: DOCKER_HOST, else /var/run/docker.sock.
"""

from __future__ import annotations

import os
import struct
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, Unavailable
from caplet.image.copy import write_image
from caplet.verify import outside
from caplet.verify.engines.byhand import options
from caplet.verify.engines.interface import SECONDS, Versions, runtime_version
from caplet.verify.engines.unixhttp import Refusal, Server
from caplet.verify.seen import Seen, judged, refusal
from caplet.verify.sweeper import scratch, sweeping, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.verify.engines.byhand import Options

SOCKET = "/var/run/docker.sock"
REPOSITORY = "caplet-verify"
LABEL = "caplet.verify"
"""On every container of a session, with the session's own name: so that they are found again."""

POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Docker:
    """The dockerd behind a socket."""

    socket: str
    name: str = "docker"

    @classmethod
    def found(cls) -> Docker:
        """Where docker(1) looks."""
        host = os.environ.get("DOCKER_HOST") or f"unix://{SOCKET}"
        return cls(host.removeprefix("unix://"))

    def lacks(self) -> str:
        if "://" in self.socket:
            return f"a dockerd on this machine: DOCKER_HOST is {self.socket}"
        return "" if os.path.exists(self.socket) else f"a running dockerd: there is no {self.socket}"

    def versions(self) -> Versions:
        answer = Server(self.socket).get("/version")
        parts = {part["Name"]: part["Version"] for part in answer.get("Components", ())}
        runtime = next((name for name in ("runc", "crun") if name in parts), "runc")
        version = parts.get(runtime) or runtime_version(runtime)
        return Versions("docker", answer["Version"], runtime, version)

    @contextmanager
    def session(self, image: Image) -> Iterator[DockerSession]:
        if lacking := self.lacks():
            raise Unavailable(f"docker needs {lacking}")
        name = unique()
        reference = f"{REPOSITORY}:{name}"
        directory = scratch(name)
        with sweeping("docker", directory, self.socket, name):
            _load(Server(self.socket), image, reference, os.path.join(directory, "image.tar"))
            yield DockerSession(Server(self.socket), reference, name)


def sweep(socket: str, name: str) -> None:
    """Remove every container of the session `name`, and its image."""
    server = Server(socket)
    filters = f"%7B%22label%22%3A%5B%22{LABEL}%3D{name}%22%5D%7D"
    for one in server.get(f"/containers/json?all=1&filters={filters}"):
        _ignore(server, "DELETE", f"/containers/{one['Id']}?force=1&v=1")
    _ignore(server, "DELETE", f"/images/{REPOSITORY}:{name}")


def _ignore(server: Server, method: str, path: str) -> None:
    try:
        server.call(method, path)
    except Refusal:  # it is gone, or on its way
        return


def _load(server: Server, image: Image, reference: str, archive: str) -> None:
    write_image(image, f"docker-archive:{archive}:{reference}")
    with open(archive, "rb") as file:
        pieces = iter(lambda: file.read(1 << 20), b"")
        server.call("POST", "/images/load?quiet=1", pieces, "application/x-tar")
    os.unlink(archive)


@dataclass(frozen=True, slots=True)
class DockerSession:
    """A dockerd that has the image."""

    server: Server
    image: str
    name: str

    def run(self, pod: PodSpec, container: Container, seconds: float = SECONDS) -> Seen:
        try:
            created = self.server.post("/containers/create", self._request(options(pod, container)))
        except Refusal as error:
            return refusal(error.message)
        try:
            return self._started(created["Id"], seconds)
        finally:
            _ignore(self.server, "DELETE", f"/containers/{created['Id']}?force=1&v=1")

    def _started(self, container_id: str, seconds: float) -> Seen:
        try:
            self.server.post(f"/containers/{container_id}/start")
        except Refusal as error:
            return refusal(error.message)
        state = self._state(container_id)
        look = outside.first_program(state["Pid"], container_id) if state["Pid"] else None
        state = self._ended(container_id, seconds)
        stdout, stderr = _streams(
            self.server.call("GET", f"/containers/{container_id}/logs?stdout=1&stderr=1")
        )
        return judged(
            Seen(
                started=True,
                observed=look.observed if look else None,
                secure=look.secure if look else None,
                exit_code=None if state["Running"] else int(state["ExitCode"]),
                port_start=look.port_start if look else None,
                stdout=stdout,
                stderr=stderr,
            )
        )

    def _state(self, container_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.server.get(f"/containers/{container_id}/json")["State"]
        return state

    def _ended(self, container_id: str, seconds: float) -> dict[str, Any]:
        end = time.monotonic() + seconds
        while True:
            state = self._state(container_id)
            if not state["Running"] or time.monotonic() > end:
                return state
            time.sleep(POLL_SECONDS)

    def _request(self, asked: Options) -> dict[str, Any]:
        """ContainerCreate, as cli/command/container/opts.go parse() fills it from the options."""
        return {
            "Image": self.image,
            "User": asked.user,
            "Entrypoint": list(asked.entrypoint) or None,
            "Cmd": list(asked.args) or None,
            "Env": [f"{name}={value}" for name, value in asked.env.items()],
            "WorkingDir": asked.workdir,
            "Labels": {LABEL: self.name},
            "HostConfig": {
                "CapAdd": list(asked.cap_add),
                "CapDrop": list(asked.cap_drop),
                "Privileged": asked.privileged,
                "SecurityOpt": ["no-new-privileges"] if asked.no_new_privileges else [],
                "ReadonlyRootfs": asked.read_only,
                "GroupAdd": list(asked.group_add),
                "Sysctls": dict(asked.sysctl),
                "NetworkMode": asked.network,
            },
        }


def _streams(data: bytes) -> tuple[str, str]:
    """Standard output and error out of the one stream: 8 bytes of header (which, length) before each piece."""
    pieces: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
    at = 0
    while at + 8 <= len(data):
        stream, size = struct.unpack_from(">B3xI", data, at)
        if stream not in pieces:
            raise CapletError("docker sent a log that is none")
        pieces[stream] += data[at + 8 : at + 8 + size]
        at += 8 + size
    return pieces[1].decode("utf-8", "replace"), pieces[2].decode("utf-8", "replace")
