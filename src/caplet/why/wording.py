# SPDX-License-Identifier: Apache-2.0
"""What a wording is worth: which causes it decides alone, which it makes likely, and which capability it is about.

The text alone rarely decides: `bind: permission denied` is written whatever took the capability. Some texts have one
cause only, such as the kubelet's own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from caplet.causes.lines import BIND_DENIED, EXEC_DENIED, EXEC_DENIED_BEHIND, MEMORY_DENIED, PING_DENIED
from caplet.kernel.caps import NO_CAPS, Cap, Caps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.causes.cause import Cause, Log


class Worth(IntEnum):
    """The best first."""

    DECIDES = 0
    """Nothing else is written so."""
    LIKELY = 1
    POSSIBLE = 2


@dataclass(frozen=True, slots=True)
class Wording:
    """Log lines that many causes share."""

    logs: tuple[Log, ...]
    likely: tuple[str, ...]
    """Codes of those that people meet, the most frequent first; the others are possible."""
    about: Caps = NO_CAPS
    """The capability that the line is about; none where it may be any."""


SHARED = (
    Wording((*EXEC_DENIED, *EXEC_DENIED_BEHIND), ("CAP102", "CAP110")),
    Wording(BIND_DENIED, ("CAP101", "CAP134", "CAP103", "CAP106", "CAP104"), Caps.of(Cap.NET_BIND_SERVICE)),
    Wording(PING_DENIED, ("CAP101", "CAP106"), Caps.of(Cap.NET_RAW)),
    Wording(MEMORY_DENIED, ("CAP101",), Caps.of(Cap.IPC_LOCK)),
)

DECIDING: Mapping[str, str] = {
    "CAP105": r"unable to set CAP_SETFCAP",
    "CAP108": r"DST not allowed",
    "CAP112": r"unknown cap|unknown or unavailable cap",
    "CAP118": r"cannot be dropped and added",
    "CAP119": r"adding all caps and removing all",
    "CAP120": r"non-root user|non-root$|will run as root|non-root policy|is non-root",
    "CAP121": r"no new privileges",
    "CAP122": r"",
    "CAP123": r"",
    "CAP124": r"",
    "CAP125": r"",
    "CAP127": r"",
    "CAP132": r"",
    "CAP138": r"",
}
"""By code: which of the cause's own lines decide; all of them where nothing is said.

Each is one program's own text for one thing: API server, kubelet (pkg/kubelet/kuberuntime/security_context.go), Docker,
runc, crun, libcap's setcap, glibc's ld.so, gosu, su-exec, setpriv, s6.
"""

WHERE: Mapping[str, str] = {
    "CAP101": "the Pod adds the capability, its user is not root, and the program's file carries none",
    "CAP102": "the file carries an effective capability that the Pod does not allow",
    "CAP103": "a shell, tini or dumb-init without file capabilities executes the program under no_new_privs",
    "CAP104": "the engine is Docker before 23.0.7, or the OCI runtime is a recent gVisor",
    "CAP106": "the image is right, and the node's copy of it has lost the attribute",
    "CAP107": "the build ran setcap, and a later step, or how it was copied, lost it",
    "CAP109": "the file's security.capability attribute is empty or broken",
    "CAP110": "the file carries a capability that this engine does not give by default, as CRI-O",
    "CAP112": "a name in capabilities.add is written with CAP_, or mistyped",
    "CAP114": "the program is on a volume or another mount with nosuid",
    "CAP115": "the file's attribute was written in another user namespace",
    "CAP116": "the capability was ambient, and the program's file carries an attribute of its own",
    "CAP118": "the capability is in add and in drop",
    "CAP119": "ALL is in add and in drop",
    "CAP121": "the program is set-user-ID, and allowPrivilegeEscalation is false",
    "CAP126": "the entrypoint starts as root and becomes another user",
    "CAP128": "the Pod has hostUsers: false, on containerd 1.7",
    "CAP129": "the file's attribute is inheritable only",
    "CAP131": "the capability is on the wrapper's file, not on the program's",
    "CAP132": "the capability is newer than the engine or the kernel",
    "CAP134": "the Pod does not add NET_BIND_SERVICE, and its user is not root",
    "CAP136": "the Pod has hostUsers: false and hostNetwork: true",
    "CAP142": "the engine is old, and its default seccomp profile blocks the system call",
}
"""By code: in which containers a line that several causes share means this one."""

FIRST_FREE_PORT = 1024
"""From there on EACCES of bind(2) is no matter of capabilities: PROT_SOCK, include/net/sock.h."""

_EACCES = re.compile(r"permission denied|\bEACCES\b", re.IGNORECASE)
_SOCKET = re.compile(r"\b(?:bind|listen|socket|connect|sendto|sendmsg)\b", re.IGNORECASE)

_NAMES = re.compile(r"\bCAP_([A-Z_]{1,64})|[\"`](?:CAP_)?([A-Z_]{1,64})[\"`]", re.IGNORECASE)
"""Capabilities in a message; Docker and crun quote them, also without CAP_."""


def worth(cause: Cause, log: Log, line: str) -> Worth:
    """What the line, which `log` matches, is worth for the cause."""
    for wording in SHARED:
        if log in wording.logs:
            return Worth.LIKELY if cause.code in wording.likely else Worth.POSSIBLE
    if cause.code == "CAP112" and _names_a_capability(line):
        # The name is right: whoever says this is older than the capability, or lacks it.
        return Worth.POSSIBLE
    deciding = DECIDING.get(cause.code)
    if deciding is not None and re.search(deciding, line, re.IGNORECASE):
        return Worth.DECIDES
    return Worth.LIKELY


def is_own(log: Log, line: str) -> bool:
    """Whether the line is that log's, and not one about a program of that name which does not start: `exec /usr/bin/ping: ...`."""
    return log not in PING_DENIED or not any(one.match(line) for one in SHARED[0].logs)


def is_of_exec(log: Log) -> bool:
    """Whether it says that execve(2) was denied."""
    return log in SHARED[0].logs


def is_of_files(line: str) -> bool:
    """EACCES of something else than a socket."""
    return bool(_EACCES.search(line)) and not _SOCKET.search(line)


def about(log: Log) -> Caps:
    """The capability that a line is about; none where it may be any."""
    return next((wording.about for wording in SHARED if log in wording.logs), NO_CAPS)


def rank(cause: Cause, log: Log) -> int:
    """The place among those that share the line."""
    for wording in SHARED:
        if log in wording.logs and cause.code in wording.likely:
            return wording.likely.index(cause.code)
    return len(SHARED)


def _names_a_capability(line: str) -> bool:
    """Whether every name is one."""
    names = [(match[1] or match[2]).upper() for match in _NAMES.finditer(line)]
    return bool(names) and all(name in Cap.__members__ for name in names)
