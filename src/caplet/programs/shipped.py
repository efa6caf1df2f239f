# SPDX-License-Identifier: Apache-2.0
"""The built programs that come with the package, each checked against the digest recorded when it was built."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

from caplet.errors import CapletError, Unavailable

ARCHITECTURES = ("amd64", "arm64")
"""In the image specification's names (GOARCH)."""

NAMES = ("http", "probe")

HERE = Path(__file__).resolve().parent
SUMS = HERE / "SHA256SUMS"
"""As sha256sum(1) writes and checks it: `cd src/caplet/programs && sha256sum -c SHA256SUMS`."""

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""uname(2) machine -> architecture."""


def host_architecture() -> str:
    """The architecture of this machine's kernel; Unavailable where no program was built for it."""
    machine = platform.machine()
    if machine not in MACHINES:
        raise Unavailable(f"the shipped programs are built for {', '.join(MACHINES)}, not for {machine}")
    return MACHINES[machine]


def path(name: str, architecture: str | None = None) -> Path:
    """The built program `name`, by default for this machine; its content is what was recorded."""
    file = HERE / (architecture or host_architecture()) / name
    _verify(file)
    return file


def _verify(file: Path) -> None:
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    if f"{digest}  {file.parent.name}/{file.name}" not in SUMS.read_text("ascii").splitlines():
        raise CapletError(
            f"{file}: not the program that was shipped",
            "install caplet again, or run `make programs` if you changed its source",
        )
