# SPDX-License-Identifier: Apache-2.0
"""The Pod's own network namespace: loopback up, sysctls as the engine sets them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import struct
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PORT_START = "net.ipv4.ip_unprivileged_port_start"

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
"""netdevice(7), include/uapi/linux/if.h."""

_IPC_SYSCTLS = re.compile(r"kernel\.(shm\w+|msg\w+|sem)|fs\.mqueue\.\w+")
"""What belongs to an IPC namespace (sysctl(2) names; Kubernetes pkg/kubelet/sysctl/namespace.go)."""


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH22x", b"lo", 0)
        flags: int = struct.unpack_from("16xH", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def check_sysctls(sysctl: Mapping[str, str], *, host_network: bool) -> None:
    """Only sysctls of the Pod's own namespaces may be written: all others are this machine's."""
    for name in sysctl:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)+", name):
            raise InvalidInput(f"not a sysctl: {name!r}")
        if name.startswith("net."):
            if host_network:
                raise InvalidInput(f"sysctl {name} with hostNetwork would change this machine's network")
        elif not _IPC_SYSCTLS.fullmatch(name):
            raise InvalidInput(f"sysctl {name} is not confined to a Pod: it would change this machine")


def write_sysctls(sysctl: Mapping[str, str]) -> None:
    for name, value in sysctl.items():
        try:
            with open(_path(name), "wb", 0) as file:
                file.write(value.encode())
        except OSError as error:
            raise InvalidInput(f"sysctl {name}={value}: {os.strerror(error.errno or 0)}") from error


def read_sysctls(names: Iterable[str]) -> dict[str, str]:
    """Their values, with single spaces; one that this kernel lacks is left out."""
    values = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError), open(_path(name), encoding="ascii") as file:
            values[name] = " ".join(file.read().split())
    return values


def _path(name: str) -> str:
    return "/proc/sys/" + name.replace(".", "/")
