# SPDX-License-Identifier: Apache-2.0
"""Whether this machine's kernel runs programs of another architecture than its own."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.descriptor import Platform
from caplet.image.elf import read_elf

if TYPE_CHECKING:
    from collections.abc import Collection

MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "i686": "386"}
"""uname -m and what images call it; others are the same (riscv64, ppc64le, s390x)."""

ALSO_RUN = {"amd64": ("386",), "arm64": ("arm",)}
"""By the kernel itself where it was built so: CONFIG_IA32_EMULATION; CONFIG_COMPAT, on processors that have AArch32."""

HEAD = 4096
"""Bytes of a program that are looked at."""

BINFMT_MISC = "/proc/sys/fs/binfmt_misc"
"""Emulators that were registered with the kernel: Documentation/admin-guide/binfmt-misc.rst."""


def this_platform() -> Platform:
    """What this machine runs."""
    machine = os.uname().machine
    return Platform.parse(f"linux/{MACHINES.get(machine, machine)}")


def foreign(head: bytes) -> str:
    """Why a program that begins so does not run here, in words; empty where it may."""
    try:
        architecture = read_elf(io.BytesIO(head)).platform.architecture
    except InvalidInput:
        return ""
    here = this_platform().architecture
    if architecture in (here, *ALSO_RUN.get(here, ())) or _emulators(BINFMT_MISC):
        return ""
    return f"a program for {architecture}, and this machine is {here}"


def _emulators(directory: str) -> Collection[str]:
    try:
        return {*os.listdir(directory)} - {"register", "status"}
    except OSError:
        return ()
