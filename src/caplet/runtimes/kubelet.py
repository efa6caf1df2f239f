# SPDX-License-Identifier: Apache-2.0
"""The kubelet: what it asks of the engine for a container, or why it refuses.

Kubernetes 1.36.2, texts the same back to 1.25: pkg/securitycontext/util.go, pkg/kubelet/kuberuntime/
security_context.go, security_context_others.go, helpers.go, third_party/forked/golang/expansion/expand.go.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caplet.image.wrappers.model import ANY, Unsure
from caplet.runtimes.model import Refused, SecurityContext, Since, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.kubernetes.podspec import PodSecurityContext
    from caplet.runtimes.model import Seccomp

RELEASES = tuple(Version(1, minor) for minor in range(19, 38))
NEWEST = RELEASES[-1]
"""Kubernetes 1.37: not yet released when its code was read (kubernetes 1.37.0-alpha.2)."""

USER_NAMESPACES = Since(((Version(1), False), (Version(1, 33), True)))
"""Feature gate UserNamespacesSupport: alpha 1.25 (of another name until 1.27), beta and off 1.30, beta and on 1.33, locked 1.36.
Where it is off, `hostUsers` is dropped in silence. pkg/features/kube_features.go."""

PROC_MOUNT = Since(((Version(1), False), (Version(1, 33), True)))
"""Feature gate ProcMountType: alpha 1.12, beta and off 1.31, beta and on 1.33, locked 1.36. Where it is off, `procMount` is Default."""

NO_USER_NAMESPACES = "can't set `spec.hostUsers: false`, runtime does not support user namespaces"
"""pkg/kubelet/userns/userns_manager.go GetOrCreateUserNamespaceMappings; the Pod's sandbox is not created."""

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""pkg/securitycontext/util.go defaultMaskedPaths (the per-CPU thermal_throttle ones left out), defaultReadonlyPaths."""

_SAFE = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
    }
)
_SAFE_1_22 = _SAFE | {"net.ipv4.ip_unprivileged_port_start"}
_SAFE_1_27 = _SAFE_1_22 | {"net.ipv4.ip_local_reserved_ports"}
_SAFE_1_29 = _SAFE_1_27 | {
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_fin_timeout",
}
_SAFE_1_32 = _SAFE_1_29 | {"net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}

SAFE_SYSCTLS = Since(
    (
        (Version(1), _SAFE),
        (Version(1, 22), _SAFE_1_22),
        (Version(1, 27), _SAFE_1_27),
        (Version(1, 29), _SAFE_1_29),
        (Version(1, 32), _SAFE_1_32),
    )
)
"""pkg/kubelet/sysctl/safe_sysctls.go; all others need the kubelet's --allowed-unsafe-sysctls."""

