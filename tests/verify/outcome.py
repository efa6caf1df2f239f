# SPDX-License-Identifier: Apache-2.0
"""What became of a container, as one line of text: what was seen, and what the model says, in the same words.

exec 65535:65535:65535 0:0:0 [0] P=400 E=400 I=0 B=400 A=0 nnp secure; bind 0
exec ... ; exec EPERM; bind EACCES          the wrapper's second execve was refused
exec fails: exec /ep: operation not permitted
refused: invalid CapAdd: unknown capability: "CAP_NET_BIND_SERVICES"
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.verify.rows import PROGRAMS, REFUSED_BY_THE_API, Row, error_name

from caplet.explain.container import explain
from caplet.kernel.capable import BindPort, allowed
from caplet.kernel.caps import Caps
from caplet.runtimes import apiserver
from caplet.verify.probed import probed

if TYPE_CHECKING:
    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.kernel.credentials import Credentials
    from caplet.runtimes.node import Node
    from caplet.verify.seen import Seen

EVERY = Caps((1 << 64) - 1)

PORT_START = "net.ipv4.ip_unprivileged_port_start"

REFUSED, FAILS = "refused: ", "exec fails: "


def state(cred: Credentials, available: Caps = EVERY) -> str:
    """`available`: the capabilities that are shown. What becomes of one does not depend on the others."""
    caps = cred.caps
    groups = ",".join(map(str, sorted(cred.groups)))
    return (
        f"exec {cred.uid}:{cred.euid}:{cred.suid} {cred.gid}:{cred.egid}:{cred.sgid} [{groups}]"
        f" P={(caps.permitted & available).mask:x} E={(caps.effective & available).mask:x} I={(caps.inheritable & available).mask:x}"
        f" B={(caps.bounding & available).mask:x} A={(caps.ambient & available).mask:x}"
        f"{' nnp' if cred.no_new_privs else ''}{' secure' if cred.at_secure else ''}"
        f"{f' securebits={cred.securebits:x}' if cred.securebits else ''}"
    )


def seen(one: Seen) -> str:
    """Of a container whose program is the probe, which ends with its two calls (socket, bind)."""
    if one.refused:
        return REFUSED + plain(one.error)
    if not one.started:
        return f"{FAILS}{plain(one.error)} (exit code {one.exit_code})"
    output = probed(one.stdout)
    if len(output.results) < 2:
        return f"no word of the probe: {one}"
    *chain, socket, bind = output.results
    parts = [state(cred) for cred in output.executed]
    parts += _from_outside(one, output.executed)
    parts += [f"exec {error_name(result)}" for result in chain]
    parts.append(f"bind {error_name(bind if socket == 3 else socket)}")
    return "; ".join(parts)


def _from_outside(one: Seen, executed: tuple[Credentials, ...]) -> list[str]:
    """Where it does not fit what a program said of itself. A wrapper may have executed the next one before anybody looked."""
    if one.observed is None:
        return []
    different = [
        (
            *one.observed.differences(cred),
            *(("AT_SECURE",) if one.secure not in {None, cred.at_secure} else ()),
        )
        for cred in executed
    ]
    return [] if () in different else [f"from outside otherwise: {', '.join(different[0])}"]


def plain(message: str) -> str:
    """Without what differs from run to run: container ids, paths of the engine's own directories."""
    return re.sub(r"[0-9a-f]{64}", "ID", re.sub(r"/(?:var/)?tmp/\S*", "PATH", message))


def predicted(row: Row, node: Node, facts: ImageFacts, every: Caps, available: Caps) -> str:
    """What explain() says of the row on that node, where the engine has the capabilities `every` and gives `available`."""
    programs = _programs(row)
    pod = row.pod()
    explanation = explain(pod, pod.containers[0], facts, node, programs[1:], every)
    refused = explanation.refused
    if refused is not None and refused.by == apiserver.NAME:
        assert refused.message.endswith(REFUSED_BY_THE_API)
        below = replace(node, kubernetes=None)
        explanation = explain(pod, pod.containers[0], facts, below, programs[1:], every)
    return explained(explanation, programs, available)


def explained(explanation: Explanation, programs: tuple[tuple[str, ...], ...], available: Caps) -> str:
    """An explanation of the probe, in the words of `seen`."""
    refused, node = explanation.refused, explanation.node
    if refused is not None:
        return REFUSED + refused.message
    parts: list[str] = []
    assert explanation.created is not None
    cred = explanation.created
    for argv, step in zip(programs, explanation.executions, strict=True):
        if step.after is not None:
            cred = step.after
            parts.append(state(cred, available))
        elif parts:
            parts.append(f"exec {step.error}")
        else:
            return FAILS + node.runtime.exec_error(argv[0], step.errno, node.runtime_version)
    can = allowed(cred, BindPort(80), {PORT_START: str(explanation.port_start)})
    parts.append(f"bind {'0' if can else 'EACCES'}")
    return "; ".join(parts)


def _programs(row: Row) -> tuple[tuple[str, ...], ...]:
    """The arguments of each program: all words are programs, one executes the next."""
    argv = PROGRAMS[row.program].argv
    return tuple(argv[place:] for place in range(len(argv)))


def agree(said: str, found: str) -> bool:
    """Engines wrap the texts of others: what is predicted of a refusal must be in it."""
    for kind in (REFUSED, FAILS):
        if said.startswith(kind):
            return found.startswith(kind) and said.removeprefix(kind) in found
    return said == found
