# SPDX-License-Identifier: Apache-2.0
"""Podman: a user other than root gets what --cap-add names, and gets it ambient.

containers/podman c6580b4 (v5.8.2): pkg/specgen/generate/security_linux.go securityConfigureGenerator (before 4.0
security.go); names and algebra: containers/common pkg/capabilities. Of a Podman that runs as root.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import kubelet
from caplet.runtimes.commandline import additional_gids, user_string
from caplet.runtimes.containerd import DEFAULT_CAPS as DOCKERS
from caplet.runtimes.engine import Engine
from caplet.runtimes.model import LinuxCapabilities, Refused, Since, User, Version, oci_names
from caplet.runtimes.template import DEFAULT_MOUNTS, PING_GROUP_RANGE, fill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import ImageAccount
    from caplet.runtimes.model import SecurityContext, Spec

RELEASES = tuple(Version(*numbers) for numbers in (
    (3, 0, 1), (3, 1, 2), (3, 2, 3), (3, 3, 1), (3, 4, 7), (4, 0, 3), (4, 1, 1), (4, 2, 1), (4, 3, 1), (4, 4, 4),
    (4, 5, 1), (4, 6, 2), (4, 7, 2), (4, 8, 3), (4, 9, 5), (5, 0, 3), (5, 1, 2), (5, 2, 5), (5, 3, 2), (5, 4, 2),
    (5, 5, 2), (5, 6, 2), (5, 7, 1), (5, 8, 2),
))  # fmt: skip
NEWEST = RELEASES[-1]

_TEN = DOCKERS - Caps.of(Cap.AUDIT_WRITE, Cap.MKNOD, Cap.NET_RAW, Cap.SYS_CHROOT)
_ELEVEN = _TEN | Caps.of(Cap.SYS_CHROOT)
DEFAULT_CAPS = Since(((Version(1), DOCKERS), (Version(4, 4), _TEN), (Version(4, 5), _ELEVEN)))
"""containers/common pkg/config/default.go DefaultCapabilities, as each tag vendors it. A distribution's containers.conf may
say otherwise: `default_capabilities`."""

DEBIANS = _ELEVEN
"""What Debian 12's /usr/share/containers/containers.conf names (golang-github-containers-common 0.50.1), for its 4.3."""

MOUNTS = tuple(
    replace(mount, options=(*mount.options, "noexec")) if mount.destination == "/dev" else mount
    for mount in DEFAULT_MOUNTS
)
"""As the others, but for a /dev from which nothing can be executed (measured with 4.3.1)."""

ROOT_INHERITABLE = Since(((Version(1), True), (Version(4, 0, 3), False)))
"""Whether root has what is granted inheritable too: CVE-2022-27649."""

LABEL = "io.containers.capabilities"
"""The image's label that says which capabilities it needs, and which so narrows them: ContainerImageLabels."""

RUNTIMES = Since(
    (
        (Version(3), ("crun", Version(0, 17))),
        (Version(3, 4), ("crun", Version(1, 0))),
        (Version(4), ("crun", Version(1, 4, 2))),
        (Version(4, 3), ("crun", Version(1, 6))),
        (Version(4, 5), ("crun", Version(1, 8, 4))),
        (Version(4, 9), ("crun", Version(1, 14))),
        (Version(5), ("crun", Version(1, 14, 4))),
        (Version(5, 3), ("crun", Version(1, 18, 2))),
        (Version(5, 4), ("crun", Version(1, 20))),
        (Version(5, 6), ("crun", Version(1, 23, 1))),
        (Version(5, 8), ("crun", Version(1, 26))),
    )
)
"""crun comes first of the runtimes that it looks for: common pkg/config/default.go findRuntime. Podman ships none: the newest
crun on the day of the release."""


