# SPDX-License-Identifier: Apache-2.0
"""A live Pod through the user's own kubectl: its object, events, the end of its logs and its node. Read-only verbs."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, InvalidInput, Unavailable
from caplet.why.answer import Clue, clues_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TIMEOUT = 30.0
"""Seconds for one call; the user's kubectl may ask an identity provider."""

MAX_OUTPUT = 32 << 20
"""Bytes of one answer: an object has at most 3 MiB, a list of a Pod's events some hundred."""

LOG_LINES = 200
"""Last lines of each container's log."""


@dataclass(frozen=True, slots=True)
class Live:
    """What kubectl told."""

    manifest: bytes
    """The Pod as JSON, as `kubectl get -o json` prints it, without its status."""
    clues: tuple[Clue, ...]
    node: str
    """As `--on` takes it: `containerd:1.7.13+kubernetes:1.30+linux:6.1`; empty where the Pod has no node yet."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The command with the user's flags."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def read(self, name: str) -> Live:
        """Everything about `pod/NAME`. Raises Unavailable without kubectl, CapletError with what kubectl says."""
        pod = self._json("get", "pod", name, "-o", "json")
        if pod.get("kind") != "Pod":
            raise InvalidInput(
                f"{name} is a {pod.get('kind', 'thing without a kind')}, not a Pod", "name one of its Pods"
            )
        status = pod.pop("status", None) or {}
        clues = [*_status_clues(status), *self._event_clues(pod), *self._log_clues(name, status)]
        return Live(json.dumps(pod).encode(), tuple(dict.fromkeys(clues)), self._node(pod))

    def _event_clues(self, pod: dict[str, Any]) -> Iterator[Clue]:
        uid = (pod.get("metadata") or {}).get("uid", "")
        try:
            events = self._json(
                "get", "events", "--field-selector", f"involvedObject.uid={uid}", "-o", "json"
            )
        except CapletError:
            return  # not everybody may list events
        for event in events.get("items") or []:
            if event.get("type") == "Warning" and isinstance(event.get("message"), str):
                yield from clues_of(event["message"], f"event {event.get('reason', '')}".strip())

    def _log_clues(self, name: str, status: dict[str, Any]) -> Iterator[Clue]:
        for container in _statuses(status):
            flags = ["--previous"] if (container.get("restartCount") or 0) > 0 else []
            try:
                log = self._call(
                    "logs", name, "-c", str(container.get("name")), f"--tail={LOG_LINES}", *flags
                )
            except CapletError:
                continue  # a container that never started has none
            text = log.decode("utf-8", "replace")
            source = f"log of {container.get('name')}, line"
            yield from (clue for clue in clues_of(text, source, str(container.get("name"))))

    def _node(self, pod: dict[str, Any]) -> str:
        name = (pod.get("spec") or {}).get("nodeName")
        if not isinstance(name, str):
            return ""
        try:
            node = self._json("get", "node", name, "-o", "json")
        except CapletError:
            return ""  # nodes are not for everybody
        return as_on((node.get("status") or {}).get("nodeInfo") or {})

    def _json(self, *words: str) -> dict[str, Any]:
        text = self._call(*words)
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise CapletError(f"kubectl {words[0]} {words[1]} gave no JSON") from None
        return value if isinstance(value, dict) else {}

    def _call(self, *words: str) -> bytes:
        program = shutil.which("kubectl")
        if program is None:
            raise Unavailable(
                "kubectl is not installed",
                "or give what it prints: kubectl get pod NAME -o yaml | caplet explain -f -",
            )
        command = [program, *words, *self._flags()]
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=TIMEOUT, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise CapletError(f"kubectl {words[0]} {words[1]}: no answer within {TIMEOUT:.0f} s") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            raise CapletError(
                f"kubectl {words[0]} {words[1]}: {said[-1] if said else f'exit code {done.returncode}'}"
            )
        if len(done.stdout) > MAX_OUTPUT:
            raise CapletError(f"kubectl {words[0]} {words[1]}: an answer of more than {MAX_OUTPUT >> 20} MiB")
        return done.stdout

    def _flags(self) -> Sequence[str]:
        given = (
            ("--namespace", self.namespace),
            ("--context", self.context),
            ("--kubeconfig", self.kubeconfig),
        )
        return [f"{flag}={value}" for flag, value in given if value]


def as_on(info: dict[str, Any]) -> str:
    """A Node's status.nodeInfo in the words of `--on`; what is not known there is left out."""
    engine, _, version = str(info.get("containerRuntimeVersion", "")).partition("://")
    name = {"containerd": "containerd", "cri-o": "crio", "docker": "docker"}.get(engine)
    if name is None:
        return ""
    words = [f"{name}:{_numbers(version)}"]
    kubelet, kernel = (
        _numbers(str(info.get("kubeletVersion", "")).lstrip("v")),
        str(info.get("kernelVersion", "")),
    )
    if name != "docker" and kubelet:
        words.append("kubernetes:" + ".".join(kubelet.split(".")[:2]))
    if _numbers(kernel):
        words.append("linux:" + ".".join(_numbers(kernel).split(".")[:2]))
    return "+".join(words)


def _numbers(text: str) -> str:
    """1.7.13 of `1.7.13-k3s1`."""
    kept = []
    for part in text.split("-", maxsplit=1)[0].split("+", maxsplit=1)[0].split("."):
        if not part.isdecimal():
            break
        kept.append(part)
    return ".".join(kept[:3])


def _statuses(status: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for field in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(field) or []:
            if isinstance(one, dict):
                yield one


def _status_clues(status: dict[str, Any]) -> Iterator[Clue]:
    """What the kubelet says of each container's state, now and before."""
    for one in _statuses(status):
        name = str(one.get("name", ""))
        for which in ("state", "lastState"):
            for state in (one.get(which) or {}).values():
                message = state.get("message") if isinstance(state, dict) else None
                if isinstance(message, str) and message:
                    yield from clues_of(message, f"{which} of container {name}", name)
    message = status.get("message")
    if isinstance(message, str) and message:
        yield from clues_of(message, f"status of the Pod ({status.get('reason', '')})")
