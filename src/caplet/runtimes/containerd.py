# SPDX-License-Identifier: Apache-2.0
"""containerd's CRI plugin: what it makes of the kubelet's request, as an OCI runtime's config.json.

containerd/containerd 301026e (2026-08) unless a row says otherwise; `internal/cri` was `pkg/cri` in 1.7 and before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import kubelet
from caplet.runtimes.engine import Engine
from caplet.runtimes.model import LinuxCapabilities, Refused, Since, User, Version, oci_names
from caplet.runtimes.template import PING_GROUP_RANGE, PORT_START, fill, pod_user_namespace

if TYPE_CHECKING:
    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import ImageAccount
    from caplet.runtimes.model import SecurityContext, Spec

RELEASES = (
    Version(1, 4, 13),
    Version(1, 5, 18),
    Version(1, 6, 39),
    Version(1, 7, 34),
    Version(2, 0, 10),
    Version(2, 1, 9),
    Version(2, 2, 7),
    Version(2, 3, 4),
    Version(2, 4, 0),
)
"""The last release of each line by August 2026; of 2.4, the code of v2.4.0-beta.0."""

NEWEST = RELEASES[-1]

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

INHERITABLE = Since(
    (
        (Version(1), True),
        (Version(1, 5, 11), False),
        (Version(1, 6, 0), True),
        (Version(1, 6, 2), False),
    )
)
"""Whether what is granted is inheritable too, for which `+i` files gave it to anyone: GHSA-c9cp-9c75-9v8c
(CVE-2022-24769). pkg/oci/spec_opts.go WithCapabilities."""

LAST_CAP = Since(((Version(1), Cap.AUDIT_READ), (Version(1, 5), max(Cap))))
"""The last capability of ALL and of privileged: 1.4 has gocapability's list of before Linux 5.8 (oci/spec_opts.go
GetAllCapabilities), 1.5 reads /proc/self/status (pkg/cap Current)."""

USER_NAMESPACES = Since(((Version(1), False), (Version(2), True)))
"""Whether the kubelet is told of them: internal/cri/server/service.go introspectRuntimeHandler. The rest: 1.6 ignores the request
of the CRI, 1.7 gives a copy of the root file system to the namespace's users, 2.0 mounts it with their ids (measured with 1.6.20,
1.7.24 and 2.1.9)."""

ROOTFS: Since[Literal["idmapped", "chowned"] | None] = Since(
    ((Version(1), None), (Version(1, 7), "chowned"), (Version(2), "idmapped"))
)

RUNTIMES = Since(
    (
        (Version(1, 4), ("runc", Version(1, 0, 0, 92))),
        (Version(1, 4, 5), ("runc", Version(1, 0, 0, 94))),
        (Version(1, 4, 7), ("runc", Version(1, 0, 0))),
        (Version(1, 4, 13), ("runc", Version(1, 0, 3))),
        (Version(1, 5, 0), ("runc", Version(1, 0, 0, 93))),
        (Version(1, 5, 1), ("runc", Version(1, 0, 0, 94))),
        (Version(1, 5, 3), ("runc", Version(1, 0, 0))),
        (Version(1, 5, 9), ("runc", Version(1, 0, 3))),
        (Version(1, 5, 12), ("runc", Version(1, 1, 2))),
        (Version(1, 5, 14), ("runc", Version(1, 1, 4))),
        (Version(1, 6, 0), ("runc", Version(1, 1, 0))),
        (Version(1, 6, 5), ("runc", Version(1, 1, 2))),
        (Version(1, 6, 20), ("runc", Version(1, 1, 5))),
        (Version(1, 6, 28), ("runc", Version(1, 1, 12))),
        (Version(1, 6, 37), ("runc", Version(1, 2, 5))),
        (Version(1, 6, 39), ("runc", Version(1, 3, 0))),
        (Version(1, 7, 0), ("runc", Version(1, 1, 4))),
        (Version(1, 7, 13), ("runc", Version(1, 1, 12))),
        (Version(1, 7, 24), ("runc", Version(1, 2, 2))),
        (Version(1, 7, 28), ("runc", Version(1, 3, 0))),
        (Version(1, 7, 33), ("runc", Version(1, 3, 6))),
        (Version(2, 0, 0), ("runc", Version(1, 2, 1))),
        (Version(2, 0, 6), ("runc", Version(1, 3, 0))),
        (Version(2, 0, 10), ("runc", Version(1, 3, 6))),
        (Version(2, 1, 0), ("runc", Version(1, 3, 0))),
        (Version(2, 1, 9), ("runc", Version(1, 3, 6))),
        (Version(2, 2, 0), ("runc", Version(1, 3, 3))),
        (Version(2, 2, 5), ("runc", Version(1, 3, 6))),
        (Version(2, 3, 0), ("runc", Version(1, 4, 2))),
        (Version(2, 4, 0), ("runc", Version(1, 5, 1))),
    )
)
"""script/setup/runc-version of each tag, which the release is tested with; 1.4: vendor.conf."""

KUBERNETES = Since(
    (
        (Version(1, 4), Version(1, 25)),
        (Version(1, 6), Version(1, 32)),
        (Version(1, 6, 39), Version(1, 34)),
        (Version(1, 7), Version(1, 32)),
        (Version(1, 7, 28), Version(1, 35)),
        (Version(2, 0), Version(1, 33)),
        (Version(2, 0, 6), Version(1, 34)),
        (Version(2, 1), Version(1, 33)),
        (Version(2, 1, 3), Version(1, 34)),
        (Version(2, 1, 5), Version(1, 35)),
        (Version(2, 2), Version(1, 36)),
    )
)
"""RELEASES.md "Kubernetes Support" (commit 301026e). Kubernetes 1.25 is the last that speaks CRI v1alpha2, as 1.4 does."""


def capabilities(
    sc: SecurityContext, every: Caps, version: Version = NEWEST, defaults: Caps = DEFAULT_CAPS
) -> LinuxCapabilities:
    """internal/cri/opts/spec_opts.go WithCapabilities, then WithoutAmbientCaps. `every`: what containerd itself has.

    Whatever the user: B = P = E, and nothing ambient. A name that nobody knows goes on to the OCI runtime.
    """
    inheritable = INHERITABLE.at(version)
    every &= Caps.all(LAST_CAP.at(version))
    if sc.privileged:
        return LinuxCapabilities.granted(oci_names(every), inheritable=inheritable)
    names = list(oci_names(defaults))
    if _names_all(sc.add_capabilities):
        names = list(oci_names(every))
    if _names_all(sc.drop_capabilities):
        names = []
    names += [name for name in _prefixed(sc.add_capabilities) if name not in names]
    dropped = set(_prefixed(sc.drop_capabilities))
    return LinuxCapabilities.granted((name for name in names if name not in dropped), inheritable=inheritable)


def sysctls(
    pod: dict[str, str], version: Version, *, host_network: bool, user_ns: bool = False
) -> dict[str, str]:
    """What the sandbox gets: the Pod's own, and the ports and ICMP that need no privilege where that is the default.

    internal/cri/server/podsandbox/sandbox_run_linux.go sandboxContainerSpec; ICMP not in a user namespace.
    """
    if host_network or not UNPRIVILEGED_PORTS.at(version):
        return pod
    return unprivileged(user_ns=user_ns) | pod


def unprivileged(*, user_ns: bool) -> dict[str, str]:
    """What enable_unprivileged_ports and enable_unprivileged_icmp set; they exist since 1.6."""
    return {PORT_START: "0"} | ({} if user_ns else {PING_GROUP_RANGE: "0 2147483647"})


def _names_all(names: tuple[str, ...]) -> bool:
    return any(name.upper() == "ALL" for name in names)


def _prefixed(names: tuple[str, ...]) -> list[str]:
    """`CAP_` and the upper-cased name, also where it has that prefix already: CAP_CAP_NET_RAW, which nobody knows."""
    return list(dict.fromkeys("CAP_" + name.upper() for name in names if name.upper() != "ALL"))


def user_string(sc: SecurityContext, image_user: str) -> str | Refused:
    """internal/cri/util GenerateUserString: what oci.WithUser looks up in the container's /etc/passwd."""
    user = sc.run_as_username or ("" if sc.run_as_user is None else str(sc.run_as_user))
    if not user:
        if sc.run_as_group is not None:
            return Refused("containerd", f'user group "{sc.run_as_group}" is specified without user')
        return image_user
    return user if sc.run_as_group is None else f"{user}:{sc.run_as_group}"


