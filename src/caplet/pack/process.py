# SPDX-License-Identifier: Apache-2.0
"""How the image's program is to be started: the part of the configuration that becomes the container's process.

OCI image-spec config.md (v1.1.1), "Properties", `config`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

NONROOT = 65532
"""The user of distroless and Chainguard images named nonroot (distroless common/variables.bzl, NONROOT)."""

UID_MAX = (1 << 31) - 1
"""Kubernetes refuses a larger runAsUser (apimachinery pkg/util/validation, IsValidUserID)."""

PORT_MAX = 65535
"""Ports have 16 bits, and 0 is none."""

_USER = re.compile(r"(0|[1-9][0-9]*)(?::(0|[1-9][0-9]*))?", re.ASCII)
_PORT = re.compile(r"(-?[0-9]+)(?:/(tcp|udp|sctp))?", re.ASCII)
_MAPPED_PORT = re.compile(r"(?:[0-9.]+:)?[0-9]+:([0-9]+)(?:/\w+)?", re.ASCII)
"""`8080:80`, as `docker run -p` has it."""


@dataclass(frozen=True, slots=True)
class User:
    """A user by number: kubelet cannot tell whether a name is root, and refuses it under runAsNonRoot."""

    uid: int = NONROOT
    gid: int = NONROOT

    @classmethod
    def parse(cls, text: str) -> User:
        """`UID[:GID]`; the group is the user's number where it is left out, never 0 as engines would have it."""
        match = _USER.fullmatch(text)
        if match is None:
            raise InvalidInput(
                f"user {text!r} is not UID[:GID] in numbers",
                f"write a number, as {NONROOT}: a name cannot be checked by runAsNonRoot",
            )
        uid, gid = match[1], match[2] or match[1]
        if max(len(uid), len(gid)) > len(str(UID_MAX)) or max(int(uid), int(gid)) > UID_MAX:
            raise InvalidInput(f"user {text!r}: Kubernetes allows numbers from 0 to {UID_MAX}")
        return cls(int(uid), int(gid))

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"

    def passwd(self) -> bytes:
        """/etc/passwd with root and this user, so that a program can look itself up. No home, no shell, no password."""
        lines = ["root:x:0:0:root:/:/sbin/nologin\n"]
        if self.uid != 0:
            lines.append(f"nonroot:x:{self.uid}:{self.gid}:nonroot:/:/sbin/nologin\n")
        return "".join(lines).encode()

    def group(self) -> bytes:
        lines = ["root:x:0:\n"]
        if self.gid != 0:
            lines.append(f"nonroot:x:{self.gid}:\n")
        return "".join(lines).encode()


@dataclass(frozen=True, slots=True)
class Process:
    """What starts, as whom, where and with what."""

    user: User = field(default_factory=User)
    entrypoint: tuple[str, ...] = ()
    """Empty: the first program."""
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """NAME=VALUE, sorted as given."""
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    """`80/tcp`: documentation for people and tools; it opens nothing."""

    def __post_init__(self) -> None:
        for text in (*self.entrypoint, *self.cmd, *self.env, *self.labels, *self.labels.values()):
            must_be_text(text)
        for variable in self.env:
            key_and_value(variable, "variable")
        for port in self.ports:
            parse_port(port)
        if self.working_dir:
            must_be_text(self.working_dir)
            if not self.working_dir.startswith("/"):
                raise InvalidInput(
                    f"working directory {self.working_dir!r} is not absolute", f"write /{self.working_dir}"
                )

    def to_json(self, entrypoint: str) -> dict[str, Any]:
        """The `config` object, without empty fields; `entrypoint` is the program that starts by default."""
        fields = {
            "User": str(self.user),
            "ExposedPorts": {parse_port(port): {} for port in sorted(self.ports)},
            "Env": list(self.env),
            "Entrypoint": list(self.entrypoint or (entrypoint,)),
            "Cmd": list(self.cmd),
            "WorkingDir": self.working_dir,
            "Labels": dict(sorted(self.labels.items())),
        }
        return {name: value for name, value in fields.items() if value}


def parse_port(text: str) -> str:
    """`80` or `80/udp` as the configuration spells it."""
    match = _PORT.fullmatch(text)
    if match is None:
        mapped = _MAPPED_PORT.fullmatch(text)
        raise InvalidInput(
            f"port {text!r} is not NUMBER[/tcp|/udp|/sctp]",
            f"write the one on which the program listens: {mapped[1]}" if mapped else "",
        )
    digits = match[1].lstrip("0")
    if not digits or len(digits) > len(str(PORT_MAX)) or not 0 < int(digits) <= PORT_MAX:
        raise InvalidInput(f"port {text} is not between 1 and {PORT_MAX}")
    return f"{digits}/{match[2] or 'tcp'}"


def key_and_value(text: str, what: str = "label") -> tuple[str, str]:
    """`KEY=VALUE`, split. `what` is the word for it in the error."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InvalidInput(f"{what} {text!r} is not KEY=VALUE", f"write {key or 'KEY'}={value or 'VALUE'}")
    return key, value


def must_be_text(text: str) -> None:
    """What is not UTF-8 or holds a NUL has no place in a configuration."""
    if "\0" in text:
        raise InvalidInput(f"{text!r} holds a NUL: no argument or variable can")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{os.fsencode(text)!r} is not UTF-8: JSON cannot carry it") from None
