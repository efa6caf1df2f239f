# SPDX-License-Identifier: Apache-2.0
"""Which node `caplet run` is: one of those that `--on` names, as far as this machine can be it.

The engine makes the config.json; the OCI runtime and the kernel are this machine's own.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.kernel.versions import Kernel
from caplet.runtimes import runc
from caplet.runtimes.model import Version
from caplet.runtimes.node import RUNTIMES, nodes

if TYPE_CHECKING:
    from caplet.runtimes.node import Node

DEFAULT = "containerd"

ANSWER_SECONDS = 5.0
"""A program that does not say its version in that time will hardly start a container."""


def node_here(text: str) -> Node:
    """`containerd:2.1`, `crio`, `docker:28`, `crio+kubernetes:1.30`. Raises InvalidInput for what this machine is not."""
    node, *more = nodes(text)
    if more:
        names = ", ".join(one.name for one in [node, *more[:4]])
        raise InvalidInput(
            f"--on {text[:60]}: a container runs as one engine makes it, and this names {1 + len(more)}",
            f"name one of them: {names}",
        )
    for part in node.name.split("+")[1:]:
        name = part.partition(":")[0]
        if name in RUNTIMES:
            raise InvalidInput(
                f"--on {node.name}: the OCI runtime is one of this machine's",
                f"leave +{part} out, and choose with --runtime {name}",
            )
        if name == "linux":
            raise InvalidInput(
                f"--on {node.name}: the kernel is this machine's",
                f"leave +{part} out; caplet explain has other kernels",
            )
    return node


def on_this_machine(node: Node, runtime: str, program: str) -> Node:
    """The node with what `find_runtime` found, and with this kernel."""
    kernel = Kernel.parse(os.uname().release)
    if runtime == "embedded":
        return replace(node, kernel=kernel, runtime=runc.RUNTIME, runtime_version=runc.NEWEST)
    known = RUNTIMES[runtime]
    version = _version(program) or known.releases[-1]
    return replace(node, kernel=kernel, runtime=known, runtime_version=version)


def _version(program: str) -> Version | None:
    """`runc version 1.1.5+ds1`, `crun version 1.8.1`: the first line of --version. None where it says nothing like it."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    match = re.match(r"\S+ version (\d{1,4}(?:\.\d{1,4}){1,2}(?:-rc\.?\d{1,3})?)", said)
    return Version.parse(match[1]) if match else None


def engine_shown(node: Node) -> str:
    """`containerd 2.1`, or `containerd 2.1.9` where that was asked for: engines change with lines, seldom within one."""
    number = node.name.partition("+")[0].partition(":")[2]
    version = node.engine_version
    return f"{node.engine.title} {version if number.count('.') > 1 else version.line}"
