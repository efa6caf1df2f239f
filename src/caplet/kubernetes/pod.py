# SPDX-License-Identifier: Apache-2.0
"""The PodSpec of every object that has one: raw fields, None where unset, nothing defaulted.

Only what decides about a container's process is here. Field names are those of k8s.io/api core/v1 `types.go`, in
Python's spelling.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from caplet.errors import InvalidInput
from caplet.kubernetes.document import Document, Mapping, Sequence, dotted
from caplet.kubernetes.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterator

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

MAX_ID = (1 << 31) - 1
"""pkg/apis/core/validation: runAsUser and runAsGroup `must be between 0 and 2147483647, inclusive`."""

_POD_CONTEXT = frozenset(
    {
        "appArmorProfile", "fsGroup", "fsGroupChangePolicy", "runAsGroup", "runAsNonRoot", "runAsUser",
        "seLinuxChangePolicy", "seLinuxOptions", "seccompProfile", "supplementalGroups",
        "supplementalGroupsPolicy", "sysctls", "windowsOptions",
    }
)  # fmt: skip
_CONTAINER_CONTEXT = frozenset(
    {
        "allowPrivilegeEscalation", "appArmorProfile", "capabilities", "privileged", "procMount",
        "readOnlyRootFilesystem", "runAsGroup", "runAsNonRoot", "runAsUser", "seLinuxOptions",
        "seccompProfile", "windowsOptions",
    }
)  # fmt: skip
"""core/v1 of Kubernetes 1.36. A field of one level on the other, such as a Pod's `capabilities`, is unknown there."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class PodSecurityContext:
    """core/v1 PodSecurityContext."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str | None = None
    fs_group: int | None = None
    sysctls: tuple[Sysctl, ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerSecurityContext:
    """core/v1 SecurityContext."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    privileged: bool | None = None
    allow_privilege_escalation: bool | None = None
    read_only_root_filesystem: bool | None = None
    proc_mount: str | None = None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvVar:
    name: str
    value: str | None
    """None where it comes from elsewhere (`valueFrom`)."""


@dataclass(frozen=True, slots=True)
class VolumeMount:
    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


@dataclass(frozen=True, slots=True)
class Container:
    """core/v1 Container."""

    path: Path
    """In its document."""
    name: str
    image: str | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str | None = None
    env: tuple[EnvVar, ...] = ()
    env_from: bool = False
    volume_mounts: tuple[VolumeMount, ...] = ()
    stdin: bool = False
    security_context: ContainerSecurityContext = ContainerSecurityContext()


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    kind: str
    """The one key beside the name: emptyDir, configMap, ..."""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """core/v1 PodSpec, with what of the object around it matters to its containers."""

    document: Document
    path: Path
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    ephemeral_containers: tuple[Container, ...] = ()
    security_context: PodSecurityContext = PodSecurityContext()
    host_network: bool | None = None
    host_pid: bool | None = None
    host_ipc: bool | None = None
    host_users: bool | None = None
    hostname: str | None = None
    os: str | None = None
    volumes: tuple[Volume, ...] = ()

    @property
    def every_container(self) -> tuple[Container, ...]:
        """In the order of Pod Security: init, then the containers, then ephemeral ones."""
        return (*self.init_containers, *self.containers, *self.ephemeral_containers)


Object: TypeAlias = "tuple[Path, Mapping]"


def pod_specs(document: Document) -> Iterator[PodSpec]:
    """The PodSpecs of a document: of the object that it is, or of all in a List. Other kinds have none."""
    for path, value in _objects(document, (), document.data):
        top = Fields(document, path, value)
        kind = top.text("kind")
        if kind in TEMPLATES:
            yield _pod_spec(top, kind)


def _objects(document: Document, path: Path, value: object) -> Iterator[Object]:
    if not isinstance(value, Mapping):
        raise document.error(path, "not a Kubernetes object", "a manifest has apiVersion, kind and metadata")
    kind = value.get("kind")
    if not isinstance(kind, str) or not kind:
        raise document.error(path, "the object has no kind", "a manifest has apiVersion, kind and metadata")
    items = value.get("items")
    if kind.endswith("List") and isinstance(items, Sequence):
        for index, item in enumerate(items):
            yield from _objects(document, (*path, "items", index), item)
    else:
        yield path, value


def _pod_spec(top: Fields, kind: str) -> PodSpec:
    spec = top
    for step in TEMPLATES[kind]:
        inner = spec.object(str(step))
        if inner is None:
            missing = dotted(TEMPLATES[kind])
            raise top.error(None, f"this {kind} has no {missing}")
        spec = inner
    metadata = top.object("metadata")

    def meta(name: str) -> str:
        return (metadata.text(name) if metadata else None) or ""

    system = spec.object("os")
    return PodSpec(
        document=top.document,
        path=spec.path,
        kind=kind,
        name=meta("name"),
        namespace=meta("namespace"),
        uid=meta("uid"),
        containers=_containers(spec, "containers"),
        init_containers=_containers(spec, "initContainers"),
        ephemeral_containers=_containers(spec, "ephemeralContainers"),
        security_context=_pod_security_context(spec.object("securityContext")),
        host_network=spec.boolean("hostNetwork"),
        host_pid=spec.boolean("hostPID"),
        host_ipc=spec.boolean("hostIPC"),
        host_users=spec.boolean("hostUsers"),
        hostname=spec.text("hostname"),
        os=system.text("name") if system else None,
        volumes=tuple(_volume(fields) for fields in spec.objects("volumes")),
    )


