"""Each operation is tried for real, by a process with just the credentials that are asked about."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import struct
from typing import TYPE_CHECKING

import pytest
from tests.kernel.isolated import Isolated

from caplet.errors import InvalidInput
from caplet.kernel import syscalls as k
from caplet.kernel.capable import (
    BindPort,
    Chroot,
    ConfigureNetwork,
    LockMemory,
    Operation,
    PingSocket,
    RawSocket,
    SetTime,
    allowed,
    needed,
)
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.kernel.namespaces import INITIAL, IdMap
from caplet.run import linux
from caplet.run.perform import do, perform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPERATIONS: tuple[Operation, ...] = (
    BindPort(80),
    BindPort(1023),
    BindPort(1024),
    BindPort(0),
    RawSocket(),
    PingSocket(),
    ConfigureNetwork(),
    LockMemory(4096, 8192),
    LockMemory(65536, 8192),
    LockMemory(4096, 0),
    Chroot(),
    SetTime(),
)

ADJ_TICK = 0x4000

CREATED: dict[str, str] = {}
"""A network namespace as the kernel makes it."""

SYSCTLS: tuple[Mapping[str, str], ...] = (
    CREATED,
    {"net.ipv4.ip_unprivileged_port_start": "0"},
    {"net.ipv4.ip_unprivileged_port_start": "81", "net.ipv4.ping_group_range": "0 2147483647"},
    {"net.ipv4.ping_group_range": "100 200"},
)


def attempt(operation: Operation) -> bool:
    """The operation, done by this process."""
    try:
        match operation:
            case BindPort(port):
                with socket.socket(socket.AF_INET6) as server:
                    server.bind(("::", port))
            case RawSocket():
                socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
                socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
            case PingSocket():
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
            case ConfigureNetwork():
                _set_flags_of_lo()
            case LockMemory(size, limit):
                _lock(size, limit)
            case Chroot():
                os.chroot("/")
            case SetTime():
                _set_tick()
    except PermissionError:
        return False
    return True


def _set_tick() -> None:
    """adjtimex(2): the clock's tick, which SYS_TIME lets one set, set as it is."""
    libc, timex = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(256)
    assert libc.adjtimex(timex) >= 0
    struct.pack_into("=I", timex, 0, ADJ_TICK)
    if libc.adjtimex(timex) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex")


def _set_flags_of_lo() -> None:
    """ioctl(SIOCSIFFLAGS), netdevice(7)."""
    import fcntl

    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, 0x8914, b"lo".ljust(16, b"\0") + (1).to_bytes(16, "little"))


def _lock(size: int, limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
    libc = ctypes.CDLL(None, use_errno=True)
    memory = ctypes.create_string_buffer(size + 4096)
    start = -(-ctypes.addressof(memory) // 4096) * 4096
    if libc.mlock(ctypes.c_void_p(start), size) != 0:
        raise PermissionError(ctypes.get_errno(), "mlock")


def observed(calls: Sequence[k.Syscall], operation: Operation, sysctls: Mapping[str, str]) -> bool:
    """In a network namespace of its own."""

    def child() -> bool:
        linux.unshare(linux.CLONE_NEWNET)
        for name, value in sysctls.items():
            with open(f"/proc/sys/{name.replace('.', '/')}", "w", encoding="ascii") as sysctl:
                sysctl.write(value)
        for call in calls:
            do(call)
        return attempt(operation)

    return Isolated(child).result()


def become(uid: int, gid: int, groups: tuple[int, ...], caps: Caps) -> list[k.Syscall]:
    return [
        k.SetKeepcaps(True),
        k.Setgroups(groups),
        k.Setresgid(gid, gid, gid),
        k.Setresuid(uid, uid, uid),
        k.Capset(caps, caps, NO_CAPS),
    ]


USED = (Cap.NET_BIND_SERVICE, Cap.NET_RAW, Cap.NET_ADMIN, Cap.IPC_LOCK, Cap.SYS_CHROOT, Cap.SYS_TIME)

PROCESSES = {
    "no capability": become(65533, 65533, (), NO_CAPS),
    "group 150": become(65533, 65533, (150,), NO_CAPS),
    **{cap.name: become(65533, 65533, (), Caps.of(cap)) for cap in USED},
    "all but one": become(65533, 100, (), Caps.of(*USED[1:])),
}


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("process", PROCESSES)
def test_it_may_what_the_model_says(process: str) -> None:
    calls = PROCESSES[process]
    cred = k.apply_all(perform([]).start, calls)
    for sysctls in SYSCTLS:
        for operation in OPERATIONS:
            assert observed(calls, operation, sysctls) is allowed(cred, operation, sysctls), (
                operation,
                sysctls,
            )


OWN = [k.UnshareUser(IdMap.of((0, 0, 1)), IdMap.of((0, 0, 1)))]


def test_the_capability_counts_where_the_network_namespace_belongs() -> None:
    """With hostNetwork and hostUsers: false the capability is one over the wrong namespace."""
    cred = k.apply_all(Credentials(caps=ThreadCaps.root(Caps.all())), OWN)
    assert allowed(cred, BindPort(80, cred.user_ns), CREATED)
    assert not allowed(cred, BindPort(80, INITIAL), CREATED)
    assert not allowed(cred, LockMemory(1, 0), CREATED)
    assert allowed(cred, Chroot(), CREATED)


@pytest.mark.parametrize(
    ("operation", "name", "value"),
    [
        (BindPort(80), "net.ipv4.ip_unprivileged_port_start", "x"),
        (PingSocket(), "net.ipv4.ping_group_range", "1"),
        (PingSocket(), "net.ipv4.ping_group_range", "1 x"),
    ],
)
def test_sysctls_are_numbers(operation: Operation, name: str, value: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        allowed(Credentials(), operation, {name: value})


def test_what_is_needed_allows() -> None:
    for operation in OPERATIONS:
        cap = needed(operation)
        if cap is not None:
            caps = Caps.of(cap)
            assert allowed(Credentials(caps=ThreadCaps(caps, caps)), operation, CREATED)
