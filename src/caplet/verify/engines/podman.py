# SPDX-License-Identifier: Apache-2.0
"""Podman: `podman create`, `init` and `start` with the options of docker-run(1), in a storage of the session's own.

Nothing of the user's Podman is touched: --root, --runroot, --tmpdir and the cgroup's parent are the session's, and all
of it lives in a mount namespace of its own. There an empty directory is mounted over /sys/fs/cgroup/unified: on a
machine with cgroups v1 and v2 side by side Podman would give up ("cgroups in hybrid mode not supported").
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import Unavailable
from caplet.image.copy import write_image
from caplet.run import linux
from caplet.run.execstop import ExecStop
from caplet.run.installed import installed
from caplet.run.status import parse_status
from caplet.verify import cgroups, outside
from caplet.verify.engines.byhand import options
from caplet.verify.engines.containersconf import default_capabilities
from caplet.verify.engines.interface import SECONDS, Versions, runtime_version, said
from caplet.verify.seen import Seen, judged, refusal
from caplet.verify.sweeper import sweeping, unique

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.verify.engines.byhand import Options

IMAGE = "localhost/caplet-verify:latest"
PLACES = ("/var/tmp", "/tmp")  # noqa: S108 - the directory below is made with mkdir(2), mode 0700
"""For the storage: a short path (Podman refuses run roots of over 50 characters), not mounted nosuid."""

HYBRID = "/sys/fs/cgroup/unified"
MAX_LIMIT = 1024
"""Open files and processes of a container that is looked at for a second."""


@dataclass(frozen=True, slots=True)
class Podman:
    """The podman of this machine, with its default OCI runtime or another."""

    runtime: str = ""
    """--runtime; empty: the default of containers.conf."""
    name: str = "podman"

    def lacks(self) -> str:
        if os.geteuid() != 0:
            return "root"
        return "" if installed("podman") else "the program podman: it is not installed"

    def versions(self) -> Versions:
        engine = said("podman", "version", "--format", "{{.Client.Version}}")
        runtime = self.runtime or _default_runtime()
        caps = default_capabilities()
        return Versions("podman", engine, runtime, runtime_version(runtime), default_caps=caps)

    @contextmanager
    def session(self, image: Image) -> Iterator[PodmanSession]:
        if lacking := self.lacks():
            raise Unavailable(f"podman needs {lacking}")
        directory = _directory()
        with sweeping("podman", directory, self.runtime) as holder:
            command = (
                "nsenter",
                "--target",
                str(holder),
                "--mount",
                "--",
                *_command(directory, self.runtime),
            )
            archive = os.path.join(directory, "image.tar")
            write_image(image, f"docker-archive:{archive}:{IMAGE}")
            said(*command, "load", "--quiet", "--input", archive)
            yield PodmanSession(command, os.path.basename(directory))


def prepare() -> None:
    """The mount namespace of the session; it ends with the last process in it."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.make_private("/")
    if os.path.ismount(HYBRID):
        linux.mount("tmpfs", HYBRID, "tmpfs")


def sweep(directory: str, runtime: str) -> None:
    """End and remove every container of the session, then its mounts and cgroups. Runs in its mount namespace."""
    if os.path.isdir(directory):
        said(*_command(directory, runtime), "rm", "--all", "--force", "--time", "0")
        with contextlib.suppress(OSError):  # not mounted: the storage driver is another
            linux.umount(os.path.join(directory, "root", "overlay"))
    if os.path.ismount(HYBRID):
        linux.umount(HYBRID)
    cgroups.remove(os.path.basename(directory))


def _directory() -> str:
    for place in PLACES:
        if not os.statvfs(place).f_flag & os.ST_NOSUID:
            return os.path.join(place, unique())
    raise Unavailable(
        f"{' and '.join(PLACES)} are mounted nosuid", "capabilities of files would not count in containers"
    )


