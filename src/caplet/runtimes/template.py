# SPDX-License-Identifier: Apache-2.0
"""The part of config.json that every engine fills alike: arguments, environment, directory, host name, file systems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from caplet.image.program import image_argv
from caplet.kernel.namespaces import IdMap
from caplet.runtimes import kubelet
from caplet.runtimes.model import LinuxCapabilities, Mount, PodUserNamespace, Process, Spec, User

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import SecurityContext

PORT_START = "net.ipv4.ip_unprivileged_port_start"
PING_GROUP_RANGE = "net.ipv4.ping_group_range"

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""containerd pkg/oci/spec_opts.go defaultUnixEnv; moby daemon/pkg/oci DefaultPathEnv; Podman's containers.conf `env`."""

DEFAULT_MOUNTS = (
    Mount("/proc", "proc", "proc", ("nosuid", "noexec", "nodev")),
    Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
    Mount(
        "/dev/pts",
        "devpts",
        "devpts",
        ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    Mount("/dev/mqueue", "mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    Mount("/sys", "sysfs", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    Mount("/dev/shm", "tmpfs", "shm", ("nosuid", "noexec", "nodev", "mode=1777", "size=65536k")),  # noqa: S108
)
"""containerd pkg/oci/mounts.go defaultMounts, without /run (WithoutRunMount) and without cgroups. moby
daemon/pkg/oci/defaults.go and runtime-tools generate.New have the same places, types, nosuid and noexec."""


def pod_user_namespace(
    request: SecurityContext, rootfs: Literal["idmapped", "chowned"] | None
) -> PodUserNamespace | None:
    """The namespace that is asked for, where the engine gives one.

    The ids are those that the kubelet gives the first Pod of a node: pkg/kubelet/userns/userns_manager.go, 65536 each.
    """
    if not request.user_ns or rootfs is None:
        return None
    return PodUserNamespace(IdMap.of((0, 65536, 65536)), rootfs)


def environment(image: Sequence[str], container: Mapping[str, str], hostname: str) -> tuple[str, ...]:
    """PATH's default, HOSTNAME, the image's, the container's; a later value takes the place of an earlier one.

    containerd pkg/oci/spec_opts.go WithEnv, replaceOrAppendEnvValues.
    """
    values: dict[str, str] = {}
    for item in (DEFAULT_PATH, f"HOSTNAME={hostname}", *image):
        name, equals, value = item.partition("=")
        if equals:
            values[name] = value
        else:
            values.pop(name, None)
    values |= container
    return tuple(f"{name}={value}" for name, value in values.items())


def fill(
    pod: PodSpec,
    container: Container,
    request: SecurityContext,
    image: ImageConfig,
    *,
    user: User,
    capabilities: LinuxCapabilities,
    sysctl: Mapping[str, str],
    user_ns: PodUserNamespace | None = None,
    mounts: tuple[Mount, ...] = DEFAULT_MOUNTS,
) -> Spec:
    """The whole of it around what engines differ in."""
    own, _ = kubelet.environment(container)
    hostname = pod.hostname or pod.name[:63].rstrip(".-")
    host_network = bool(pod.host_network)
    return Spec(
        process=Process(
            args=image_argv(image, *kubelet.command(container)),
            user=user,
            capabilities=capabilities,
            no_new_privileges=request.no_new_privs,
            env=environment(image.env, own, hostname),
            cwd=container.working_dir or image.working_dir or "/",
        ),
        readonly_rootfs=request.readonly_rootfs,
        hostname="" if host_network else hostname,
        host_network=host_network,
        sysctl=sysctl,
        mounts=mounts,
        masked_paths=() if request.privileged else request.masked_paths,
        readonly_paths=() if request.privileged else request.readonly_paths,
        user_ns=user_ns,
        # A privileged container has no filter, whatever it asks for: containerd container_create_linux.go
        # generateSeccompSpecOpts, CRI-O SpecSetPrivileges, moby seccomp_linux.go WithSeccomp, Podman security_linux.go.
        seccomp="Unconfined" if request.privileged else request.seccomp,
    )
