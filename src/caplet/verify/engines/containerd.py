# SPDX-License-Identifier: Apache-2.0
"""containerd: asked through its CRI plugin with the kubelet's own request.

The request is `kubelet.security_context()`'s, so what is predicted and what is seen share only that. The image comes
in with `ctr images import`, because CRI can only pull.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import subprocess
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, Unavailable
from caplet.image.copy import write_image
from caplet.run.installed import installed
from caplet.runtimes import kubelet
from caplet.runtimes.model import Refused
from caplet.verify import cgroups, outside
from caplet.verify.engines import cri
from caplet.verify.engines.interface import SECONDS, Versions, runtime_version
from caplet.verify.seen import Seen, judged, refusal
from caplet.verify.sweeper import scratch, sweeping, unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec

SOCKETS = ("/run/containerd/containerd.sock", "/run/k3s/containerd/containerd.sock")
"""containerd's own default, and k3s's."""

CONTAINERD_NAMESPACE = "k8s.io"
"""Where the CRI plugin keeps images (internal/cri/constants)."""

SYSTEMD_SLICE = "system.slice"
"""The parent of Pods where systemd makes the cgroups: it must be a slice, and removes those of ended containers itself."""

LABEL = "caplet.verify"
NAMESPACE = "caplet-verify"

IMAGE_SECONDS = 10.0
"""Until the CRI plugin has heard of an image that ctr imported; it listens to containerd's events."""

LOG_SECONDS = 5.0
WITHOUT_LEASES_SECONDS = 0.1
"""For the end of the log of a container that has ended: microseconds, more on a loaded machine."""

POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Containerd:
    """The containerd behind a CRI socket."""

    socket: str
    name: str = "containerd"

    @classmethod
    def found(cls) -> Containerd:
        """CONTAINER_RUNTIME_ENDPOINT, as crictl(1) reads it, else the first of the usual sockets."""
        given = os.environ.get("CONTAINER_RUNTIME_ENDPOINT", "").removeprefix("unix://")
        return cls(given or next(filter(os.path.exists, SOCKETS), SOCKETS[0]))

    def lacks(self) -> str:
        if os.geteuid() != 0:
            return "root"
        if not os.path.exists(self.socket):
            return f"a running containerd: there is no {self.socket}"
        if cri.lacks_grpc():
            return "grpcio: pip install 'caplet[cri]'"
        return "" if installed("ctr") else "the program ctr, which comes with containerd"

    def versions(self) -> Versions:
        with cri.client(self.socket) as client:
            name, version = client.version()
            options = _runtime_options(client)
        runtime = os.path.basename(options.get("BinaryName") or "runc")
        return Versions(
            name, version.partition("~")[0], runtime, runtime_version(options.get("BinaryName") or runtime)
        )

    @contextmanager
    def session(self, image: Image) -> Iterator[ContainerdSession]:
        if lacking := self.lacks():
            raise Unavailable(f"containerd needs {lacking}")
        name = unique()
        reference = f"caplet.invalid/verify:{name}"
        logs = scratch(name)
        with sweeping("containerd", logs, self.socket, name), cri.client(self.socket) as client:
            import_image(self.socket, image, reference, logs)
            _wait_for_image(client, reference)
            parent = SYSTEMD_SLICE if _uses_systemd(client) else f"/{name}"
            yield ContainerdSession(client, image.config.user, reference, name, logs, parent)


def sweep(socket: str, name: str) -> None:
    """Remove every Pod of the session `name`, and its image."""
    with cri.client(socket) as client:
        for sandbox in client.sandboxes({LABEL: name}):
            client.remove_sandbox(sandbox)
    cgroups.remove(name)
    ctr(socket, "images", "rm", "--sync", f"caplet.invalid/verify:{name}")


def import_image(socket: str, image: Image, reference: str, directory: str) -> None:
    """The image under that name, through an archive in the directory."""
    archive = os.path.join(directory, "image.tar")
    write_image(image, f"docker-archive:{archive}:{reference}")
    try:
        ctr(socket, "images", "import", archive)
    finally:
        os.unlink(archive)


