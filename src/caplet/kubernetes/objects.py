# SPDX-License-Identifier: Apache-2.0
"""The objects of a document, and where in each its PodSpecs are.

Lists are looked into as kubectl does (apimachinery unstructured/helpers.go decodeToList). Objects of the API's own
kinds have their PodSpec where pod-security-admission looks for it; in kinds of others a PodSpec is what stands in a
`spec` with `containers` below the `spec` of the object: the template of an Argo Rollout, of a Knative Service, of each
worker group of a RayCluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.kubernetes.document import Document, dotted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from caplet.errors import InvalidInput
    from caplet.kubernetes.document import Path

TEMPLATES: dict[str, Path] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
"""Kind and where its PodSpec is: pod-security-admission, admission/admission.go DefaultPodSpecExtractor."""

_GROUPS = {
    **dict.fromkeys(("Pod", "PodTemplate", "ReplicationController"), "v1"),
    **dict.fromkeys(("ReplicaSet", "Deployment", "StatefulSet", "DaemonSet"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
}
"""A kind of the same name in another group is another kind: Job of batch.volcano.sh."""

INLINED: dict[str, tuple[Path, ...]] = {
    "serving.kserve.io": (("spec", "predictor"), ("spec", "transformer"), ("spec", "explainer")),
}
"""Groups whose kinds have PodSpecs with further fields beside the Pod's own: KServe v1beta1 PredictorSpec."""

KNATIVE = frozenset(
    {"containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"}
)
"""serving.knative.dev/v1 RevisionSpec: what it has besides a PodSpec's fields; its containers need no name."""

MAX_SEARCH_DEPTH = 12
"""Levels below the object where a template may be; a RayCluster's are at 5."""


@dataclass(frozen=True, slots=True)
class Found:
    """One object."""

    path: Path
    """In its document; () unless it is in a List."""
    value: dict[str, Any]
    api_version: str
    kind: str
    type: str | None
    """Its type in `podapi`; None for kinds that are not the API's own or have no Pod."""


def objects(document: Document) -> Iterator[Found | InvalidInput]:
    """Every object, those of Lists one by one; in the place of one that is none, what is wrong."""
    waiting: list[tuple[Path, Any, str, str]] = [((), document.data, "", "")]
    while waiting:
        path, value, api_version, kind = waiting.pop()
        hint = "a manifest has apiVersion, kind and metadata"
        if not isinstance(value, dict):
            yield document.error(path, "not a Kubernetes object", hint)
            continue
        api_version, kind = _text(value, "apiVersion") or api_version, _text(value, "kind") or kind
        items = value.get("items")
        if not kind:
            if {"NAME", "STATUS"} <= value.keys():
                hint = "the notes of helm install --dry-run? helm template prints manifests only"
            yield document.error(path, "the object has no kind", hint)
        elif kind.endswith("List") and isinstance(items, list):
            of, item_kind = ("", "") if kind == "List" else (api_version, kind.removesuffix("List"))
            below = [((*path, "items", index), item, of, item_kind) for index, item in enumerate(items)]
            waiting.extend(reversed(below))
        else:
            yield Found(path, value, api_version, kind, api_type(api_version, kind))


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""


def api_type(api_version: str, kind: str) -> str | None:
    """The kind, where it is one of the API's own that has a Pod; None where another API group has it."""
    own = _GROUPS.get(kind)
    return kind if own is not None and api_version in {own, ""} else None


def pods_in(document: Document, found: Found) -> Iterator[tuple[Path, Collection[str]]]:
    """Where the object's PodSpecs are, and which fields each may have besides those of a PodSpec."""
    if found.type is not None:
        path = TEMPLATES[found.type]
        value: Any = found.value
        for step in path:
            value = value.get(step)
            if value is None:
                raise document.error(found.path, f"this {found.kind} has no {dotted(path)}")
        yield (*found.path, *path), ()
        return
    group = found.api_version.partition("/")[0]
    more = KNATIVE if group == "serving.knative.dev" else ()
    for inner in _search(found.value.get("spec")):
        yield (*found.path, "spec", *inner), more
    for inner in INLINED.get(group, ()):
        value = document.at((*found.path, *inner))
        if isinstance(value, dict) and isinstance(value.get("containers"), list):
            yield (*found.path, *inner), frozenset(value)


def _search(top: Any) -> Iterator[Path]:
    """Every `spec` with a list of containers in it, below the top; in the order of the text."""
    waiting: list[tuple[Path, Any]] = [((), top)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict):
            spec = value.get("spec")
            if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
                yield (*path, "spec")
            steps: list[tuple[str | int, Any]] = list(value.items())
        elif isinstance(value, list):
            steps = list(enumerate(value))
        else:
            continue
        if len(path) < MAX_SEARCH_DEPTH:
            waiting += [
                ((*path, step), inner) for step, inner in reversed(steps) if isinstance(inner, dict | list)
            ]