def additional_gids(sc: SecurityContext, user: ImageAccount) -> tuple[int, ...]:
    """The groups that /etc/group names for the user, the primary one among them, and those of the request, sorted.

    internal/cri/server/container_create_linux.go containerSpecOpts, internal/cri/opts mergeGids. With the policy
    Strict the image's groups are left out, not the primary one (pkg/oci ensureAdditionalGids).
    """
    own = user.groups if sc.supplemental_groups_policy == "Merge" else (user.gid,)
    return tuple(sorted({*own, *sc.supplemental_groups}))


def spec(
    pod: PodSpec,
    container: Container,
    request: SecurityContext,
    image: ImageConfig,
    account: ImageAccount,
    *,
    version: Version = NEWEST,
    every: Caps,
    default_caps: Caps | None = None,
) -> Spec:
    """internal/cri/server/container_create.go buildLinuxSpec."""
    return fill(
        pod,
        container,
        request,
        image,
        user=User(account.uid, account.gid, additional_gids(request, account)),
        capabilities=capabilities(
            request, every, version, DEFAULT_CAPS if default_caps is None else default_caps
        ),
        sysctl=sysctls(
            kubelet.sysctls(pod), version, host_network=bool(pod.host_network), user_ns=request.user_ns
        ),
        user_ns=pod_user_namespace(request, ROOTFS.at(version)),
    )


ENGINE = Engine(
    name="containerd",
    title="containerd",
    releases=RELEASES,
    runtimes=RUNTIMES,
    user_string=user_string,
    spec=spec,
    kubernetes=KUBERNETES,
    user_namespaces=USER_NAMESPACES,
)