def _containers(spec: Fields, name: str) -> tuple[Container, ...]:
    found = tuple(_container(fields) for fields in spec.objects(name))
    names = [container.name for container in found]
    for container in found:
        if names.count(container.name) > 1:
            raise spec.document.error(
                (*container.path, "name"), f"{container.name!r} is the name of two containers"
            )
    return found


def _container(fields: Fields) -> Container:
    name = fields.text("name")
    if not name:
        raise fields.error(None, "the container has no name")
    return Container(
        path=fields.path,
        name=name,
        image=fields.text("image"),
        command=fields.strings("command") or (),
        args=fields.strings("args") or (),
        working_dir=fields.text("workingDir"),
        env=tuple(_env(entry) for entry in fields.objects("env")),
        env_from=bool(fields.objects("envFrom")),
        volume_mounts=tuple(_volume_mount(entry) for entry in fields.objects("volumeMounts")),
        stdin=bool(fields.boolean("stdin")),
        security_context=_container_security_context(fields.object("securityContext")),
    )


def _env(fields: Fields) -> EnvVar:
    name = fields.text("name")
    if not name:
        raise fields.error(None, "the environment variable has no name")
    return EnvVar(name, None if fields.object("valueFrom") else fields.text("value") or "")


def _volume_mount(fields: Fields) -> VolumeMount:
    name, path = fields.text("name"), fields.text("mountPath")
    if not name or not path:
        raise fields.error(None, "a volume mount needs name and mountPath")
    return VolumeMount(name, path, bool(fields.boolean("readOnly")), fields.text("subPath") or "")


def _volume(fields: Fields) -> Volume:
    name = fields.text("name")
    if not name:
        raise fields.error(None, "the volume has no name")
    kinds = [key for key, value in fields.data.items() if key != "name" and value is not None]
    return Volume(name, kinds[0] if kinds else "emptyDir")


def _pod_security_context(fields: Fields | None) -> PodSecurityContext:
    if fields is None:
        return PodSecurityContext()
    fields.only(_POD_CONTEXT)
    return PodSecurityContext(
        run_as_user=_id(fields, "runAsUser"),
        run_as_group=_id(fields, "runAsGroup"),
        run_as_non_root=fields.boolean("runAsNonRoot"),
        supplemental_groups=fields.integers("supplementalGroups") or (),
        supplemental_groups_policy=_one_of(fields, "supplementalGroupsPolicy", ("Merge", "Strict")),
        fs_group=_id(fields, "fsGroup"),
        sysctls=tuple(_sysctl(entry) for entry in fields.objects("sysctls")),
    )


def _container_security_context(fields: Fields | None) -> ContainerSecurityContext:
    if fields is None:
        return ContainerSecurityContext()
    fields.only(_CONTAINER_CONTEXT)
    capabilities = fields.object("capabilities")
    if capabilities is not None:
        capabilities.only(("add", "drop"))
    return ContainerSecurityContext(
        run_as_user=_id(fields, "runAsUser"),
        run_as_group=_id(fields, "runAsGroup"),
        run_as_non_root=fields.boolean("runAsNonRoot"),
        privileged=fields.boolean("privileged"),
        allow_privilege_escalation=fields.boolean("allowPrivilegeEscalation"),
        read_only_root_filesystem=fields.boolean("readOnlyRootFilesystem"),
        proc_mount=_one_of(fields, "procMount", ("Default", "Unmasked")),
        add=(capabilities.strings("add") if capabilities else None) or (),
        drop=(capabilities.strings("drop") if capabilities else None) or (),
    )


def _sysctl(fields: Fields) -> Sysctl:
    name, value = fields.text("name"), fields.text("value")
    if not name:
        raise fields.error(None, "the sysctl has no name")
    if value is None:
        raise fields.error(None, f"the sysctl {name} has no value")
    return Sysctl(name.replace("/", "."), value)


def _id(fields: Fields, name: str) -> int | None:
    value = fields.integer(name)
    if value is not None and not 0 <= value <= MAX_ID:
        raise fields.error(name, f"must be between 0 and {MAX_ID}, inclusive, not {value}")
    return value


def _one_of(fields: Fields, name: str, values: tuple[str, ...]) -> str | None:
    value = fields.text(name)
    if value is not None and value not in values:
        raise fields.error(name, f"{value!r} is not one of {', '.join(values)}")
    return value


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
            f"{len(pod.containers) or 'no'} containers",
            f"name one with --container: {names}" if names else "",
        )
    return pod.containers[0]


def the_pod(documents: list[Document], name: str) -> PodSpec:
    """The one PodSpec of a manifest. `name` is the file's, for messages."""
    found = [pod for document in documents for pod in pod_specs(document)]
    if not found:
        kinds = ", ".join(TEMPLATES)
        raise InvalidInput(f"{name}: no Pod in it", f"kinds that have one: {kinds}, or a List of them")
    if len(found) > 1:
        which = ", ".join(f"{pod.kind}/{pod.name}" for pod in found[:5])
        raise InvalidInput(f"{name}: {len(found)} Pods in it ({which})", "give a file with one of them")
    return found[0]