def _command(directory: str, runtime: str) -> tuple[str, ...]:
    return (
        installed("podman") or "podman",
        *(("--runtime", runtime) if runtime else ()),
        *("--root", f"{directory}/root", "--runroot", f"{directory}/run", "--tmpdir", f"{directory}/libpod"),
        *("--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    )


def _default_runtime() -> str:
    """Asked of a Podman with an empty storage, because to ask is to make one."""
    with tempfile.TemporaryDirectory(prefix="caplet-verify-") as directory:
        command = (*_command(directory, ""), "--storage-driver", "vfs")
        return said(*command, "info", "--format", "{{.Host.OCIRuntime.Name}}")


@dataclass(frozen=True, slots=True)
class PodmanSession:
    """A storage that has the image."""

    command: tuple[str, ...]
    name: str
    """Of its directory, and of the parent of its cgroups."""

    def run(self, pod: PodSpec, container: Container, seconds: float = SECONDS) -> Seen:
        created = self._call("create", *self._arguments(options(pod, container)))
        if created.returncode:
            return refusal(_error(created.stderr))
        container_id = created.stdout.strip().splitlines()[-1]
        try:
            return self._started(container_id, seconds)
        finally:
            self._call("rm", "--force", "--time", "0", container_id)

    def _started(self, container_id: str, seconds: float) -> Seen:
        made = self._call("init", container_id)
        if made.returncode:
            return refusal(_error(made.stderr))
        pid = int(self._call("inspect", "--format", "{{.State.Pid}}", container_id).stdout)
        port = outside.port_start(pid)
        stop = ExecStop(pid)
        command = (*self.command, "start", "--attach", container_id)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as start:
            status = stop.status()
            exit_code: int | None = None
            try:
                stdout, stderr = start.communicate(timeout=seconds)
                exit_code = start.returncode
            except subprocess.TimeoutExpired:
                self._call("kill", container_id)
                stdout, stderr = start.communicate()
        observed = parse_status(status) if status else None
        error = "" if observed else _error(stderr)
        return judged(
            Seen(
                started=observed is not None,
                observed=observed,
                error=error,
                exit_code=exit_code,
                port_start=port,
                stdout=stdout,
                stderr=stderr,
            )
        )

    def _arguments(self, asked: Options) -> list[str]:
        words = ["--pull", "never", "--network", asked.network, *_limits(), "--cgroup-parent", self.name]
        words += [f"--cap-add={name}" for name in asked.cap_add]
        words += [f"--cap-drop={name}" for name in asked.cap_drop]
        words += [f"--group-add={group}" for group in asked.group_add]
        words += [f"--sysctl={name}={value}" for name, value in asked.sysctl.items()]
        words += [f"--env={name}={value}" for name, value in asked.env.items()]
        words += [f"--user={asked.user}"] * bool(asked.user)
        words += [f"--workdir={asked.workdir}"] * bool(asked.workdir)
        words += ["--security-opt=no-new-privileges"] * asked.no_new_privileges
        words += ["--privileged"] * asked.privileged
        words += ["--read-only"] * asked.read_only
        words += [f"--entrypoint={json.dumps(list(asked.entrypoint))}"] * bool(asked.entrypoint)
        return [*words, IMAGE, *asked.args]

    def _call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run((*self.command, *arguments), capture_output=True, text=True, check=False)


def _limits() -> Iterator[str]:
    """Low ones: Podman would raise those of this process otherwise, which takes CAP_SYS_RESOURCE."""
    for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        _, hard = resource.getrlimit(number)
        limit = MAX_LIMIT if hard == resource.RLIM_INFINITY else min(hard, MAX_LIMIT)
        yield f"--ulimit={name}={limit}:{limit}"


def _error(stderr: str) -> str:
    """Its last line, without `Error: `."""
    lines = stderr.strip().splitlines()
    return lines[-1].removeprefix("Error: ") if lines else "podman gave no reason"
