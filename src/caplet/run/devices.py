# SPDX-License-Identifier: Apache-2.0
"""A container's devices without a device cgroup: no device node of the image or of the container can be opened.

On a node, the device cgroup keeps a container with CAP_MKNOD from this machine's disks. Here every file system of the
container is mounted nodev, and the six devices that runtime-spec promises are bound from the machine's own /dev.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.runtimes.model import Mount

if TYPE_CHECKING:
    from caplet.runtimes.model import Spec

DEFAULT_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""runtime-spec config-linux.md "Default Devices", without console and ptmx, which belong to /dev/pts."""


def with_devices(spec: Spec) -> Spec:
    """The same with `nodev` on each tmpfs, and the default devices bound right after /dev."""
    mounts: list[Mount] = []
    for mount in spec.mounts:
        if mount.type == "tmpfs" and "nodev" not in mount.options:
            mount = replace(mount, options=(*mount.options, "nodev"))  # noqa: PLW2901  # the same mount, safer
        mounts.append(mount)
        if mount.destination == "/dev":
            mounts += [Mount(f"/dev/{name}", "bind", f"/dev/{name}", ("bind",)) for name in DEFAULT_DEVICES]
    return replace(spec, mounts=tuple(mounts))
