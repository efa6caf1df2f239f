# SPDX-License-Identifier: Apache-2.0
"""Removes the cgroup that was the parent of a session's containers, in every hierarchy of the machine."""

from __future__ import annotations

import os
import time

CGROUPS = "/sys/fs/cgroup"

SECONDS = 5.0
"""A cgroup is busy until the last process in it is gone; Podman's conmon ends a moment after its container."""

POLL_SECONDS = 0.01


def remove(name: str) -> None:
    """The cgroup `/NAME` and those below it. Nothing where there is none."""
    if not os.path.isdir(CGROUPS):
        return
    for hierarchy in (CGROUPS, *(entry.path for entry in os.scandir(CGROUPS) if entry.is_dir())):
        _remove(os.path.join(hierarchy, name))


def _remove(top: str) -> None:
    end = time.monotonic() + SECONDS
    while os.path.isdir(top):
        try:
            for directory, _, _ in os.walk(top, topdown=False):
                os.rmdir(directory)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(POLL_SECONDS)