MAX_ID = (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class ImageUser:
    """CRI ImageStatus uid and username: exactly one is set. helpers.go getImageUser, containerd getUserFromImage."""

    uid: int | None
    username: str = ""

    @classmethod
    def of(cls, user: str) -> ImageUser:
        """The image's USER: the group behind the colon is lost here (kubernetes#61967)."""
        name = user.split(":", 1)[0]
        if not name:
            return cls(0)
        return cls(int(name)) if re.fullmatch(r"[-+]?\d{1,18}", name, re.ASCII) else cls(None, name)


def security_context(
    pod: PodSpec, container: Container, image_user: str, version: Version = NEWEST
) -> SecurityContext | Refused:
    """determineEffectiveSecurityContext: the container's fields win over the Pod's."""
    own, whole = container.security_context, pod.security_context
    user = ImageUser.of(image_user)
    run_as_user = first(own.run_as_user, whole.run_as_user)
    refused = _refused(pod, version) or (
        _verify_run_as_non_root(pod, container, user)
        if first(own.run_as_non_root, whole.run_as_non_root)
        else None
    )
    if refused is not None:
        return refused
    unmasked = own.proc_mount == "Unmasked" and PROC_MOUNT.at(version)
    return SecurityContext(
        add_capabilities=own.add,
        drop_capabilities=own.drop,
        privileged=bool(own.privileged),
        run_as_user=user.uid if run_as_user is None else run_as_user,
        run_as_username=user.username if run_as_user is None else "",
        run_as_group=first(own.run_as_group, whole.run_as_group),
        supplemental_groups=supplemental_groups(whole),
        supplemental_groups_policy=_policy(whole.supplemental_groups_policy),
        no_new_privs=own.allow_privilege_escalation is False,
        user_ns=pod.host_users is False and USER_NAMESPACES.at(version),
        seccomp=seccomp(pod, container),
        readonly_rootfs=bool(own.read_only_root_filesystem),
        masked_paths=() if unmasked else MASKED_PATHS,
        readonly_paths=() if unmasked else READONLY_PATHS,
    )


def supplemental_groups(whole: PodSecurityContext) -> tuple[int, ...]:
    """The Pod's fsGroup and supplementalGroups: pkg/kubelet/kuberuntime/security_context.go."""
    return (*(() if whole.fs_group is None else (whole.fs_group,)), *whole.supplemental_groups)


def seccomp(pod: PodSpec, container: Container, *, default: Seccomp = "Unconfined") -> Seccomp:
    """The container's profile, else the Pod's, else `default`: the kubelet's is none unless it runs with --seccomp-default.

    pkg/kubelet/kuberuntime/helpers.go getSeccompProfile.
    """
    own, whole = container.security_context.seccomp_profile, pod.security_context.seccomp_profile
    profile = own if own is not None else whole
    if profile is None:
        return default
    match profile.type:
        case "RuntimeDefault" | "Localhost":
            return profile.type
        case _:
            return "Unconfined"


def sysctls(pod: PodSpec) -> dict[str, str]:
    return {sysctl.name: sysctl.value for sysctl in pod.security_context.sysctls}


def first(own: int | None, whole: int | None) -> int | None:
    return whole if own is None else own


def _policy(policy: str | None) -> Literal["Merge", "Strict"]:
    return "Strict" if policy == "Strict" else "Merge"


def _refused(pod: PodSpec, version: Version) -> Refused | None:
    """The kubelet's admission: pkg/kubelet/lifecycle/predicate.go, pkg/kubelet/sysctl/allowlist.go."""
    if pod.os not in {None, "linux"}:
        return Refused(
            "kubelet", "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS"
        )
    for sysctl in pod.security_context.sysctls:
        if sysctl.name not in SAFE_SYSCTLS.at(version):
            return Refused("kubelet", f'SysctlForbidden: forbidden sysctl: "{sysctl.name}" not allowlisted')
        if pod.host_network and sysctl.name.startswith("net."):
            return Refused(
                "kubelet",
                f'SysctlForbidden: forbidden sysctl: "{sysctl.name}" not allowed with host net enabled',
            )
    return None


def _verify_run_as_non_root(pod: PodSpec, container: Container, user: ImageUser) -> Refused | None:
    """security_context_others.go verifyRunAsNonRoot; the container waits with CreateContainerConfigError."""
    name = f"{pod.name}_{pod.namespace or 'default'}({pod.uid})"
    place = f"(pod: {json.dumps(name)}, container: {container.name})"
    run_as_user = first(container.security_context.run_as_user, pod.security_context.run_as_user)
    if run_as_user is not None:
        if run_as_user == 0:
            return Refused("kubelet", f"container's runAsUser breaks non-root policy {place}")
        return None
    if user.uid is None:
        return Refused(
            "kubelet",
            f"container has runAsNonRoot and image has non-numeric user ({user.username}), "
            f"cannot verify user is non-root {place}",
        )
    if user.uid == 0:
        return Refused("kubelet", f"container has runAsNonRoot and image will run as root {place}")
    if not 0 < user.uid <= MAX_ID:
        return Refused(
            "kubelet",
            f"container has runAsNonRoot and image has an invalid user id ({user.uid}). "
            f"(Must be 1-({MAX_ID})): {place}",
        )
    return None


def expand(text: str, variables: Mapping[str, str], elsewhere: Collection[str] = ()) -> str:
    """`$(NAME)` in command, args and env: its value, or itself where the name is unknown. `$$` is `$`.

    Where a name is of `elsewhere`, or ANY is and the name is not set, the text is `Unsure`.
    """
    unsure = False

    def value(match: re.Match[str]) -> str:
        nonlocal unsure
        if match[0] == "$$":
            return "$"
        found = variables.get(match[1])
        unsure |= isinstance(found, Unsure) or (found is None and not {match[1], ANY}.isdisjoint(elsewhere))
        return match[0] if found is None else found

    expanded = re.sub(r"\$\$|\$\(([^)]*)\)", value, text)
    return Unsure(expanded) if unsure else expanded


def environment(container: Container) -> tuple[dict[str, str], tuple[str, ...]]:
    """The container's own variables, each expanded by those before it; and the names whose value comes from elsewhere."""
    values: dict[str, str] = {}
    elsewhere = []
    others = (ANY,) if container.env_from else ()
    for variable in container.env:
        if variable.value is None:
            elsewhere.append(variable.name)
        else:
            values[variable.name] = expand(variable.value, values, (*elsewhere, *others))
    return values, tuple(elsewhere)


def command(container: Container) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The container's command and args, expanded (ExpandContainerCommandAndArgs)."""
    variables, names = environment(container)
    elsewhere = (*names, ANY) if container.env_from else names
    return (
        tuple(expand(word, variables, elsewhere) for word in container.command),
        tuple(expand(word, variables, elsewhere) for word in container.args),
    )
