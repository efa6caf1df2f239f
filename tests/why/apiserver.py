# SPDX-License-Identifier: Apache-2.0
"""An API server on the loopback that knows a few objects, for a real kubectl to talk to; it records what was asked."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CORE = ("pods", "events", "nodes", "bindings")
APPS = ("deployments", "replicasets", "statefulsets", "daemonsets")
KINDS = {
    "pods": "Pod",
    "events": "Event",
    "nodes": "Node",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "daemonsets": "DaemonSet",
    "bindings": "Binding",
    "jobs": "Job",
}


@dataclass
class Cluster:
    """Objects by path below /api/v1 or /apis/...: `namespaces/shop/pods/web`."""

    objects: dict[str, Any] = field(default_factory=dict)
    logs: dict[tuple[str, bool], str] = field(default_factory=dict)
    """By container, and whether the previous one's is meant."""
    forbidden: frozenset[str] = frozenset()
    """Resources that may not be read."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Verb and path."""
    kubeconfig: str = ""

    def add(self, pod: Mapping[str, Any], *events: Mapping[str, Any]) -> None:
        space = pod["metadata"].get("namespace", "default")
        self.objects[f"namespaces/{space}/pods/{pod['metadata']['name']}"] = pod
        for number, event in enumerate(events):
            self.objects[f"namespaces/{space}/events/e{number}"] = event


@contextmanager
def serving(cluster: Cluster, directory: Path) -> Iterator[Cluster]:
    """The cluster behind a kubeconfig in the directory."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(cluster))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    path = directory / "kubeconfig"
    write_kubeconfig(path, server.server_address[1])
    cluster.kubeconfig = str(path)
    try:
        yield cluster
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, port: int) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "test", "user": {}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "shop"}}],
    }
    path.write_text(json.dumps(config))


def _handler(cluster: Cluster) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            cluster.asked.append(("GET", self.path))
            url = urlsplit(self.path)
            code, answer = _answer(cluster, url.path, parse_qs(url.query))
            self._send(code, answer)

        def _other(self) -> None:
            cluster.asked.append((self.command, self.path))
            self._send(*_status(405, "MethodNotAllowed", "nothing is to be changed"))

        def _send(self, code: int, answer: Any) -> None:
            plain = isinstance(answer, str)
            body = answer.encode() if plain else json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if plain else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    for verb in ("POST", "PUT", "PATCH", "DELETE"):
        setattr(Handler, f"do_{verb}", Handler._other)
    return Handler


def _answer(cluster: Cluster, path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
    if path in DISCOVERY:
        return 200, DISCOVERY[path]
    for group in ("/api/v1/", "/apis/apps/v1/", "/apis/batch/v1/"):
        if path.startswith(group):
            return _resource(cluster, path.removeprefix(group), query)
    return _status(404, "NotFound", "the server could not find the requested resource")


def _resource(cluster: Cluster, path: str, query: Mapping[str, list[str]]) -> tuple[int, Any]:
    parts = path.split("/")
    resource = parts[0] if parts[0] != "namespaces" or len(parts) < 3 else parts[2]
    if resource in cluster.forbidden:
        return _status(
            403, "Forbidden", f'{resource} is forbidden: User "eve" cannot read resource "{resource}"'
        )
    if parts[-1] == "log":
        key = (query.get("container", [""])[0], query.get("previous", ["false"])[0] == "true")
        if key in cluster.logs:
            return 200, cluster.logs[key]
        return _status(400, "BadRequest", f'previous terminated container "{key[0]}" not found')
    if parts[0] == "namespaces" and len(parts) == 2:
        return 200, {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": parts[1]}}
    if path in cluster.objects:
        return 200, cluster.objects[path]
    if parts[-1] in KINDS:
        below = [one for name, one in cluster.objects.items() if name.rpartition("/")[0] == path]
        kind = KINDS[parts[-1]]
        version = "apps/v1" if parts[-1] in APPS else "v1"
        selected = [one for one in below if _selected(one, query)]
        return 200, {"kind": f"{kind}List", "apiVersion": version, "metadata": {}, "items": selected}
    return _status(404, "NotFound", f'{resource} "{parts[-1]}" not found')


def _selected(one: Mapping[str, Any], query: Mapping[str, list[str]]) -> bool:
    for selector in query.get("fieldSelector", []):
        name, _, value = selector.partition("=")
        if name == "involvedObject.uid" and one["involvedObject"]["uid"] != value:
            return False
    labels = one["metadata"].get("labels", {})
    for selector in query.get("labelSelector", []):
        for word in selector.split(","):
            name, _, value = word.partition("=")
            if labels.get(name) != value:
                return False
    return True


def _status(code: int, reason: str, message: str) -> tuple[int, Any]:
    return code, {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def _resources(version: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": version,
        "resources": [
            {
                "name": name,
                "singularName": KINDS[name].lower(),
                "namespaced": name != "nodes",
                "kind": KINDS[name],
                "verbs": ["get", "list", "create", "delete"],
            }
            for name in names
        ],
    }


def _group(name: str) -> dict[str, Any]:
    version = {"groupVersion": f"{name}/v1", "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


DISCOVERY: dict[str, Any] = {
    "/version": {"major": "1", "minor": "30", "gitVersion": "v1.30.4"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group("apps"), _group("batch")]},
    "/api/v1": _resources("v1", CORE),
    "/apis/apps/v1": _resources("apps/v1", APPS),
    "/apis/batch/v1": _resources("batch/v1", ("jobs",)),
}
