# SPDX-License-Identifier: Apache-2.0
"""CRI-O: what it makes of the kubelet's request, as an OCI runtime's config.json.

cri-o/cri-o f954a17 (v1.36.3) unless a row says otherwise: internal/factory/container/container.go, until 1.23
server/container_create.go. CRI-O's minor version is the Kubernetes version that it is made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import kubelet
from caplet.runtimes.containerd import additional_gids
from caplet.runtimes.engine import Engine
from caplet.runtimes.model import LinuxCapabilities, Refused, Since, User, Version, oci_names
from caplet.runtimes.template import fill, pod_user_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import ImageAccount
    from caplet.runtimes.model import SecurityContext, Spec

RELEASES = tuple(Version(1, minor, patch) for minor, patch in (
    (17, 5), (18, 6), (19, 6), (20, 9), (21, 7), (22, 5), (23, 5), (24, 6), (25, 5), (26, 4), (27, 8), (28, 11),
    (29, 13), (30, 14), (31, 13), (32, 13), (33, 13), (34, 11), (35, 6), (36, 3),
))  # fmt: skip
NEWEST = RELEASES[-1]

_NINE = Caps.of(
    Cap.CHOWN,
    Cap.DAC_OVERRIDE,
    Cap.FSETID,
    Cap.FOWNER,
    Cap.SETGID,
    Cap.SETUID,
    Cap.SETPCAP,
    Cap.NET_BIND_SERVICE,
    Cap.KILL,
)
DEFAULT_CAPS = Since(
    (
        (Version(1), _NINE | Caps.of(Cap.NET_RAW, Cap.SYS_CHROOT)),
        (Version(1, 18), _NINE),
    )
)
"""internal/config/capabilities/capabilities_linux.go Default; without NET_RAW and SYS_CHROOT since 63b9f4ec98. The
node's crio.conf may name others: `default_capabilities`."""

INHERITABLE = Since(
    (
        (Version(1), True),
        (Version(1, 24, 0), False),
        (Version(1, 24, 3), True),
        (Version(1, 25, 0), False),
    )
)
"""Whether what is granted is inheritable too (CVE-2022-27652). 1.24.3 made it an option, on; since 1.25.1 it is one,
off: pkg/config/config.go AddInheritableCapabilities."""

LAST_CAP = Since(((Version(1), Cap.AUDIT_READ), (Version(1, 21), max(Cap))))
"""The last capability that it knows: getOCICapabilitiesList, of the vendored gocapability's enum_gen.go."""

RUNTIMES = Since(
    (
        (Version(1, 17), ("runc", Version(1, 0, 0, 10))),
        (Version(1, 19), ("runc", Version(1, 0, 0, 92))),
        (Version(1, 21), ("runc", Version(1, 0, 0, 93))),
        (Version(1, 22), ("runc", Version(1, 0, 1))),
        (Version(1, 23), ("runc", Version(1, 0, 2))),
        (Version(1, 25), ("runc", Version(1, 1, 4))),
        (Version(1, 28), ("runc", Version(1, 1, 9))),
        (Version(1, 30), ("runc", Version(1, 1, 12))),
        (Version(1, 31), ("crun", Version(1, 16, 1))),
        (Version(1, 32), ("crun", Version(1, 19, 1))),
        (Version(1, 33), ("crun", Version(1, 21))),
        (Version(1, 34), ("crun", Version(1, 24))),
        (Version(1, 35), ("crun", Version(1, 26))),
        (Version(1, 36), ("crun", Version(1, 27, 1))),
    )
)
"""default_runtime is runc until 1.30, crun since 1.31 (pkg/config/config.go defaultRuntime). Versions: scripts/versions and
dependencies.yaml of each tag; where those say none (1.30, 1.32 and later), the newest on the day of the release."""

USER_NAMESPACES = Since(((Version(1), False), (Version(1, 30), True)))
"""Whether the kubelet is told of them: server/runtime_status.go, where the OCI runtime's `features` names idmapped mounts."""

KUBERNETES = Since(tuple((Version(1, release.minor), Version(1, release.minor)) for release in RELEASES))


def capabilities(
    sc: SecurityContext, every: Caps, version: Version = NEWEST, defaults: Caps | None = None
) -> LinuxCapabilities | Refused:
    """SpecSetPrivileges, SpecSetupCapabilities: whatever the user, B = P = E, nothing ambient; a drop wins over an add.

    `every`: what the kernel knows, up to cap_last_cap. Privileged is another path, runtime-tools' SetupPrivileged: it
    fills all five sets, so that a process of any user keeps every capability (container_test.go asserts it).
    """
    every &= Caps.all(LAST_CAP.at(version))
    inheritable = INHERITABLE.at(version)
    known = oci_names(every)
    defaults = DEFAULT_CAPS.at(version) if defaults is None else defaults
    if sc.privileged:
        return LinuxCapabilities(known, known, known, known, known)
    add, drop = _prefixed(sc.add_capabilities), _prefixed(sc.drop_capabilities)
    add_all, drop_all = "ALL" in add, "ALL" in drop
    names: list[str] = [] if add_all or drop_all else list(oci_names(defaults))
    if add_all and not drop_all:
        names = list(known)
    for name in add:
        if name == "ALL":
            continue
        if name.upper() not in known:
            return Refused("CRI-O", f'unknown capability "{name}" to add')
        if name.upper() not in names:
            names.append(name.upper())
    for name in drop:
        if name != "ALL" and name.upper() not in oci_names(Caps.all(LAST_CAP.at(version))):
            return Refused("CRI-O", f"failed to drop cap {name} invalid capability: {name.upper()}")
    dropped = {name.upper() for name in drop}
    return LinuxCapabilities.granted((name for name in names if name not in dropped), inheritable=inheritable)


def _prefixed(names: Iterable[str]) -> list[str]:
    """toCAPPrefixed: a name that has the prefix keeps its spelling, which messages then show."""
    return [
        "ALL" if name.upper() == "ALL" else name if name.lower().startswith("cap_") else "CAP_" + name.upper()
        for name in names
    ]


def user_string(sc: SecurityContext, image_user: str) -> str | Refused:
    """server/container_create_linux.go setupContainerUser, generateUserString."""
    user = sc.run_as_username or ("" if sc.run_as_user is None else str(sc.run_as_user))
    if not user:
        if sc.run_as_group is not None:
            return Refused("CRI-O", "user group is specified without user or username")
        return image_user
    return user if sc.run_as_group is None else f"{user}:{sc.run_as_group}"


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
) -> Spec | Refused:
    """server/container_create_linux.go createSandboxContainer.

    It sets no sysctl of its own: `default_sysctls` is empty in every version (cri-o/cri-o#6706).
    """
    granted = capabilities(request, every, version, default_caps)
    if isinstance(granted, Refused):
        return granted
    return fill(
        pod,
        container,
        request,
        image,
        user=User(account.uid, account.gid, additional_gids(request, account)),
        capabilities=granted,
        sysctl=kubelet.sysctls(pod),
        user_ns=pod_user_namespace(request, "idmapped" if USER_NAMESPACES.at(version) else None),
    )


ENGINE = Engine(
    name="crio",
    title="CRI-O",
    releases=RELEASES,
    runtimes=RUNTIMES,
    user_string=user_string,
    spec=spec,
    kubernetes=KUBERNETES,
    user_namespaces=USER_NAMESPACES,
)
