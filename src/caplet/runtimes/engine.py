# SPDX-License-Identifier: Apache-2.0
"""What an engine and an OCI runtime are to the rest: a name, releases, and functions of plain values.

containerd, CRI-O, Docker and Podman make a config.json (`Spec`) of a container; runc, crun and runsc make system calls of
a `Spec`. Each is one value of these types, in the file of its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from caplet.image.config import ImageConfig
    from caplet.kernel.caps import Caps
    from caplet.kernel.syscalls import Syscall
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import (
        LinuxCapabilities,
        Process,
        Refused,
        SecurityContext,
        Since,
        Spec,
        Version,
    )


class ImageAccount(Protocol):
    """A user as the image's own /etc/passwd and /etc/group have it (`caplet.image.passwd.User`)."""

    @property
    def uid(self) -> int: ...
    @property
    def gid(self) -> int: ...
    @property
    def groups(self) -> tuple[int, ...]: ...


class MakesSpec(Protocol):
    """config.json of the container, or why the engine does not make one.

    `account`: what the engine's `user_string()` is in the image; `every`: the capabilities that the engine itself has;
    `default_caps`: what its configuration names in place of its own.
    """

    def __call__(
        self,
        pod: PodSpec,
        container: Container,
        request: SecurityContext,
        image: ImageConfig,
        account: ImageAccount,
        *,
        version: Version,
        every: Caps,
        default_caps: Caps | None = None,
    ) -> Spec | Refused: ...


Usual: TypeAlias = "tuple[str, Version]"
"""An OCI runtime by its name, in one release."""


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """A program that makes containers of images."""

    name: str
    """As `--on` takes it: `containerd`."""
    title: str
    """As its authors write it: `CRI-O`."""
    releases: tuple[Version, ...]
    """The newest release of each line that is known, oldest first."""
    runtimes: Since[Usual]
    """Which OCI runtime a release of the engine is usually deployed with."""
    user_string: Callable[[SecurityContext, str], str | Refused]
    """What the engine looks up in the image's /etc/passwd: of the request, and the image's USER."""
    spec: MakesSpec
    kubernetes: Since[Version] | None = None
    """The newest Kubernetes that a release is recommended for; None where no kubelet talks to it."""
    user_namespaces: Since[bool] | None = None
    """Whether it tells the kubelet that its OCI runtime has user namespaces: CRI RuntimeHandlerFeatures."""


FileCapsRule: TypeAlias = Literal["kernel", "discarded"]
"""What execve makes of file capabilities: what Linux does, or nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class OCIRuntime:
    """A program that makes a process of a config.json."""

    name: str
    releases: tuple[Version, ...]
    """The newest release of each line that is known, oldest first."""
    caps_of: Callable[[tuple[str, ...], Version], Caps]
    """The capabilities behind those of the names that the runtime knows."""
    system_calls: Callable[[Process, Caps, Version], tuple[Syscall, ...] | Refused]
    """Up to execve, for a runtime that itself may use the capabilities `available`; or why it does not start."""
    ignored: Callable[[LinuxCapabilities, Version], tuple[str, ...]]
    """The names that are left out with a warning."""
    warning: Callable[[tuple[str, ...], Version], str]
    """That warning."""
    exec_error: Callable[[str, int, Version], str]
    """The line that a user reads where execve of a path fails with an errno."""
    file_caps: Callable[[bool, Version], FileCapsRule | None]
    """Under no_new_privs or not; None where it is not known."""
    not_found: Callable[[str, str, Version], str] | None = None
    """The line where it finds no program of that name, seen from that working directory, and makes no container; None
    where that too comes of execve."""
    set_id: bool = True
    """Whether execve looks at set-user-ID and set-group-ID bits."""
    id_mapped_mounts: Since[bool] | None = None
    """Whether `features` says that it mounts with other ids, as user namespaces of Pods need; None where it is not known."""
    dated: bool = False
    """Whether its releases are dates, of which any may be asked for."""
