# SPDX-License-Identifier: Apache-2.0
"""Why a process holds what it holds: the formula of capabilities(7) with this process's values in it.

For a user other than root, which is the only one the scenes know. Nothing is known beforehand: each line is computed from
the credentials before execve(2), the program's file, and what the model made of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from caplet.explain.explanation import Step
    from caplet.kernel.credentials import Credentials

FORMULA = "P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)"
_INDENT = " " * FORMULA.index("=")


def why(step: Step, port: int, start: int) -> list[str]:
    """Of the execve(2) of the server, lines from the file to the port; `start` is ip_unprivileged_port_start."""
    caps = step.program.file.caps if step.program is not None and step.program.chain else None
    file = caps if isinstance(caps, FileCaps) else None
    if step.after is None:
        return [*_denied(step.before, file), f"execve(2): {step.reason}"]
    return [*_transformed(step.before, file, step.after), _bound(step.after, port, start)]


def _denied(before: Credentials, file: FileCaps | None) -> list[str]:
    if file is None or not file.effective:
        return []
    granted = file.permitted & before.caps.bounding
    return [
        f"F(permitted) & P(bounding) = {file.permitted} & {before.caps.bounding} = {granted}",
        "the file's effective bit is set: it starts with all of F(permitted) or not at all",
    ]


def _transformed(before: Credentials, file: FileCaps | None, after: Credentials) -> list[str]:
    old, forced = before.caps, file.permitted if file else NO_CAPS
    inheritable = file.inheritable if file else NO_CAPS
    values = f"({old.inheritable} & {inheritable}) | ({forced} & {old.bounding}) | {after.caps.ambient}"
    raised = (old.inheritable & inheritable) | (forced & old.bounding) | after.caps.ambient
    lines = [
        f"the file carries {f'{file}' if file else 'no capabilities'}",
        FORMULA,
        f"{_INDENT}= {values} = {raised}",
    ]
    if before.no_new_privs and raised:
        lines.append(_no_new_privs(raised, old.permitted))
    return lines


def _no_new_privs(raised: Caps, permitted: Caps) -> str:
    if lost := raised - permitted:
        return f"no_new_privs takes {lost}, which was not permitted before"
    return f"no_new_privs takes nothing of it: P(permitted) had {permitted} before"


def _bound(after: Credentials, port: int, start: int) -> str:
    needed = f"port {port} is below {start}: bind(2) asks for NET_BIND_SERVICE in the effective set"
    if port >= start:
        return f"port {port} is not below {start}: it needs no capability"
    return f"{needed}, which has {'it' if Cap.NET_BIND_SERVICE in after.caps.effective else after.caps.effective}"
