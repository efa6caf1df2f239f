# SPDX-License-Identifier: Apache-2.0
"""A Pod's volumes, as far as a machine without its cluster has them: emptyDir, and empty places for the others."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.run import linux
from caplet.runtimes.model import Mount

if TYPE_CHECKING:
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import Spec

SOURCE = "volume:"
"""Before a volume's name and subPath, in the source of its mount: a tmpfs may have any source."""


def volume_mounts(pod: PodSpec, container: Container) -> tuple[Mount, ...]:
    """A tmpfs for each: mode 0777, or the fsGroup's with set-group-ID (pkg/volume/emptydir, volume_linux.go SetVolumeOwnership)."""
    group = pod.security_context.fs_group
    access = ("mode=0777",) if group is None else ("mode=2777", f"gid={group}")
    return tuple(
        Mount(
            mount.mount_path,
            "tmpfs",
            f"{SOURCE}{mount.name}/{mount.sub_path}",
            ("nodev", *access, *(("ro",) if mount.read_only else ())),
        )
        for mount in sorted(container.volume_mounts, key=lambda mount: mount.mount_path.count("/"))
    )


def with_volumes(spec: Spec, directory: str) -> Spec:
    """The same with each volume a directory of its own below `directory`, bound into the container as the kubelet's are.

    Not mounted by the OCI runtime: over a directory of the image runc gives a tmpfs that directory's mode, whatever its
    options say (runc 1.1.5 libcontainer/rootfs_linux.go mountToRootfs, case "tmpfs": os.Chmod(dest, stat.Mode())).
    """
    made: dict[str, str] = {}
    return replace(spec, mounts=tuple(_bound(mount, directory, made) for mount in spec.mounts))


def _bound(mount: Mount, directory: str, made: dict[str, str]) -> Mount:
    if not mount.source.startswith(SOURCE):
        return mount
    if mount.source not in made:
        made[mount.source] = os.path.join(directory, str(len(made)))
        _make(mount, made[mount.source])
    read_only = ("ro",) if "ro" in mount.options else ()
    return Mount(mount.destination, "bind", made[mount.source], ("rbind", "nodev", *read_only))


def _make(mount: Mount, place: str) -> None:
    os.makedirs(place)
    data = ",".join(option for option in mount.options if option not in {"nodev", "ro"})
    linux.mount("volume", place, "tmpfs", linux.MS_NODEV, data)


def notes(pod: PodSpec, container: Container) -> tuple[str, ...]:
    """Volumes whose content is not here."""
    kinds = {volume.name: volume.kind for volume in pod.volumes}
    return tuple(
        f"volume {mount.name} ({kinds.get(mount.name, 'not in the Pod')}) is an empty directory here: {mount.mount_path}"
        for mount in container.volume_mounts
        if kinds.get(mount.name) != "emptyDir"
    )
