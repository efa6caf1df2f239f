# SPDX-License-Identifier: Apache-2.0
"""containerd's CRI plugin: what it makes of the kubelet's request, as an OCI runtime's config.json.

containerd/containerd 301026e (2026-08) unless a row says otherwise; `internal/cri` was `pkg/cri` in 1.7 and before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from caplet.errors import InvalidInput
from caplet.image.program import image_argv
from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import kubelet
from caplet.runtimes.model import LinuxCapabilities, Mount, Process, Since, Spec, User, Version, oci_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import SecurityContext


class ImageAccount(Protocol):
    """A user as the image's own /etc/passwd and /etc/group have it (`caplet.image.passwd.User`)."""

    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def groups(self) -> tuple[int, ...]: ...


KNOWN_VERSIONS = (Version(1, 6), Version(1, 7), Version(2, 0), Version(2, 1), Version(2, 2), Version(2, 3))
NEWEST = KNOWN_VERSIONS[-1]

DEFAULT_CAPS = Caps.of(
    Cap.CHOWN,
    Cap.DAC_OVERRIDE,
    Cap.FSETID,
    Cap.FOWNER,
    Cap.MKNOD,
    Cap.NET_RAW,
    Cap.SETGID,
    Cap.SETUID,
    Cap.SETFCAP,
    Cap.SETPCAP,
    Cap.NET_BIND_SERVICE,
    Cap.SYS_CHROOT,
    Cap.KILL,
    Cap.AUDIT_WRITE,
)
"""pkg/oci/spec.go defaultUnixCaps: the same 14 in every version since 1.4."""

UNPRIVILEGED_PORTS = Since(((Version(1), False), (Version(2), True)))
"""The default of enable_unprivileged_ports and enable_unprivileged_icmp; true since 2.0.0-beta.1 (commit 7b9fcfd7c).
internal/cri/config/config_unix.go DefaultRuntimeConfig."""

PORT_START = "net.ipv4.ip_unprivileged_port_start"
PING_GROUP_RANGE = "net.ipv4.ping_group_range"

DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""pkg/oci/spec_opts.go defaultUnixEnv."""

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
"""pkg/oci/mounts.go defaultMounts, without /run (WithoutRunMount) and without cgroups."""


def capabilities(sc: SecurityContext, every: Caps) -> LinuxCapabilities:
    """internal/cri/opts/spec_opts.go WithCapabilities, then WithoutAmbientCaps. `every`: what containerd itself has.

    Whatever the user: B = P = E, nothing inheritable (since 1.5.11, 1.6.2: CVE-2022-24769), nothing ambient.
    """
    if sc.privileged:
        return LinuxCapabilities.granted(oci_names(every))
    names = list(oci_names(DEFAULT_CAPS))
    if _names_all(sc.add_capabilities):
        names = list(oci_names(every))
    if _names_all(sc.drop_capabilities):
        names = []
    names += [name for name in _prefixed(sc.add_capabilities) if name not in names]
    dropped = set(_prefixed(sc.drop_capabilities))
    return LinuxCapabilities.granted(name for name in names if name not in dropped)


def sysctls(pod: dict[str, str], version: Version, *, host_network: bool) -> dict[str, str]:
    """What the sandbox gets: the Pod's own, and the ports and ICMP that need no privilege where that is the default.

    internal/cri/server/podsandbox/sandbox_run_linux.go sandboxContainerSpec.
    """
    if host_network or not UNPRIVILEGED_PORTS.at(version):
        return pod
    return {PORT_START: "0", PING_GROUP_RANGE: "0 2147483647"} | pod


def _names_all(names: tuple[str, ...]) -> bool:
    return any(name.upper() == "ALL" for name in names)


def _prefixed(names: tuple[str, ...]) -> list[str]:
    """`CAP_` and the upper-cased name, also where it has that prefix already: CAP_CAP_NET_RAW, which nobody knows."""
    return list(dict.fromkeys("CAP_" + name.upper() for name in names if name.upper() != "ALL"))


def user_string(sc: SecurityContext, image_user: str) -> str:
    """internal/cri/util GenerateUserString: what oci.WithUser looks up in the container's /etc/passwd.

    Raises InvalidInput where containerd refuses: a group without a user.
    """
    user = sc.run_as_username or ("" if sc.run_as_user is None else str(sc.run_as_user))
    if not user:
        if sc.run_as_group is not None:
            raise InvalidInput(f'user group "{sc.run_as_group}" is specified without user')
        return image_user
    return user if sc.run_as_group is None else f"{user}:{sc.run_as_group}"


def additional_gids(sc: SecurityContext, user: ImageAccount) -> tuple[int, ...]:
    """The groups that /etc/group names for the user, the primary one among them, and those of the request, sorted.

    internal/cri/server/container_create_linux.go containerSpecOpts, internal/cri/opts mergeGids. With the policy
    Strict the image's groups are left out, not the primary one (pkg/oci ensureAdditionalGids).
    """
    own = user.groups if sc.supplemental_groups_policy == "Merge" else (user.gid,)
    return tuple(sorted({*own, *sc.supplemental_groups}))


def environment(image: Sequence[str], container: Mapping[str, str], hostname: str) -> tuple[str, ...]:
    """PATH's default, HOSTNAME, the image's, the container's; a later value takes the place of an earlier one.

    pkg/oci/spec_opts.go WithEnv, replaceOrAppendEnvValues.
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


def spec(
    pod: PodSpec,
    container: Container,
    request: SecurityContext,
    image: ImageConfig,
    account: ImageAccount,
    *,
    version: Version = NEWEST,
    every: Caps,
) -> Spec:
    """config.json of the container: internal/cri/server/container_create.go buildLinuxSpec.

    `account`: what `user_string()` is in the image; `every`: the capabilities that containerd itself has.
    """
    own, _ = kubelet.environment(container)
    hostname = pod.hostname or pod.name[:63].rstrip(".-")
    host_network = bool(pod.host_network)
    return Spec(
        process=Process(
            args=image_argv(image, *kubelet.command(container)),
            user=User(account.uid, account.gid, additional_gids(request, account)),
            capabilities=capabilities(request, every),
            no_new_privileges=request.no_new_privs,
            env=environment(image.env, own, hostname),
            cwd=container.working_dir or image.working_dir or "/",
        ),
        readonly_rootfs=request.readonly_rootfs,
        hostname="" if host_network else hostname,
        host_network=host_network,
        sysctl=sysctls(kubelet.sysctls(pod), version, host_network=host_network),
        mounts=DEFAULT_MOUNTS,
        masked_paths=() if request.privileged else request.masked_paths,
        readonly_paths=() if request.privileged else request.readonly_paths,
    )
