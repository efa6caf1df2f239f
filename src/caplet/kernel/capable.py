# SPDX-License-Identifier: Apache-2.0
"""What operations need: "has CAP_NET_BIND_SERVICE" and "can bind port 80" are different questions.

An operation that needs a capability often needs it only so far: not for ports that a sysctl gave to everyone, not for memory
within a limit. Each class names the function of Linux 6.12 that asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, assert_never

from caplet.errors import InvalidInput
from caplet.kernel.caps import Cap
from caplet.kernel.namespaces import INITIAL, UserNamespace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kernel.credentials import Credentials

PORT_START = "net.ipv4.ip_unprivileged_port_start"
"""Of IPv4 and IPv6, since Linux 4.11; each new network namespace begins with 1024."""

PING_GROUPS = "net.ipv4.ping_group_range"
"""Each new network namespace begins with `1 0`: nobody."""


@dataclass(frozen=True, slots=True)
class BindPort:
    """bind(2) of a TCP, UDP or SCTP port: __inet_bind(), `net/ipv4/af_inet.c`; EACCES."""

    port: int
    net_user_ns: UserNamespace = INITIAL
    """Who owns the network namespace: with hostNetwork the initial one, whatever user namespace the process is in."""


@dataclass(frozen=True, slots=True)
class RawSocket:
    """socket(2) of SOCK_RAW or AF_PACKET: inet_create(), packet_create(); EPERM."""

    net_user_ns: UserNamespace = INITIAL


@dataclass(frozen=True, slots=True)
class PingSocket:
    """socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP), by which ping(8) works without a capability: ping_init_sock(); EACCES."""


@dataclass(frozen=True, slots=True)
class ConfigureNetwork:
    """Interfaces, addresses, routes, firewall: rtnetlink_rcv_msg(), devinet_ioctl(); EPERM."""

    net_user_ns: UserNamespace = INITIAL


@dataclass(frozen=True, slots=True)
class LockMemory:
    """mlock(2): do_mlock(), can_do_mlock(), `mm/mlock.c`; ENOMEM, or EPERM where the limit is 0."""

    size: int
    limit: int
    """Soft RLIMIT_MEMLOCK, less what is locked already."""


@dataclass(frozen=True, slots=True)
class Chroot:
    """chroot(2), `fs/open.c`; EPERM."""


@dataclass(frozen=True, slots=True)
class SetTime:
    """clock_settime(2): cap_settime(); EPERM."""


Operation: TypeAlias = BindPort | RawSocket | PingSocket | ConfigureNetwork | LockMemory | Chroot | SetTime


def needed(operation: Operation) -> Cap | None:
    """The capability that allows the operation where nothing else does; None where no capability would."""
    match operation:
        case BindPort():
            return Cap.NET_BIND_SERVICE
        case RawSocket():
            return Cap.NET_RAW
        case PingSocket():
            return None
        case ConfigureNetwork():
            return Cap.NET_ADMIN
        case LockMemory():
            return Cap.IPC_LOCK
        case Chroot():
            return Cap.SYS_CHROOT
        case SetTime():
            return Cap.SYS_TIME
        case _:
            assert_never(operation)


def allowed(cred: Credentials, operation: Operation, sysctls: Mapping[str, str]) -> bool:
    """Whether a process may; `sysctls` are those of its network namespace, the kernel's own values where not named."""
    match operation:
        case BindPort(port, owner):
            free = port == 0 or port >= _number(PORT_START, sysctls.get(PORT_START, "1024"))
            return free or cred.capable(Cap.NET_BIND_SERVICE, owner)
        case RawSocket(owner):
            return cred.capable(Cap.NET_RAW, owner)
        case PingSocket():
            low, high = _range(sysctls.get(PING_GROUPS, "1 0"))
            return any(low <= gid <= high for gid in (cred.egid, *cred.groups))
        case ConfigureNetwork(owner):
            return cred.capable(Cap.NET_ADMIN, owner)
        case LockMemory(size, limit):
            return (limit > 0 and size <= limit) or cred.capable(Cap.IPC_LOCK, INITIAL)
        case Chroot():
            return cred.capable(Cap.SYS_CHROOT)
        case SetTime():
            return cred.capable(Cap.SYS_TIME, INITIAL)
        case _:
            assert_never(operation)


def _number(name: str, value: str) -> int:
    if not value.strip().isdecimal():
        raise InvalidInput(f"{name} is a number, not {value!r}")
    return int(value)


def _range(value: str) -> tuple[int, int]:
    words = value.split()
    if len(words) != 2:
        raise InvalidInput(f"{PING_GROUPS} is two groups, not {value!r}")
    low, high = (_number(PING_GROUPS, word) for word in words)
    return low, high
