# SPDX-License-Identifier: Apache-2.0
"""A container started by hand: the fields of a Pod as options of `docker run` and `podman run`.

No kubelet stands between: runAsNonRoot is not enforced, and a user that the Pod does not name is the image's USER as it
is written there, its group with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.runtimes import kubelet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kubernetes.pod import Container, PodSpec


@dataclass(frozen=True, slots=True)
class Options:
    """docker-run(1), podman-run(1): one field an option."""

    user: str
    """--user; empty: the image's."""
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    privileged: bool
    no_new_privileges: bool
    """--security-opt no-new-privileges."""
    read_only: bool
    group_add: tuple[str, ...]
    sysctl: Mapping[str, str]
    entrypoint: tuple[str, ...]
    """--entrypoint: the Pod's `command`."""
    args: tuple[str, ...]
    env: Mapping[str, str]
    workdir: str
    network: str
    """--network: none, or host."""


def options(pod: PodSpec, container: Container) -> Options:
    """The container's fields win over the Pod's, as in Kubernetes."""
    own, whole = container.security_context, pod.security_context
    user = whole.run_as_user if own.run_as_user is None else own.run_as_user
    group = whole.run_as_group if own.run_as_group is None else own.run_as_group
    named = "" if user is None else str(user)
    command, args = kubelet.command(container)
    env, _ = kubelet.environment(container)
    groups = (*(() if whole.fs_group is None else (whole.fs_group,)), *whole.supplemental_groups)
    return Options(
        user=named if group is None else f"{named}:{group}",
        cap_add=own.add,
        cap_drop=own.drop,
        privileged=bool(own.privileged),
        no_new_privileges=own.allow_privilege_escalation is False,
        read_only=bool(own.read_only_root_filesystem),
        group_add=tuple(map(str, groups)),
        sysctl=kubelet.sysctls(pod),
        entrypoint=command,
        args=args,
        env=env,
        workdir=container.working_dir or "",
        network="host" if pod.host_network else "none",
    )
