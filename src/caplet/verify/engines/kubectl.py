# SPDX-License-Identifier: Apache-2.0
"""A cluster, through the user's own kubectl: a Pod in a namespace of its own, whose process is looked at from inside.

The Pod has the container's and the Pod's fields that decide about credentials, and no volumes. The cluster pulls the
image by the name in the manifest, so what the session is given is not sent there. The sets are those of process 1,
read by `cat /proc/1/status` in the container; an image without cat(1) shows none.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, Unavailable
from caplet.run.installed import installed
from caplet.run.network import PORT_START
from caplet.run.status import parse_status
from caplet.verify.engines.interface import SECONDS, Versions
from caplet.verify.seen import Seen, refusal
from caplet.verify.sweeper import scratch, sweeping, unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from caplet.image.image import Image
    from caplet.kubernetes.pod import Container, PodSpec

POD_FIELDS = ("securityContext", "hostNetwork", "hostUsers", "runtimeClassName", "os", "imagePullSecrets")
CONTAINER_FIELDS = ("name", "image", "command", "args", "workingDir", "env", "securityContext")
"""What is kept of the manifest."""

START_SECONDS = 120.0
"""For scheduling and pulling."""

POLL_SECONDS = 0.5

PRIVILEGED = "pod-security.kubernetes.io/enforce=privileged"
"""Pod Security Admission is the caller's question to `explain`, not this namespace's."""

REFUSALS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")
"""Reasons of a container that waits or has ended without its program: pkg/kubelet/kuberuntime/kuberuntime_container.go."""

EXEC_FAILED = ("RunContainerError", "StartError")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a context of kubectl points to."""

    context: str
    name: str = "kubectl"

    def lacks(self) -> str:
        done = _call(self.context, "version", "--output", "json")
        return "" if done is not None and done.returncode == 0 else f"a cluster that answers: {_why(done)}"

    def versions(self) -> Versions:
        """Of the first node; which OCI runtime it has, no API tells."""
        nodes = json.loads(self._said("get", "nodes", "--output", "json"))["items"]
        if not nodes:
            raise Unavailable(f"the cluster of context {self.context} has no node")
        engine, _, version = nodes[0]["status"]["nodeInfo"]["containerRuntimeVersion"].partition("://")
        return Versions("crio" if engine == "cri-o" else engine, version, "", "")

    @contextmanager
    def session(self, image: Image) -> Iterator[ClusterSession]:
        """A namespace; the image is the manifest's business."""
        del image
        name = unique()
        with sweeping("kubectl", scratch(name), self.context, name):
            self._said("create", "namespace", name)
            self._said("label", "namespace", name, PRIVILEGED)
            yield ClusterSession(self.context, name)

    def _said(self, *arguments: str) -> str:
        return _said(self.context, *arguments)


def sweep(context: str, name: str) -> None:
    """Remove the namespace with everything in it."""
    _said(context, "delete", "namespace", name, "--ignore-not-found", "--wait=false")


def manifest(pod: PodSpec, container: Container, name: str) -> dict[str, Any]:
    """The Pod that is created."""
    whole = _at(pod.document.data, pod.path)
    own = _at(pod.document.data, container.path)
    spec = {field: whole[field] for field in POD_FIELDS if field in whole}
    only = {field: own[field] for field in CONTAINER_FIELDS if field in own}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": spec
        | {"containers": [only], "restartPolicy": "Never", "automountServiceAccountToken": False},
    }


def _at(data: Any, path: tuple[str | int, ...]) -> Mapping[str, Any]:
    for step in path:
        data = data[step]
    found: Mapping[str, Any] = data
    return found


@dataclass(slots=True)
class ClusterSession:
    """A namespace of the session's own."""

    context: str
    name: str
    made: int = 0

    def run(self, pod: PodSpec, container: Container, seconds: float = SECONDS) -> Seen:
        self.made += 1
        name = f"p{self.made}"
        document = json.dumps(manifest(pod, container, name))
        made = _call(self.context, "--namespace", self.name, "create", "--filename", "-", stdin=document)
        if made is None or made.returncode:
            return refusal(_why(made))
        status = self._started(name)
        state = status.get("state", {})
        reason, message = _reason(state)
        if reason in REFUSALS:
            return Seen(started=False, error=message or reason, refused=reason not in EXEC_FAILED)
        text = self._read(name, "/proc/1/status")
        port = self._read(name, "/proc/sys/" + PORT_START.replace(".", "/")).strip()
        time.sleep(seconds if "running" in state else 0)
        ended = self._status(name).get("state", {}).get("terminated")
        logs = _call(self.context, "--namespace", self.name, "logs", name)
        return Seen(
            started=True,
            observed=parse_status(text) if text else None,
            exit_code=None if ended is None else int(ended["exitCode"]),
            port_start=int(port) if port.isdigit() else None,
            stdout=logs.stdout if logs is not None and logs.returncode == 0 else "",
        )

    def _started(self, name: str) -> Mapping[str, Any]:
        """The container's status, once it runs, has ended or cannot start."""
        end = time.monotonic() + START_SECONDS
        while True:
            status = self._status(name)
            state = status.get("state", {})
            if "running" in state or "terminated" in state or _reason(state)[0] in REFUSALS:
                return status
            if time.monotonic() > end:
                raise Unavailable(
                    f"the Pod did not start within {START_SECONDS:.0f} s: {_reason(state)[0] or 'not scheduled'}",
                    "can the cluster pull the image of the manifest?",
                )
            time.sleep(POLL_SECONDS)

    def _status(self, name: str) -> Mapping[str, Any]:
        found = json.loads(
            _said(self.context, "--namespace", self.name, "get", "pod", name, "--output", "json")
        )
        statuses = found.get("status", {}).get("containerStatuses") or [{}]
        status: Mapping[str, Any] = statuses[0]
        return status

    def _read(self, name: str, file: str) -> str:
        """Empty where the container has ended, or has no cat(1)."""
        done = _call(self.context, "--namespace", self.name, "exec", name, "--", "cat", file)
        return done.stdout if done is not None and done.returncode == 0 else ""


def _reason(state: Mapping[str, Any]) -> tuple[str, str]:
    """Why it waits or ended."""
    one = state.get("waiting") or state.get("terminated") or {}
    return str(one.get("reason", "")), str(one.get("message", ""))


def _call(context: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str] | None:
    """None: kubectl is not installed."""
    program = installed("kubectl")
    if program is None:
        return None
    command = (program, "--context", context, *arguments)
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def _said(context: str, *arguments: str) -> str:
    done = _call(context, *arguments)
    if done is None or done.returncode:
        raise CapletError(f"kubectl {' '.join(arguments)}: {_why(done)}")
    return done.stdout


def _why(done: subprocess.CompletedProcess[str] | None) -> str:
    return "kubectl is not installed" if done is None else done.stderr.strip() or "kubectl gave no reason"
