# SPDX-License-Identifier: Apache-2.0
"""The values between the programs, named as their specifications name them.

CRI: https://github.com/kubernetes/cri-api `pkg/apis/runtime/v1/api.proto`;
runtime-spec: https://github.com/opencontainers/runtime-spec `config.md`, `config-linux.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from caplet.errors import InvalidInput
from caplet.kernel.caps import Cap, Caps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A release of a program: `2.1`, `v1.7.34`. What is left out counts as zero."""

    major: int
    minor: int = 0
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Version:
        match = re.fullmatch(r"v?(\d{1,4})(?:\.(\d{1,4}))?(?:\.(\d{1,4}))?", text, re.ASCII)
        if match is None:
            raise InvalidInput(f"not a version: {text!r}", "write it as 2.1 or 1.7.34")
        return cls(*(int(part or 0) for part in match.groups()))

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}" + (f".{self.patch}" if self.patch else "")


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
    """The program: kubelet, containerd."""
    message: str
    """In that program's own words."""


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
    def granted(cls, names: Iterable[str]) -> LinuxCapabilities:
        """Bounding, permitted and effective alike; nothing inheritable, nothing ambient."""
        caps = tuple(names)
        return cls(bounding=caps, effective=caps, permitted=caps)


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


def oci_name(cap: Cap | int) -> str:
    """The spelling of capabilities(7), which runtime-spec asks for. A bit without a name has none."""
    return f"CAP_{cap.name}" if isinstance(cap, Cap) else str(cap)


def oci_names(caps: Caps) -> tuple[str, ...]:
    return tuple(oci_name(cap) for cap in caps)