def capabilities(
    sc: SecurityContext,
    user: str,
    every: Caps,
    version: Version = NEWEST,
    labels: Mapping[str, str] | None = None,
    defaults: Caps | None = None,
) -> LinuxCapabilities | Refused:
    """Bounding is the same for everyone. Root, by the text of `user`, has it effective; others have what is added.

    A user of another name is no root here, whatever uid its name has. `every`: what Podman itself has.
    """
    bounding = oci_names(every)
    if not sc.privileged:
        base = oci_names(DEFAULT_CAPS.at(version) if defaults is None else defaults)
        merged = _merged(base, sc.add_capabilities, sc.drop_capabilities, every)
        if isinstance(merged, Refused):
            return merged
        narrowed = _narrowed(tuple(name for name in merged if name in bounding), labels or {}, every)
        if isinstance(narrowed, Refused):
            return narrowed
        bounding = narrowed
    if user.split(":", 1)[0] in {"", "root", "0"}:
        return LinuxCapabilities.granted(bounding, inheritable=ROOT_INHERITABLE.at(version))
    added = _merged((), sc.add_capabilities, (), every)
    if isinstance(added, Refused):
        return Refused(
            "Podman",
            f'capabilities requested by user are not valid: "{",".join(sc.add_capabilities)}": {added.message}',
        )
    own = tuple(name for name in added if name in oci_names(every))
    return LinuxCapabilities(bounding=bounding, effective=own, permitted=own, inheritable=own, ambient=own)


def _merged(
    base: tuple[str, ...], adds: Iterable[str], drops: Iterable[str], every: Caps
) -> tuple[str, ...] | Refused:
    """MergeCapabilities."""
    drop, add = _normalized(drops), _normalized(adds)
    if isinstance(drop, Refused):
        return drop
    if isinstance(add, Refused):
        return add
    if "ALL" in drop:
        if "ALL" in add:
            return Refused("Podman", "adding all caps and removing all caps not allowed")
        return add
    if "ALL" in add:
        base, add = oci_names(every), ()
    for name in add:
        if name in drop:
            return Refused("Podman", f'capability "{name}" cannot be dropped and added')
    return tuple(sorted({name for name in base if name not in drop} | set(add)))


_KNOWN = frozenset(oci_names(Caps.all()))


def _normalized(names: Iterable[str]) -> tuple[str, ...] | Refused:
    """NormalizeCapabilities. An empty name never gets there: to --cap-add and --cap-drop it is an empty list."""
    normalized = []
    for given in filter(None, names):
        name = given.upper()
        if name != "ALL" and not name.startswith("CAP_"):
            name = f"CAP_{name}"
        if name != "ALL" and name not in _KNOWN:
            return Refused("Podman", f'"{name}": unknown capability')
        normalized.append(name)
    return tuple(sorted(set(normalized)))


def _narrowed(bounding: tuple[str, ...], labels: Mapping[str, str], every: Caps) -> tuple[str, ...] | Refused:
    """By the image's label. One that wants more than there is is logged, and does not count."""
    if LABEL not in labels:
        return bounding
    if not labels[LABEL]:
        return ()
    required = _merged((), labels[LABEL].split(","), (), every)
    if isinstance(required, Refused):
        return Refused(
            "Podman", f'capabilities requested by user or image are not valid: "": {required.message}'
        )
    return required if set(required) <= set(bounding) else bounding


def sysctls(asked: dict[str, str], *, host_network: bool) -> dict[str, str]:
    """No port start: containers.conf's `default_sysctls`, as the project and distributions ship it, opens ICMP to gid 0."""
    return asked if host_network else {PING_GROUP_RANGE: "0 0"} | asked


def _not_on_hosts_network(asked: Mapping[str, str]) -> Refused | None:
    """pkg/specgen/generate/security_linux.go securityConfigureGenerator; measured with 4.3.1."""
    for name, value in asked.items():
        if name.startswith("net."):
            return Refused(
                "Podman",
                f"sysctl {name}={value} can't be set since Network Namespace set to host: invalid argument",
            )
    return None


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
    """pkg/specgen/generate/oci_linux.go SpecGenToOCI, libpod/container_internal_linux.go generateSpec."""
    asked = kubelet.sysctls(pod)
    if pod.host_network and (refused := _not_on_hosts_network(asked)):
        return refused
    user = user_string(request, image.user)
    granted = capabilities(request, user, every, version, image.labels, default_caps)
    if isinstance(granted, Refused):
        return granted
    return fill(
        pod,
        container,
        request,
        image,
        user=User(
            account.uid,
            account.gid,
            additional_gids(user, account, request.supplemental_groups)
            if user
            else request.supplemental_groups,
        ),
        capabilities=granted,
        sysctl=sysctls(asked, host_network=bool(pod.host_network)),
        mounts=MOUNTS,
    )


ENGINE = Engine(
    name="podman",
    title="Podman",
    releases=RELEASES,
    runtimes=RUNTIMES,
    user_string=user_string,
    spec=spec,
)
