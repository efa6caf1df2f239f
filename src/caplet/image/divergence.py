# SPDX-License-Identifier: Apache-2.0
"""A note that engines unpack the same layers to different files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Divergence:
    """What caplet reports is what containerd's overlay snapshotter shows; the engines named here see something else."""

    path: bytes
    engines: tuple[str, ...]
    """Examples: "docker", "podman", "umoci"."""
    reason: str

    def __str__(self) -> str:
        return f"{', '.join(self.engines)}: {self.reason}"
