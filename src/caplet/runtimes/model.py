# SPDX-License-Identifier: Apache-2.0
"""The values between the programs, named as their specifications name them.

CRI: https://github.com/kubernetes/cri-api `pkg/apis/runtime/v1/api.proto`;
runtime-spec: https://github.com/opencontainers/runtime-spec `config.md`, `config-linux.md`.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from caplet.errors import InvalidInput
from caplet.kernel.caps import Cap, Caps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caplet.kernel.namespaces import IdMap

T = TypeVar("T")


FINAL = 10_000
"""The candidate number of a release that is none: it comes after all its candidates."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release of a program: `2.1`, `v1.7.34`, `1.0.0-rc93`. What is left out counts as zero."""

    major: int
    minor: int = 0
    patch: int = 0
    candidate: int = FINAL
    """runc's 1.0.0 had 95 of them in six years, and engines shipped them."""

    @classmethod
    def parse(cls, text: str) -> Version:
        match = re.fullmatch(
            r"v?(\d{1,8})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?(?:-rc\.?(\d{1,3}))?", text, re.ASCII
        )
        if match is None:
            raise InvalidInput(f"not a version: {text[:40]!r}", "write it as 2.1 or 1.7.34")
        major, minor, patch = (int(part or 0) for part in match.groups()[:3])
        return cls(major, minor, patch, FINAL if match[4] is None else int(match[4]))

    @property
    def line(self) -> str:
        """The releases that it is one of: `2.1`. Docker's of 2017 to 2019 are a year and a month: `18.09`."""
        return f"{self.major}.{self.minor:02}" if 17 <= self.major <= 19 else f"{self.major}.{self.minor}"

    def __str__(self) -> str:
        if self.candidate != FINAL:
            return f"{self.line}.{self.patch}-rc{self.candidate}"
        return self.line + (f".{self.patch}" if self.patch else "")


@dataclass(frozen=True, slots=True)
class Since(Generic[T]):
    """A behaviour that changed over time: which value holds from which version on, oldest first."""

    changes: tuple[tuple[Version, T], ...]

    def at(self, version: Version) -> T:
        """The value in that version; the oldest one for versions before the first change."""
        value = self.changes[0][1]
        for since, changed in self.changes:
            if version >= since:
                value = changed
        return value


@dataclass(frozen=True, slots=True)
class Refused:
    """A program on the way said no; the container is not created."""

    by: str
    """The program: API server, kubelet, containerd, runc; or the platform whose admission it is."""
    message: str
    """In that program's own words."""


Seccomp = Literal["Unconfined", "RuntimeDefault", "Localhost"]
"""core/v1 SeccompProfileType: no filter, the engine's own profile, a file of the node."""


@dataclass(frozen=True, slots=True)
class PodUserNamespace:
    """The user namespace that `hostUsers: false` gives a Pod."""

    ids: IdMap
    """Which of the node's ids they are; the kubelet chooses, so an example: the first that it would give."""
    rootfs: Literal["idmapped", "chowned"]
    """How the image's files become the namespace's. An idmapped mount keeps what they carry; a copy whose files are
    given to other owners loses every security.capability and set-user-ID bit (chown_common() in fs/open.c)."""


@dataclass(frozen=True, slots=True)
class SecurityContext:
    """CRI LinuxContainerSecurityContext: what the kubelet asks of the engine for one container."""

    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    """Verbatim from the Pod: no upper-casing, no prefix change."""
    privileged: bool = False
    run_as_user: int | None = None
    run_as_username: str = ""
    """A name from the image's USER, which only the engine can resolve."""
    run_as_group: int | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str = "Merge"
    """Merge: with the groups that the image's /etc/group names for the user. Strict: without."""
    no_new_privs: bool = False
    user_ns: bool = False
    """A user namespace of the Pod's own (`hostUsers: false`)."""
    seccomp: Seccomp = "Unconfined"
    readonly_rootfs: bool = False
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinuxCapabilities:
    """runtime-spec `process.capabilities`: names as the engine writes them, unknown ones among them."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()

    @classmethod
    def granted(cls, names: Iterable[str], *, inheritable: bool = False) -> LinuxCapabilities:
        """Bounding, permitted and effective alike; nothing ambient."""
        caps = tuple(names)
        return cls(bounding=caps, effective=caps, permitted=caps, inheritable=caps if inheritable else ())


@dataclass(frozen=True, slots=True)
class User:
    """runtime-spec `process.user`: numbers only."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """runtime-spec `process`."""

    args: tuple[str, ...]
    user: User = field(default_factory=User)
    capabilities: LinuxCapabilities = field(default_factory=LinuxCapabilities)
    no_new_privileges: bool = False
    env: tuple[str, ...] = ()
    cwd: str = "/"


@dataclass(frozen=True, slots=True)
class Mount:
    """runtime-spec `mounts[]`."""

    destination: str
    type: str
    source: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """runtime-spec config.json, with what the engine sets on the Pod's sandbox: network, sysctls, host name."""

    process: Process
    readonly_rootfs: bool = False
    hostname: str = ""
    host_network: bool = False
    sysctl: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    user_ns: PodUserNamespace | None = None
    """None: the node's."""
    seccomp: Seccomp = "Unconfined"


def oci_name(cap: Cap | int) -> str:
    """The spelling of capabilities(7), which runtime-spec asks for. A bit without a name has none."""
    return f"CAP_{cap.name}" if isinstance(cap, Cap) else str(cap)


@functools.lru_cache(maxsize=1024)
def oci_names(caps: Caps) -> tuple[str, ...]:
    return tuple(oci_name(cap) for cap in caps)
