# SPDX-License-Identifier: Apache-2.0
"""Programs of another architecture: whether this machine's kernel runs them."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.descriptor import Platform
from caplet.image.elf import read_elf

if TYPE_CHECKING:
    from collections.abc import Collection

    from caplet.explain.explanation import Explanation, Step

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


def on_this_machine(explanation: Explanation) -> Explanation:
    """The same, as far as this machine's kernel runs its programs: what comes behind a foreign one does not happen."""
    for place, step in enumerate(explanation.steps):
        if step.after is not None and (why := _foreign_program(explanation, step)):
            failed = replace(step, after=None, arithmetic=None, errno=errno.ENOEXEC, reason=why, secure=None)
            return replace(explanation, steps=(*explanation.steps[:place], failed))
    return explanation


def _foreign_program(explanation: Explanation, step: Step) -> str:
    if step.program is None or explanation.image is None:
        return ""
    file = step.program.file
    why = foreign(explanation.image.files.read(file.node, HEAD))
    return f"{os.fsdecode(file.path)} is {why}" if why else ""


def _emulators(directory: str) -> Collection[str]:
    try:
        return {*os.listdir(directory)} - {"register", "status"}
    except OSError:
        return ()
