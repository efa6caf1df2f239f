# SPDX-License-Identifier: Apache-2.0
"""Which node `caplet run` is: one of those that `--on` names, as far as this machine can be it.

The engine makes the config.json; the OCI runtime and the kernel are this machine's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.runtimes.node import RUNTIMES, nodes

if TYPE_CHECKING:
    from caplet.runtimes.node import Node

DEFAULT = "containerd"


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


def engine_shown(node: Node) -> str:
    """`containerd 2.1`, or `containerd 2.1.9` where that was asked for: engines change with lines, seldom within one."""
    number = node.name.partition("+")[0].partition(":")[2]
    version = node.engine_version
    return f"{node.engine.title} {version if number.count('.') > 1 else version.line}"