def ctr(socket: str, *arguments: str) -> None:
    command = (
        installed("ctr") or "ctr",
        "--address",
        socket,
        "--namespace",
        CONTAINERD_NAMESPACE,
        *arguments,
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CapletError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def _wait_for_image(client: cri.Client, reference: str) -> None:
    end = time.monotonic() + IMAGE_SECONDS
    while not client.has_image(reference):
        if time.monotonic() > end:
            raise CapletError(f"containerd's CRI plugin does not see the imported image {reference}")
        time.sleep(POLL_SECONDS)


def _runtime_options(client: cri.Client) -> Mapping[str, Any]:
    """Of the default OCI runtime, from the CRI plugin's configuration."""
    settings = client.info().get("containerd") or {}
    runtimes, chosen = settings.get("runtimes") or {}, settings.get("defaultRuntimeName") or "runc"
    options: Mapping[str, Any] = (runtimes.get(chosen) or {}).get("options") or {}
    return options


def _uses_systemd(client: cri.Client) -> bool:
    return bool(_runtime_options(client).get("SystemdCgroup"))


@dataclass(slots=True)
class ContainerdSession:
    """A containerd that has the image. Containers of like Pods share a sandbox."""

    client: cri.Client
    image_user: str
    image: str
    name: str
    logs: str
    cgroup_parent: str
    sandboxes: dict[str, str] = field(default_factory=dict)
    made: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, pod: PodSpec, container: Container, seconds: float = SECONDS) -> Seen:
        request = kubelet.security_context(pod, container, self.image_user)
        if isinstance(request, Refused):
            return refusal(request.message)
        sandbox = self._sandbox(pod, privileged=request.privileged)
        command, args = kubelet.command(container)
        env, _ = kubelet.environment(container)
        number = next(self.made)
        wanted = cri.Wanted(
            name=f"c{number}",
            image=self.image,
            command=command,
            args=args,
            working_dir=container.working_dir or "",
            env=env,
            log_path=f"{number}.log",
            security=cri.security_context(request, host_network=bool(pod.host_network)),
        )
        try:
            made = self.client.create(self._started(sandbox), sandbox, wanted)
        except cri.Refusal as error:
            return refusal(error.message)
        try:
            return self._seen(made, os.path.join(self.logs, wanted.log_path), seconds)
        finally:
            self.client.stop(made)
            self.client.remove(made)

    def _sandbox(self, pod: PodSpec, *, privileged: bool) -> cri.Sandbox:
        asked = tuple(kubelet.sysctls(pod).items())
        return cri.Sandbox(
            name=f"{self.name}-{'p' if privileged else 'u'}{'h' if pod.host_network else ''}{abs(hash(asked)):x}",
            namespace=NAMESPACE,
            log_directory=self.logs,
            cgroup_parent=self.cgroup_parent,
            labels={LABEL: self.name},
            host_network=bool(pod.host_network),
            privileged=privileged,
            sysctls=asked,
        )

    def _started(self, sandbox: cri.Sandbox) -> str:
        with self.lock:
            if sandbox.name not in self.sandboxes:
                self.sandboxes[sandbox.name] = self.client.run_sandbox(sandbox)
            return self.sandboxes[sandbox.name]

    def _seen(self, container_id: str, log: str, seconds: float) -> Seen:
        try:
            self.client.start(container_id)
        except cri.Refusal as error:
            return refusal(error.message)
        status = self.client.status(container_id)
        look = outside.first_program(status.pid, container_id) if status.pid else None
        end = time.monotonic() + seconds
        while (status := self.client.status(container_id)).state == cri.RUNNING and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        if status.state != cri.RUNNING:
            _wait_for_log(log)
        stdout, stderr = _streams(log)
        return judged(
            Seen(
                started=True,
                observed=look.observed if look else None,
                secure=look.secure if look else None,
                exit_code=None if status.state == cri.RUNNING else status.exit_code,
                port_start=look.port_start if look else None,
                stdout=stdout,
                stderr=stderr,
            )
        )


def _wait_for_log(log: str) -> None:
    """Until containerd has closed it: the container ends a moment before its last words are written.

    A read lease (fcntl(2)) is given only of a file that nobody has open for writing.
    """
    end = time.monotonic() + LOG_SECONDS
    with open(log, "rb") as file:
        while time.monotonic() < end:
            try:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            except BlockingIOError:
                time.sleep(POLL_SECONDS)
            except OSError:  # a file system without leases
                time.sleep(WITHOUT_LEASES_SECONDS)
                return
            else:
                fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
                return


def _streams(log: str) -> tuple[str, str]:
    """The CRI log: `TIME stdout|stderr P|F TEXT`, where P means that the line goes on in the next."""
    pieces = {"stdout": "", "stderr": ""}
    with open(log, encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            _, stream, tag, content = line.rstrip("\n").split(" ", 3)
            pieces[stream] += content + ("" if tag == "P" else "\n")
    return pieces["stdout"], pieces["stderr"]
