# SPDX-License-Identifier: Apache-2.0
"""The combinations of the matrix: whom the Pod runs as, what it adds and drops, and what the program's file carries."""

from __future__ import annotations

import errno
import itertools
import json
import platform
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from caplet.image.entry import Entry
from caplet.image.image import Image, new_image
from caplet.image.newlayer import LayerWriter
from caplet.image.tarwriter import TarWriter
from caplet.kernel.filecaps import FileCaps
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.programs.shipped import host_architecture, path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kubernetes.pod import PodSpec

USERS = (0, 65535)

CAPABILITIES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "default": ((), ()),
    "drop-all": ((), ("ALL",)),
    "drop-one": ((), ("NET_BIND_SERVICE",)),
    "add": (("NET_BIND_SERVICE", "NET_ADMIN"), ()),
    "add-after-drop": (("NET_BIND_SERVICE",), ("ALL",)),
    "all": (("ALL",), ()),
    "all-after-drop": (("ALL",), ("ALL",)),
    "lowercase": (("net_bind_service",), ("all",)),
    "prefix": (("CAP_NET_BIND_SERVICE",), ("ALL",)),
    "unknown": (("NET_BIND_SERVICES",), ("ALL",)),
    "both": (("NET_BIND_SERVICE",), ("NET_BIND_SERVICE",)),
}
"""Name -> what the Pod adds, what it drops."""

ESCALATION: Mapping[str, bool | None] = {"unset": None, "true": True, "false": False}

BIND_80 = {
    "x86_64": ("41,2,1,0", "49,3,@02000050000000000000000000000000,16"),
    "aarch64": ("198,2,1,0", "200,3,@02000050000000000000000000000000,16"),
}
"""The probe's calls: socket(AF_INET, SOCK_STREAM, 0), which is 3, and bind(3, 0.0.0.0:80)."""


@dataclass(frozen=True, slots=True)
class Program:
    """What the container starts."""

    argv: tuple[str, ...]
    """Where the first word is a file of its own in the image, with what follows."""
    caps: str = ""
    mode: int = 0o755
    text: str = ""
    """A script's; empty: the file is the probe."""


PROGRAMS: Mapping[str, Program] = {
    "plain": Program(("/plain",)),
    "ep": Program(("/ep",), "cap_net_bind_service=ep"),
    "p": Program(("/p",), "cap_net_bind_service=p"),
    "eip": Program(("/eip",), "cap_net_bind_service=eip"),
    "two": Program(("/two",), "cap_net_bind_service,cap_net_admin=ep"),
    "setuid": Program(("/setuid",), mode=0o4755),
    "script": Program(("/script",), "cap_net_bind_service=ep", text="#!/plain -\n"),
    "interpreter": Program(("/interpreted",), text="#!/ep -\n"),
    "wrapper": Program(("/plain", "/ep")),
}
"""`script` carries the attribute itself, the interpreter of `interpreted` does; `wrapper` is a program without that
becomes one with it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One combination."""

    user: int
    capabilities: str
    escalation: str
    privileged: bool
    program: str

    @property
    def group(self) -> str:
        """All but the program."""
        privileged = " privileged" if self.privileged else ""
        return f"{self.user} {self.capabilities} {self.escalation}{privileged}"

    @property
    def name(self) -> str:
        return f"{self.group} {self.program}"

    def pod(self) -> PodSpec:
        return _pod(self)

    def manifest(self) -> dict[str, Any]:
        add, drop = CAPABILITIES[self.capabilities]
        security: dict[str, Any] = {"runAsUser": self.user, "capabilities": {"add": add, "drop": drop}}
        if self.privileged:
            security["privileged"] = True
        if ESCALATION[self.escalation] is not None:
            security["allowPrivilegeEscalation"] = ESCALATION[self.escalation]
        container = {
            "name": "probe",
            "image": "probe",
            "command": [*PROGRAMS[self.program].argv, *BIND_80[platform.machine()]],
            "securityContext": security,
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p"},
            "spec": {"containers": [container]},
        }


@cache
def _pod(row: Row) -> PodSpec:
    name = row.name
    return the_pod(documents(json.dumps(row.manifest()), name), name)


ROWS = tuple(
    Row(user, capabilities, escalation, privileged, program)
    for user, capabilities, escalation, privileged, program in itertools.product(
        USERS, CAPABILITIES, ESCALATION, (False, True), PROGRAMS
    )
)

REFUSED_BY_THE_API = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
"""No cluster runs `privileged` with `allowPrivilegeEscalation: false`. Docker and Podman do, and so do engines below."""


@cache
def image(user: str = "", passwd: str = "", group: str = "") -> Image:
    """One image with every program; with USER, /etc/passwd and /etc/group where they are given."""
    probe = path("probe").read_bytes()
    with LayerWriter() as out:
        tar = TarWriter(out.write)
        for program in PROGRAMS.values():
            if program.argv[1:]:
                continue
            data = program.text.encode() or probe
            xattrs = {b"security.capability": FileCaps.parse(program.caps).encode()} if program.caps else {}
            name = program.argv[0].removeprefix("/").encode()
            tar.add(Entry(name, mode=program.mode, size=len(data), xattrs=xattrs), [data])
        for name, text in ((b"etc/passwd", passwd), (b"etc/group", group)):
            if text:
                tar.add(Entry(name, mode=0o644, size=len(text)), [text.encode()])
        tar.close()
        layer = out.finish()
    config = {
        "created": "1970-01-01T00:00:00Z",
        "architecture": host_architecture(),
        "os": "linux",
        "config": {"Entrypoint": ["/plain"], "User": user},
        "history": [{"created_by": "the programs of the matrix"}],
    }
    return new_image(config, (layer,))


def error_name(result: int) -> str:
    """`0`, or EACCES of -13."""
    return "0" if result >= 0 else errno.errorcode.get(-result, str(result))


def row_named(name: str) -> Row:
    user, capabilities, escalation, *privileged, program = name.split()
    return Row(int(user), capabilities, escalation, bool(privileged), program)


def request_of(name: str) -> str:
    """Rows with the same make the same request of the engine: allowPrivilegeEscalation says nothing unless false."""
    return name.replace(" true", " unset")
