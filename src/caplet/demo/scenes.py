# SPDX-License-Identifier: Apache-2.0
"""The three scenes: one server, one user, and what differs between them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from caplet.kernel.filecaps import FileCaps
from caplet.runtimes.model import Version

USER = 65535
PORT = 80
PORT_START = 1024
"""The first port that needs no privilege, as each new network namespace has it (PROT_SOCK, include/net/sock.h)."""
ENGINE = Version(1, 7)
"""containerd 1.7 leaves that as it is. containerd 2 and Docker set 0, with which the capability would prove nothing."""

BIND = FileCaps.parse("NET_BIND_SERVICE")

POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: demo
spec:
  containers:
    - name: http
      image: http
      securityContext:
        runAsUser: {user}
        runAsNonRoot: true
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [all]
          add: [{add}]
"""


class Ending(Enum):
    """How a scene can end."""

    ANSWERS = "answers ok"
    CANNOT_BIND = "permission denied"
    """bind(2): EACCES."""
    DOES_NOT_START = "operation not permitted"
    """execve(2): EPERM."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One image and one Pod."""

    title: str
    file_caps: FileCaps | None
    """What the server's file carries."""
    add: tuple[str, ...]
    """What the Pod adds after it dropped all."""
    ending: Ending
    """How it must end, if this machine is as Linux is."""

    @property
    def manifest(self) -> str:
        return POD.format(user=USER, add=", ".join(self.add))


SCENES = (
    Scene("Without the capability on the file", None, ("NET_BIND_SERVICE",), Ending.CANNOT_BIND),
    Scene("With it", BIND, ("NET_BIND_SERVICE",), Ending.ANSWERS),
    Scene("With it, but everything dropped", BIND, (), Ending.DOES_NOT_START),
)
