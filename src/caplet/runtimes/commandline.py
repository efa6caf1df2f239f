# SPDX-License-Identifier: Apache-2.0
"""A Pod's container started by hand: the flags of `docker run` and `podman run` that say what its fields say.

    runAsUser: 7, runAsGroup: 8         --user 7:8
    capabilities.add / drop             --cap-add, --cap-drop
    allowPrivilegeEscalation: false     --security-opt no-new-privileges
    privileged: true                    --privileged
    readOnlyRootFilesystem: true        --read-only
    fsGroup, supplementalGroups         --group-add
    sysctls                             --sysctl
    hostNetwork: true                   --network host
    seccompProfile: Unconfined          --security-opt seccomp=unconfined

Nobody asks whether the user is root: runAsNonRoot is the kubelet's (Podman's `kube play` does not enforce it either).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.runtimes import kubelet
from caplet.runtimes.model import SecurityContext

if TYPE_CHECKING:
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import ImageAccount


def security_context(pod: PodSpec, container: Container) -> SecurityContext:
    """The flags; what the image says of the user is the engine's to read, group and all."""
    own, whole = container.security_context, pod.security_context
    return SecurityContext(
        add_capabilities=own.add,
        drop_capabilities=own.drop,
        privileged=bool(own.privileged),
        run_as_user=kubelet.first(own.run_as_user, whole.run_as_user),
        run_as_group=kubelet.first(own.run_as_group, whole.run_as_group),
        supplemental_groups=kubelet.supplemental_groups(whole),
        no_new_privs=own.allow_privilege_escalation is False,
        readonly_rootfs=bool(own.read_only_root_filesystem),
        masked_paths=kubelet.MASKED_PATHS,
        readonly_paths=kubelet.READONLY_PATHS,
        seccomp=kubelet.seccomp(pod, container, default="RuntimeDefault"),
    )


def additional_gids(user: str, account: ImageAccount, asked: tuple[int, ...]) -> tuple[int, ...]:
    """The groups of `--group-add` and, where no group is named beside the user, those that /etc/group names for it.

    moby/sys/user GetExecUser, which Docker and Podman share; containerd's CRI looks them up either way.
    """
    own = (account.gid,) if user.partition(":")[2] else account.groups
    return tuple(dict.fromkeys((*own, *asked)))


def user_string(sc: SecurityContext, image_user: str) -> str:
    """`--user`, and without it the image's USER. A group alone is `--user :GROUP`, which is root with that group.

    A colon with no group behind it says nothing: moby/sys/user GetExecUser (Podman 4.3.1, measured), unlike containerd's.
    """
    if sc.run_as_user is None and sc.run_as_group is None and not sc.run_as_username:
        return image_user.removesuffix(":") if image_user.count(":") == 1 else image_user
    user = sc.run_as_username or ("" if sc.run_as_user is None else str(sc.run_as_user))
    return user if sc.run_as_group is None else f"{user}:{sc.run_as_group}"
