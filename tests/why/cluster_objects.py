# SPDX-License-Identifier: Apache-2.0
"""Objects as an API server returns them, with what it and the kubelet add."""

from __future__ import annotations

from typing import Any

UID = "5f0c9a0e-8c51-4a52-9a0f-0d2d1b7b6a11"
RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    'unable to start container process: exec: "/usr/bin/caddy": operation not permitted: unknown'
)
CRUN = "container create failed: exec container process `/usr/bin/caddy`: Operation not permitted"
NON_ROOT = (
    "container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root "
    f'(pod: "web_shop({UID})", container: http)'
)
BACK_OFF = f"back-off 5m0s restarting failed container=http pod=web_shop({UID})"


def pod(
    security: dict[str, Any] | None = None,
    *statuses: dict[str, Any],
    node: str = "node-1",
    name: str = "web",
    init: list[dict[str, Any]] | None = None,
    **status: Any,
) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "containers": [_container("http", security)],
        "restartPolicy": "Always",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        "aFieldOfTomorrow": {"that": ["nobody", "knows"]},
    }
    if init is not None:
        spec["initContainers"] = init
    if node:
        spec["nodeName"] = node
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": UID,
            "resourceVersion": "71823",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {"app": "web"},
            "managedFields": [
                {
                    "manager": "kubectl-client-side-apply",
                    "operation": "Update",
                    "apiVersion": "v1",
                    "time": "2026-01-01T00:00:00Z",
                    "fieldsType": "FieldsV1",
                    "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"http"}': {".": {}, "f:image": {}}}}},
                }
            ],
        },
        "spec": spec,
        "status": {
            "phase": "Running",
            "qosClass": "BestEffort",
            "containerStatuses": list(statuses),
            "observedGeneration": 1,
            **status,
        },
    }


def _container(name: str, security: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": name,
        "image": "docker.io/library/caddy:2",
        "imagePullPolicy": "IfNotPresent",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": security or {},
        "restartPolicyOfTomorrow": "Sometimes",
    }


def init_container(name: str, security: dict[str, Any]) -> dict[str, Any]:
    return _container(name, security)


def entry(name: str = "http", restarts: int = 0, **state: Any) -> dict[str, Any]:
    """A container status."""
    return {
        "name": name,
        "image": "docker.io/library/caddy:2",
        "imageID": "docker.io/library/caddy@sha256:" + "0" * 64,
        "ready": False,
        "started": False,
        "restartCount": restarts,
        "lastState": {},
        **state,
    }


def waiting(reason: str, message: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(reason: str, message: str = "", code: int = 128) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, **({"message": message} if message else {})}}


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:01Z"}}


def event(message: str, reason: str = "Failed", uid: str = UID, container: str = "") -> dict[str, Any]:
    place = {"fieldPath": f"spec.containers{{{container}}}"} if container else {}
    return {
        "kind": "Event",
        "apiVersion": "v1",
        "metadata": {"name": "web.17", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web", "uid": uid, **place},
        "type": "Warning",
        "reason": reason,
        "message": message,
    }


def node(
    engine: str = "containerd://1.7.13", kubelet: str = "v1.30.4", kernel: str = "6.1.0-18-amd64", **more: Any
) -> dict[str, Any]:
    info = {"containerRuntimeVersion": engine, "kubeletVersion": kubelet, "kernelVersion": kernel}
    metadata = {"name": "node-1", "uid": "n1", **more.pop("metadata", {})}
    return {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": more,
        "status": {"nodeInfo": info},
    }
