# SPDX-License-Identifier: Apache-2.0
"""A Pod's volumes, as far as a machine without its cluster has them: emptyDir, and empty places for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.runtimes.model import Mount

if TYPE_CHECKING:
    from caplet.kubernetes.pod import Container, PodSpec


def volume_mounts(pod: PodSpec, container: Container) -> tuple[Mount, ...]:
    """A tmpfs for each: mode 0777, or the fsGroup's with set-group-ID (pkg/volume/emptydir, volume_linux.go SetVolumeOwnership)."""
    group = pod.security_context.fs_group
    access = ("mode=0777",) if group is None else ("mode=2777", f"gid={group}")
    return tuple(
        Mount(mount.mount_path, "tmpfs", "tmpfs", ("nodev", *access, *(("ro",) if mount.read_only else ())))
        for mount in sorted(container.volume_mounts, key=lambda mount: mount.mount_path.count("/"))
    )


def notes(pod: PodSpec, container: Container) -> tuple[str, ...]:
    """Volumes whose content is not here."""
    kinds = {volume.name: volume.kind for volume in pod.volumes}
    return tuple(
        f"volume {mount.name} ({kinds.get(mount.name, 'not in the Pod')}) is an empty directory here: {mount.mount_path}"
        for mount in container.volume_mounts
        if kinds.get(mount.name) != "emptyDir"
    )
