# SPDX-License-Identifier: Apache-2.0
"""Docker: what dockerd makes of `docker run`'s flags, as an OCI runtime's config.json.

moby/moby b985e23 (docker-v29.7.2) unless a row says otherwise; daemon/pkg/oci was `oci` until 28.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import kubelet
from caplet.runtimes.commandline import additional_gids, user_string
from caplet.runtimes.containerd import DEFAULT_CAPS
from caplet.runtimes.engine import Engine
from caplet.runtimes.model import LinuxCapabilities, Refused, Since, User, Version, oci_names
from caplet.runtimes.template import PING_GROUP_RANGE, PORT_START, fill

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import ImageAccount
    from caplet.runtimes.model import SecurityContext, Spec

RELEASES = tuple(Version(*numbers) for numbers in (
    (17, 12, 1), (18, 3, 1), (18, 6, 3), (18, 9, 9), (19, 3, 15), (20, 10, 27), (23, 0, 18), (24, 0, 9), (25, 0, 17),
    (26, 0, 2), (26, 1, 5), (27, 0, 3), (27, 1, 2), (27, 2, 1), (27, 3, 1), (27, 4, 1), (27, 5, 1), (28, 0, 4),
    (28, 1, 1), (28, 2, 2), (28, 3, 3), (28, 4, 0), (28, 5, 2), (29, 0, 4), (29, 1, 5), (29, 2, 1), (29, 3, 1),
    (29, 4, 3), (29, 5, 3), (29, 6, 2), (29, 7, 2),
))  # fmt: skip
NEWEST = RELEASES[-1]

NON_ROOT_KEEPS = Since(
    (
        (Version(17), True),
        (Version(18, 4), False),
        (Version(23, 0, 7), True),
    )
)
"""Whether a user other than root has what is granted in permitted and effective too, or in bounding only. Emptied by
15ff09395c (moby/moby#36587), filled again by moby/moby#45511 and #46221. daemon/oci_linux.go WithCapabilities,
oci/oci.go SetCapabilities. (24.0.0 to 24.0.5 still had the code that empties, before the user was set: no effect.)"""

INHERITABLE = Since(((Version(17), True), (Version(20, 10, 14), False)))
"""Whether what is granted is inheritable too: CVE-2022-24769, GHSA-2mm7-x5h6-5pvq."""

LAST_CAP = Since(((Version(17), Cap.AUDIT_READ), (Version(23), max(Cap))))
"""The last capability that it knows. 20.10 leaves out those of Linux 5.8 and later, for the runc of its time (oci/caps/utils.go
init); 23.0 reads what the kernel has (oci/caps/utils_linux.go initCaps)."""

UNPRIVILEGED_PORTS = Since(((Version(17), False), (Version(20, 10), True)))
"""Ports from 0 on and ICMP sockets without privilege, in a network namespace of the container's own: dae652e2e5
(moby/moby#41030). daemon/oci_linux.go WithCommonOptions."""

RUNTIMES = Since(
    (
        (Version(17), ("runc", Version(1, 0, 0, 4))),
        (Version(18, 6), ("runc", Version(1, 0, 0, 5))),
        (Version(18, 9, 7), ("runc", Version(1, 0, 0, 8))),
        (Version(19, 3, 6), ("runc", Version(1, 0, 0, 10))),
        (Version(20, 10), ("runc", Version(1, 0, 0, 92))),
        (Version(20, 10, 4), ("runc", Version(1, 0, 0, 93))),
        (Version(20, 10, 7), ("runc", Version(1, 0, 0, 95))),
        (Version(20, 10, 8), ("runc", Version(1, 0, 1))),
        (Version(20, 10, 15), ("runc", Version(1, 1, 1))),
        (Version(20, 10, 18), ("runc", Version(1, 1, 4))),
        (Version(20, 10, 26), ("runc", Version(1, 1, 8))),
        (Version(23), ("runc", Version(1, 1, 4))),
        (Version(23, 0, 7), ("runc", Version(1, 1, 9))),
        (Version(24), ("runc", Version(1, 1, 7))),
        (Version(24, 0, 9), ("runc", Version(1, 1, 12))),
        (Version(25), ("runc", Version(1, 1, 11))),
        (Version(25, 0, 8), ("runc", Version(1, 2, 4))),
        (Version(26), ("runc", Version(1, 1, 12))),
        (Version(27), ("runc", Version(1, 1, 13))),
        (Version(27, 4), ("runc", Version(1, 2, 2))),
        (Version(28), ("runc", Version(1, 2, 5))),
        (Version(28, 4), ("runc", Version(1, 3, 0))),
        (Version(28, 5, 2), ("runc", Version(1, 3, 3))),
        (Version(29, 6), ("runc", Version(1, 3, 6))),
        (Version(29, 7), ("runc", Version(1, 4, 3))),
    )
)
"""RUNC_VERSION of each tag's Dockerfile, before 23.0 hack/dockerfile/install/runc.installer."""


def capabilities(
    sc: SecurityContext, uid: int, every: Caps, version: Version = NEWEST, defaults: Caps = DEFAULT_CAPS
) -> LinuxCapabilities | Refused:
    """TweakCapabilities of daemon/pkg/oci/caps/utils.go, then which sets get them. An add wins over a drop.

    Under privileged adds and drops do not count, but they have to be names. `every`: what dockerd itself has, which it
    asks since 23.0.
    """
    last = LAST_CAP.at(version)
    every = Caps.all(last) if last < max(Cap) else every
    names = _TWEAK.at(version)(sc, every, version, defaults)
    if isinstance(names, Refused):
        return names
    inheritable = names if INHERITABLE.at(version) else ()
    if uid != 0 and not NON_ROOT_KEEPS.at(version):
        return LinuxCapabilities(bounding=names, inheritable=inheritable)
    return LinuxCapabilities(bounding=names, permitted=names, effective=names, inheritable=inheritable)


def _refused(sc: SecurityContext, every: Caps, version: Version) -> Refused | None:
    """daemon/container.go validateHostConfig, before anything is made."""
    for flag, given in (("CapAdd", sc.add_capabilities), ("CapDrop", sc.drop_capabilities)):
        if (message := _unknown(given, every, version)) is not None:
            return Refused("Docker", f"invalid {flag}: {message}")
    return None


def _tweaked(sc: SecurityContext, every: Caps, version: Version, defaults: Caps) -> tuple[str, ...] | Refused:
    if (refused := _refused(sc, every, version)) is not None:
        return refused
    if sc.privileged:
        return oci_names(every)
    add, drop = _prefixed(sc.add_capabilities), _prefixed(sc.drop_capabilities)
    if "ALL" in add:
        return tuple(name for name in oci_names(every) if name not in drop)
    if "ALL" in drop:
        return tuple(dict.fromkeys(add))
    kept = [name for name in oci_names(defaults) if name not in drop]
    return tuple(dict.fromkeys([*kept, *add]))


def _tweaked_before_19_03(
    sc: SecurityContext, every: Caps, _version: Version, defaults: Caps
) -> tuple[str, ...] | Refused:
    """daemon/caps/utils.go of v18.09.9: no prefix, names judged at start only, and all of both ALL is nothing."""
    if sc.privileged:
        return oci_names(every)
    known = oci_names(every)
    add, drop = ([f"CAP_{name}" for name in names] for names in (sc.add_capabilities, sc.drop_capabilities))
    for name in drop:
        if name.upper() not in {*known, "CAP_ALL"}:
            return Refused("Docker", f'Unknown capability drop: "{name.removeprefix("CAP_")}"')
    upper = [name.upper() for name in drop]
    base = known if "CAP_ALL" in map(str.upper, add) else oci_names(defaults)
    names = [] if "CAP_ALL" in upper else [name for name in base if name not in upper]
    for name in add:
        if name.upper() not in {*known, "CAP_ALL"}:
            return Refused("Docker", f'Unknown capability to add: "{name}"')
        names += [name.upper()] if name.upper() != "CAP_ALL" else []
    return tuple(dict.fromkeys(names))


_TWEAK = Since(((Version(17), _tweaked_before_19_03), (Version(19, 3), _tweaked)))


def _unknown(names: Iterable[str], every: Caps, version: Version) -> str | None:
    """NormalizeLegacyCapabilities: the error of the first name that is none, or that the kernel or dockerd lacks."""
    known = oci_names(Caps.all(LAST_CAP.at(version)))
    for name in _prefixed(names):
        if name == "ALL":
            continue
        if name not in known:
            return f'unknown capability: "{name}"'
        if name not in oci_names(every):
            return (
                "capability not supported by your kernel or not available in the current environment: "
                f'"{name}"'
            )
    return None


def _prefixed(names: Iterable[str]) -> list[str]:
    upper = [name.upper() for name in names]
    return [name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}" for name in upper]


def sysctls(asked: dict[str, str], version: Version, *, host_network: bool) -> dict[str, str]:
    """The defaults, where the network namespace is the container's own, and those of the flags over them."""
    if host_network or not UNPRIVILEGED_PORTS.at(version):
        return asked
    return {PORT_START: "0", PING_GROUP_RANGE: "0 2147483647"} | asked


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
    """daemon/oci_linux.go createSpec, of a dockerd that runs as root and remaps no users."""
    granted = capabilities(
        request, account.uid, every, version, DEFAULT_CAPS if default_caps is None else default_caps
    )
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
            additional_gids(user_string(request, image.user), account, request.supplemental_groups),
        ),
        capabilities=granted,
        sysctl=sysctls(kubelet.sysctls(pod), version, host_network=bool(pod.host_network)),
    )


ENGINE = Engine(
    name="docker",
    title="Docker",
    releases=RELEASES,
    runtimes=RUNTIMES,
    user_string=user_string,
    spec=spec,
)
