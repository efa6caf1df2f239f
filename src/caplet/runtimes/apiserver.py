# SPDX-License-Identifier: Apache-2.0
"""The API server: what it refuses of a Pod before any node hears of it.

Kubernetes 1.36.2, pkg/apis/core/validation/validation.go: ValidateSecurityContext, validatePodSpecSecurityContext,
validateHostUsers, validateWindows, validateLinux, validateSysctls, validateContainerPorts, validateSeccompProfileField;
pkg/api/pod/util.go dropDisabledFields. Messages are those of field.Error: the path, the kind of error, the value, the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kubernetes.document import dotted
from caplet.runtimes.kubelet import MAX_ID, NEWEST, PROC_MOUNT, USER_NAMESPACES
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.document import Path
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.kubernetes.podspec import SeccompProfile
    from caplet.runtimes.model import Version

NAME = "API server"

MAX_PORT = 65535
SECCOMP_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")

IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")
IPC_SYSCTL_NAMES = frozenset({"kernel.sem"})
"""component-helpers/node/util/sysctl GetNamespace; those of the network begin with `net.`."""


def refusals(pod: PodSpec, version: Version = NEWEST) -> Iterator[Refused]:
    """Everything that the API server has against the Pod; one of them is enough."""
    own_users = hosts_users_false(pod, version)
    yield from _operating_system(pod)
    yield from _pod_ids(pod)
    yield from _seccomp(
        (*pod.path, "securityContext", "seccompProfile"), pod.security_context.seccomp_profile
    )
    yield from _sysctls(pod)
    if own_users:
        yield from _beside_host_users(pod)
    for container in pod.every_container:
        yield from _container(container, version, own_users=own_users)


def hosts_users_false(pod: PodSpec, version: Version) -> bool:
    """Whether the Pod still asks for a user namespace of its own: without the feature gate the field is dropped in silence."""
    return pod.host_users is False and USER_NAMESPACES.at(version)


def _invalid(path: Path, value: str, detail: str) -> Refused:
    return Refused(NAME, f"{dotted(path)}: Invalid value: {value}: {detail}")


def _forbidden(path: Path, detail: str) -> Refused:
    return Refused(NAME, f"{dotted(path)}: Forbidden: {detail}")


def _required(path: Path, detail: str = "") -> Refused:
    return Refused(NAME, f"{dotted(path)}: Required value" + (f": {detail}" if detail else ""))


def _container(container: Container, version: Version, *, own_users: bool) -> Iterator[Refused]:
    """ValidateSecurityContext. Names of capabilities are not looked at, but for one, in one spelling."""
    own = container.security_context
    path = (*container.path, "securityContext")
    yield from _ports(container)
    yield from _seccomp((*path, "seccompProfile"), own.seccomp_profile)
    for field, number in (("runAsUser", own.run_as_user), ("runAsGroup", own.run_as_group)):
        yield from _id((*path, field), number)
    if own.proc_mount == "Unmasked" and PROC_MOUNT.at(version) and not own_users:
        yield _invalid((*path, "procMount"), '"Unmasked"', "`hostUsers` must be false to use `Unmasked`")
    if own.allow_privilege_escalation is not False:
        return
    if own.privileged:
        yield _invalid(
            path, "{...}", "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        )
    if "CAP_SYS_ADMIN" in own.add:
        yield _invalid(
            path,
            "{...}",
            "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
        )


def _ports(container: Container) -> Iterator[Refused]:
    """validateContainerPorts; 0 is a field that is not set."""
    for index, port in enumerate(container.ports):
        path = (*container.path, "ports", index)
        if not port.container_port:
            yield _required((*path, "containerPort"))
        for field, number in (("containerPort", port.container_port), ("hostPort", port.host_port)):
            if number and not 0 < number <= MAX_PORT:
                yield _invalid((*path, field), str(number), f"must be between 1 and {MAX_PORT}, inclusive")


def _seccomp(path: Path, profile: SeccompProfile | None) -> Iterator[Refused]:
    """By validateSeccompProfileField."""
    if profile is None:
        return
    if not profile.type:
        yield _required((*path, "type"), "type is required when seccompProfile is set")
    elif profile.type not in SECCOMP_TYPES:
        known = ", ".join(f'"{one}"' for one in SECCOMP_TYPES)
        yield Refused(
            NAME, f'{dotted((*path, "type"))}: Unsupported value: "{profile.type}": supported values: {known}'
        )
    if profile.type == "Localhost" and profile.localhost_profile is None:
        yield _required((*path, "localhostProfile"), "must be set when seccomp type is Localhost")


def _id(path: Path, number: int | None) -> Iterator[Refused]:
    if number is not None and not 0 <= number <= MAX_ID:
        yield _invalid(path, str(number), f"must be between 0 and {MAX_ID}, inclusive")


def _pod_ids(pod: PodSpec) -> Iterator[Refused]:
    whole = pod.security_context
    path = (*pod.path, "securityContext")
    for field, number in (
        ("fsGroup", whole.fs_group),
        ("runAsUser", whole.run_as_user),
        ("runAsGroup", whole.run_as_group),
    ):
        yield from _id((*path, field), number)
    for index, group in enumerate(whole.supplemental_groups):
        yield from _id((*path, "supplementalGroups", index), group)


def _sysctls(pod: PodSpec) -> Iterator[Refused]:
    """ValidateHostSysctl: a namespaced sysctl beside the host's namespace."""
    for index, sysctl in enumerate(pod.security_context.sysctls):
        path = (*pod.path, "securityContext", "sysctls", index, "name")
        if pod.host_network and sysctl.name.startswith("net."):
            yield _invalid(path, f'"{sysctl.name}"', "may not be specified when 'hostNetwork' is true")
        if pod.host_ipc and (sysctl.name.startswith(IPC_SYSCTLS) or sysctl.name in IPC_SYSCTL_NAMES):
            yield _invalid(path, f'"{sysctl.name}"', "may not be specified when 'hostIPC' is true")


