# SPDX-License-Identifier: Apache-2.0
"""PodSpec and Container as values: raw fields, None where unset, nothing defaulted.

Only what decides about a container's process, its files and its admission is here. Field names are those of
k8s.io/api core/v1 `types.go`, in Python's spelling. A list that is not set is empty: the API cannot tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kubernetes.document import Document, Path

ContainerKind: TypeAlias = Literal["container", "init", "sidecar", "ephemeral"]
"""A sidecar is an init container with `restartPolicy: Always`."""


@dataclass(frozen=True, slots=True)
class Sysctl:
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SeccompProfile:
    type: str | None
    localhost_profile: str | None = None


@dataclass(frozen=True, slots=True)
class AppArmorProfile:
    type: str | None
    localhost_profile: str | None = None


@dataclass(frozen=True, slots=True)
class SELinuxOptions:
    user: str | None = None
    role: str | None = None
    type: str | None = None
    level: str | None = None


@dataclass(frozen=True, slots=True)
class WindowsOptions:
    host_process: bool | None = None
    run_as_user_name: str | None = None
    gmsa_credential_spec: str | None = None
    gmsa_credential_spec_name: str | None = None


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
    fs_group_change_policy: str | None = None
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_options: SELinuxOptions | None = None
    se_linux_change_policy: str | None = None
    windows_options: WindowsOptions | None = None


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
    seccomp_profile: SeccompProfile | None = None
    app_armor_profile: AppArmorProfile | None = None
    se_linux_options: SELinuxOptions | None = None
    windows_options: WindowsOptions | None = None
    has_capabilities: bool = False
    """`capabilities` is set, if only to `{}`."""


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
class ContainerPort:
    container_port: int | None = None
    host_port: int | None = None
    protocol: str | None = None
    host_ip: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """What a probe or a lifecycle hook does."""

    field: str
    """livenessProbe, readinessProbe, startupProbe, lifecycle.postStart, lifecycle.preStop"""
    kind: str | None
    """exec, httpGet, tcpSocket, grpc, sleep; None for none."""
    host: str | None = None
    port: int | str | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """core/v1 Container, or EphemeralContainer."""

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
    kind: ContainerKind = "container"
    document: Document | None = field(default=None, repr=False, compare=False)
    tty: bool = False
    image_pull_policy: str | None = None
    restart_policy: str | None = None
    ports: tuple[ContainerPort, ...] = ()
    handlers: tuple[Handler, ...] = ()
    volume_devices: tuple[str, ...] = ()
    target_container_name: str | None = None
    """Of an ephemeral container: whose process namespace it joins."""


@dataclass(frozen=True, slots=True)
class Volume:
    name: str
    kind: str
    """The one key beside the name: emptyDir, configMap, ..."""
    host_path: str | None = None
    """Of a hostPath."""
    reference: str | None = None
    """Of an image volume."""


@dataclass(frozen=True, slots=True)
class PodSpec:
    """core/v1 PodSpec, with what of the object around it matters to its containers."""

    document: Document = field(repr=False, compare=False)
    path: Path
    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    """Sidecars among them, in order."""
    ephemeral_containers: tuple[Container, ...] = ()
    security_context: PodSecurityContext = PodSecurityContext()
    host_network: bool | None = None
    host_pid: bool | None = None
    host_ipc: bool | None = None
    host_users: bool | None = None
    hostname: str | None = None
    os: str | None = None
    volumes: tuple[Volume, ...] = ()
    api_version: str = ""
    """Of the object, as is `kind`: apps/v1"""
    object_path: Path = ()
    """Of the object in its document; the PodSpec is at `path`."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """The Pod's own, from the template: not those of the workload."""
    metadata_path: Path = ()
    """Where the Pod's own metadata is, or would be."""
    share_process_namespace: bool | None = None
    runtime_class_name: str | None = None
    service_account_name: str | None = None
    automount_service_account_token: bool | None = None
    restart_policy: str | None = None
    node_name: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)

    @property
    def every_container(self) -> tuple[Container, ...]:
        """In the order of Pod Security: init, then the containers, then ephemeral ones."""
        return (*self.init_containers, *self.containers, *self.ephemeral_containers)
