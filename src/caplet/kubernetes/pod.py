# SPDX-License-Identifier: Apache-2.0
"""The Pods of a manifest: found in every object that has some, checked as the API server would, read as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput, ManyInvalid
from caplet.kubernetes import decode
from caplet.kubernetes.fields import Fields
from caplet.kubernetes.objects import TEMPLATES, Found, objects, pods_in
from caplet.kubernetes.podspec import Container, PodSpec
from caplet.kubernetes.schema import problems

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.kubernetes.document import Document

__all__ = [
    "TEMPLATES",
    "Container",
    "PodSpec",
    "Reading",
    "container_named",
    "pod_specs",
    "pods",
    "read",
    "the_pod",
]


@dataclass(slots=True)
class Reading:
    """What a manifest has, and what is wrong with it."""

    pods: list[PodSpec] = field(default_factory=list)
    """Of the objects that have nothing wrong with them."""
    problems: list[InvalidInput] = field(default_factory=list)
    """In the order of the text."""

    def raise_problems(self) -> None:
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise ManyInvalid(tuple(self.problems))


def read(documents: Iterable[Document], *, served: bool = False) -> Reading:
    """Every Pod of every document, and every problem: one bad object does not hide the others.

    Also what is wrong with the documents themselves, where they are read one by one. `served`: the objects come from an
    API server, which knows its own fields; one newer than `podapi` has some more.
    """
    reading = Reading()
    waiting = iter(documents)
    while True:
        try:
            document = next(waiting, None)
        except ManyInvalid as error:
            reading.problems += error.problems
            return reading
        except InvalidInput as error:
            reading.problems.append(error)
            return reading
        if document is None:
            return reading
        _read_document(reading, document, served=served)


def _read_document(reading: Reading, document: Document, *, served: bool) -> None:
    for found in objects(document):
        if isinstance(found, InvalidInput):
            reading.problems.append(found)
        else:
            _read_object(reading, document, found, served=served)


def pods(documents: Iterable[Document], *, served: bool = False) -> list[PodSpec]:
    """Every Pod of every document, as `read`. Raises InvalidInput, or ManyInvalid, where any object is wrong."""
    reading = read(documents, served=served)
    reading.raise_problems()
    return reading.pods


def pod_specs(document: Document) -> list[PodSpec]:
    """As `pods`, of one document: of the object that it is, or of all in a List."""
    return pods((document,))


def _read_object(reading: Reading, document: Document, found: Found, *, served: bool) -> None:
    if found.type is not None and not served:
        wrong = problems(document, found.path, found.value, found.type)
        if wrong:
            reading.problems += wrong
            return
    try:
        for path, more in pods_in(document, found):
            value = document.at(path)
            checked = found.type is None and not served
            wrong = problems(document, path, value, "PodSpec", more) if checked else []
            reading.problems += wrong
            if not wrong:
                reading.pods.append(_pod_spec(document, found, path, named=not more))
    except InvalidInput as error:
        reading.problems.append(error)


def _pod_spec(document: Document, found: Found, path: tuple[str | int, ...], *, named: bool) -> PodSpec:
    spec = Fields.of(document, path, document.at(path))
    system = spec.object("os")
    metadata_path = (*path[:-1], "metadata")
    pod = PodSpec(
        document=document,
        path=path,
        kind=found.kind,
        name=_meta(found, "name") or _meta(found, "generateName"),
        namespace=_meta(found, "namespace"),
        uid=_meta(found, "uid"),
        containers=decode.containers(spec, "containers", "container", named=named),
        init_containers=decode.containers(spec, "initContainers", "init", named=named),
        ephemeral_containers=decode.containers(spec, "ephemeralContainers", "ephemeral", named=named),
        security_context=decode.pod_security_context(spec.object("securityContext")),
        host_network=spec.boolean("hostNetwork"),
        host_pid=spec.boolean("hostPID"),
        host_ipc=spec.boolean("hostIPC"),
        host_users=spec.boolean("hostUsers"),
        hostname=spec.text("hostname"),
        os=system.text("name") if system else None,
        volumes=tuple(decode.volume(fields) for fields in spec.objects("volumes")),
        api_version=found.api_version,
        object_path=found.path,
        annotations=_strings(document, (*metadata_path, "annotations")),
        labels=_strings(document, (*metadata_path, "labels")),
        metadata_path=metadata_path,
        share_process_namespace=spec.boolean("shareProcessNamespace"),
        runtime_class_name=spec.text("runtimeClassName"),
        service_account_name=spec.text("serviceAccountName") or spec.text("serviceAccount"),
        automount_service_account_token=spec.boolean("automountServiceAccountToken"),
        restart_policy=spec.text("restartPolicy"),
        node_name=spec.text("nodeName"),
        node_selector=_strings(document, (*path, "nodeSelector")),
    )
    if not pod.containers:
        raise spec.error("containers", "no containers", "a Pod needs at least one")
    _distinct_names(pod)
    return pod


def _distinct_names(pod: PodSpec) -> None:
    """pkg/apis/core/validation: names are unique over the three lists."""
    seen: set[str] = set()
    for container in pod.every_container:
        if container.name in seen:
            raise pod.document.error(
                (*container.path, "name"), f"{container.name!r} is the name of two containers"
            )
        if container.name:
            seen.add(container.name)


def _meta(found: Found, name: str) -> str:
    metadata = found.value.get("metadata")
    value = metadata.get(name) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) else ""


def _strings(document: Document, path: tuple[str | int, ...]) -> dict[str, str]:
    value = document.at(path)
    if not isinstance(value, dict):
        return {}
    return {key: item or "" for key, item in value.items() if item is None or isinstance(item, str)}


def container_named(pod: PodSpec, name: str | None) -> Container:
    """The container of that name, of any sort; without a name the only one of `containers`."""
    if name is not None:
        for container in pod.every_container:
            if container.name == name:
                return container
        names = ", ".join(container.name for container in pod.every_container)
        raise pod.document.error(pod.path, f"no container {name!r}", f"it has: {names or 'none'}")
    if len(pod.containers) != 1:
        names = ", ".join(container.name for container in pod.containers)
        raise pod.document.error(
            (*pod.path, "containers"),
            f"{len(pod.containers)} containers",
            f"name one with --container: {names}",
        )
    return pod.containers[0]


def the_pod(documents: list[Document], name: str) -> PodSpec:
    """The one PodSpec of a manifest. `name` is the file's, for messages."""
    found = pods(documents)
    if not found:
        kinds = ", ".join(TEMPLATES)
        raise InvalidInput(f"{name}: no Pod in it", f"kinds that have one: {kinds}, or a List of them")
    if len(found) > 1:
        which = ", ".join(f"{pod.kind}/{pod.name}" for pod in found[:5])
        raise InvalidInput(f"{name}: {len(found)} Pods in it ({which})", "give a file with one of them")
    return found[0]
