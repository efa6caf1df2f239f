# SPDX-License-Identifier: Apache-2.0
"""The fields of a PodSpec as values. Their types were checked by `schema`; what is said here is the API's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kubernetes.podspec import (
    AppArmorProfile,
    Container,
    ContainerPort,
    ContainerSecurityContext,
    EnvVar,
    Handler,
    PodSecurityContext,
    SeccompProfile,
    SELinuxOptions,
    Sysctl,
    Volume,
    VolumeMount,
    WindowsOptions,
)

if TYPE_CHECKING:
    from caplet.kubernetes.fields import Fields
    from caplet.kubernetes.podspec import ContainerKind

HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")


def containers(spec: Fields, name: str, kind: ContainerKind, *, named: bool) -> tuple[Container, ...]:
    """The containers of one list. `named`: each must have a name, which a Knative Service does not ask for."""
    return tuple(container(fields, kind, named=named) for fields in spec.objects(name))


def container(fields: Fields, kind: ContainerKind, *, named: bool = True) -> Container:
    name = fields.text("name") or ""
    if named and not name:
        raise fields.error(None, "the container has no name")
    restart = fields.text("restartPolicy")
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
        kind="sidecar" if kind == "init" and restart == "Always" else kind,
        document=fields.document,
        tty=bool(fields.boolean("tty")),
        image_pull_policy=fields.text("imagePullPolicy"),
        restart_policy=restart,
        ports=tuple(_port(entry) for entry in fields.objects("ports")),
        handlers=_handlers(fields),
        volume_devices=tuple(entry.text("name") or "" for entry in fields.objects("volumeDevices")),
        target_container_name=fields.text("targetContainerName"),
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


def _port(fields: Fields) -> ContainerPort:
    return ContainerPort(
        container_port=fields.integer("containerPort"),
        host_port=fields.integer("hostPort"),
        protocol=fields.text("protocol"),
        host_ip=fields.text("hostIP"),
        name=fields.text("name"),
    )


def _handlers(fields: Fields) -> tuple[Handler, ...]:
    found = [(name, fields.object(name)) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    lifecycle = fields.object("lifecycle")
    if lifecycle is not None:
        found += [(f"lifecycle.{name}", lifecycle.object(name)) for name in ("postStart", "preStop")]
    return tuple(_handler(name, handler) for name, handler in found if handler is not None)


def _handler(name: str, fields: Fields) -> Handler:
    for kind in HANDLERS:
        action = fields.object(kind)
        if action is not None:
            port = action.data.get("port")
            return Handler(
                field=name,
                kind=kind,
                host=action.text("host"),
                port=port if isinstance(port, int | str) else None,
                command=action.strings("command") or (),
            )
    return Handler(name, None)


def volume(fields: Fields) -> Volume:
    name = fields.text("name")
    if not name:
        raise fields.error(None, "the volume has no name")
    kinds = [key for key, value in fields.data.items() if key != "name" and value is not None]
    kind = kinds[0] if kinds else "emptyDir"
    host = fields.object("hostPath") if kind == "hostPath" else None
    image = fields.object("image") if kind == "image" else None
    return Volume(
        name=name,
        kind=kind,
        host_path=host.text("path") if host else None,
        reference=image.text("reference") if image else None,
    )


def pod_security_context(fields: Fields | None) -> PodSecurityContext:
    if fields is None:
        return PodSecurityContext()
    return PodSecurityContext(
        run_as_user=fields.integer("runAsUser"),
        run_as_group=fields.integer("runAsGroup"),
        run_as_non_root=fields.boolean("runAsNonRoot"),
        supplemental_groups=fields.integers("supplementalGroups") or (),
        supplemental_groups_policy=_one_of(fields, "supplementalGroupsPolicy", ("Merge", "Strict")),
        fs_group=fields.integer("fsGroup"),
        sysctls=tuple(_sysctl(entry) for entry in fields.objects("sysctls")),
        fs_group_change_policy=_one_of(fields, "fsGroupChangePolicy", ("Always", "OnRootMismatch")),
        seccomp_profile=_seccomp(fields.object("seccompProfile")),
        app_armor_profile=_app_armor(fields.object("appArmorProfile")),
        se_linux_options=_se_linux(fields.object("seLinuxOptions")),
        se_linux_change_policy=fields.text("seLinuxChangePolicy"),
        windows_options=_windows(fields.object("windowsOptions")),
    )


def _container_security_context(fields: Fields | None) -> ContainerSecurityContext:
    if fields is None:
        return ContainerSecurityContext()
    capabilities = fields.object("capabilities")
    return ContainerSecurityContext(
        run_as_user=fields.integer("runAsUser"),
        run_as_group=fields.integer("runAsGroup"),
        run_as_non_root=fields.boolean("runAsNonRoot"),
        privileged=fields.boolean("privileged"),
        allow_privilege_escalation=fields.boolean("allowPrivilegeEscalation"),
        read_only_root_filesystem=fields.boolean("readOnlyRootFilesystem"),
        proc_mount=_one_of(fields, "procMount", ("Default", "Unmasked")),
        add=(capabilities.strings("add") if capabilities else None) or (),
        drop=(capabilities.strings("drop") if capabilities else None) or (),
        seccomp_profile=_seccomp(fields.object("seccompProfile")),
        app_armor_profile=_app_armor(fields.object("appArmorProfile")),
        se_linux_options=_se_linux(fields.object("seLinuxOptions")),
        windows_options=_windows(fields.object("windowsOptions")),
        has_capabilities=capabilities is not None,
    )


def _seccomp(fields: Fields | None) -> SeccompProfile | None:
    if fields is None:
        return None
    return SeccompProfile(fields.text("type"), fields.text("localhostProfile"))


def _app_armor(fields: Fields | None) -> AppArmorProfile | None:
    if fields is None:
        return None
    return AppArmorProfile(fields.text("type"), fields.text("localhostProfile"))


def _se_linux(fields: Fields | None) -> SELinuxOptions | None:
    if fields is None:
        return None
    return SELinuxOptions(
        user=fields.text("user"),
        role=fields.text("role"),
        type=fields.text("type"),
        level=fields.text("level"),
    )


def _windows(fields: Fields | None) -> WindowsOptions | None:
    if fields is None:
        return None
    return WindowsOptions(
        host_process=fields.boolean("hostProcess"),
        run_as_user_name=fields.text("runAsUserName"),
        gmsa_credential_spec=fields.text("gmsaCredentialSpec"),
        gmsa_credential_spec_name=fields.text("gmsaCredentialSpecName"),
    )


def _sysctl(fields: Fields) -> Sysctl:
    name, value = fields.text("name"), fields.text("value")
    if not name:
        raise fields.error(None, "the sysctl has no name")
    if value is None:
        raise fields.error(None, f"the sysctl {name} has no value")
    return Sysctl(name.replace("/", "."), value)


def _one_of(fields: Fields, name: str, values: tuple[str, ...]) -> str | None:
    value = fields.text(name)
    if value is not None and value not in values:
        raise fields.error(name, f"{value!r} is not one of {', '.join(values)}")
    return value