def _beside_host_users(pod: PodSpec) -> Iterator[Refused]:
    """validateHostUsers; the paths are spelled as there."""
    why = "when `hostUsers` is false"
    for field, value in (
        ("hostNetwork", pod.host_network),
        ("HostPID", pod.host_pid),
        ("HostIPC", pod.host_ipc),
    ):
        if value:
            yield _forbidden((*pod.path, field), why)
    for container in pod.every_container:
        if container.volume_devices:
            yield _forbidden((*container.path, "volumeDevices"), why)


def _operating_system(pod: PodSpec) -> Iterator[Refused]:
    """validateWindows, validateLinux."""
    if pod.os == "windows":
        for path in _linux_fields(pod):
            yield _forbidden(path, "cannot be set for a windows pod")
    elif pod.os == "linux":
        for path in _windows_fields(pod):
            yield _forbidden(path, "windows options cannot be set for a linux pod")


def _windows_fields(pod: PodSpec) -> Iterator[Path]:
    if pod.security_context.windows_options is not None:
        yield (*pod.path, "securityContext", "windowsOptions")
    for container in pod.every_container:
        if container.security_context.windows_options is not None:
            yield (*container.path, "securityContext", "windowsOptions")


def _linux_fields(pod: PodSpec) -> Iterator[Path]:
    whole = pod.security_context
    yield from _given(
        (*pod.path, "securityContext"),
        appArmorProfile=whole.app_armor_profile,
        seLinuxOptions=whole.se_linux_options,
        seccompProfile=whole.seccomp_profile,
        fsGroup=whole.fs_group,
        fsGroupChangePolicy=whole.fs_group_change_policy,
        sysctls=whole.sysctls or None,
        runAsUser=whole.run_as_user,
        runAsGroup=whole.run_as_group,
        supplementalGroups=whole.supplemental_groups or None,
        supplementalGroupsPolicy=whole.supplemental_groups_policy,
        seLinuxChangePolicy=whole.se_linux_change_policy,
    )
    yield from _given(
        pod.path,
        hostUsers=pod.host_users,
        hostPID=pod.host_pid or None,
        hostIPC=pod.host_ipc or None,
        shareProcessNamespace=pod.share_process_namespace,
    )
    for container in pod.every_container:
        own = container.security_context
        yield from _given(
            (*container.path, "securityContext"),
            appArmorProfile=own.app_armor_profile,
            seLinuxOptions=own.se_linux_options,
            seccompProfile=own.seccomp_profile,
            capabilities=own.has_capabilities or None,
            readOnlyRootFilesystem=own.read_only_root_filesystem,
            privileged=own.privileged,
            allowPrivilegeEscalation=own.allow_privilege_escalation,
            procMount=own.proc_mount,
            runAsUser=own.run_as_user,
            runAsGroup=own.run_as_group,
        )


def _given(path: Path, **fields: object) -> Iterator[Path]:
    for name, value in fields.items():
        if value is not None:
            yield (*path, name)
