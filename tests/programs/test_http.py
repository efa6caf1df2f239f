# SPDX-License-Identifier: Apache-2.0
"""`http` answers `ok`, ends when told to, and says in one line why it cannot listen."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from caplet.programs import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.programs.conftest import Command

architectures = pytest.mark.parametrize("architecture", shipped.ARCHITECTURES)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextlib.contextmanager
def serving(argv: list[str]) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    port = free_port()
    with subprocess.Popen([*argv, f":{port}"]) as server:
        try:
            wait_for(port)
            yield port, server
        finally:
            server.kill()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        else:
            return


def ask(port: int, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, "/any/path?x=1", headers={"X-Long": "x" * 4000})
        response = connection.getresponse()
        return response.status, response.read()


@architectures
def test_it_answers_ok(architecture: str, command: Command) -> None:
    with serving(command("http", architecture)) as (port, _):
        assert [ask(port) for _ in range(20)] == [(200, b"ok\n")] * 20
        assert ask(port, "POST") == (405, b"")


@architectures
def test_a_client_that_sends_too_much_or_nothing_does_not_stop_it(
    architecture: str, command: Command
) -> None:
    with serving(command("http", architecture)) as (port, _):
        with socket.create_connection(("127.0.0.1", port)) as client, contextlib.suppress(OSError):
            client.sendall(b"GET / HTTP/1.1\r\n" + b"X" * 100_000)
        socket.create_connection(("127.0.0.1", port)).close()
        assert ask(port) == (200, b"ok\n")


def test_it_serves_ipv6_as_well(command: Command) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("needs IPv6")
    with serving(command("http", shipped.host_architecture())) as (port, _):
        assert ask(port, host="::1") == (200, b"ok\n")


@architectures
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_on_a_signal(architecture: str, number: signal.Signals, command: Command) -> None:
    with serving(command("http", architecture)) as (_, server):
        server.send_signal(number)
        assert server.wait(10) == 0


@pytest.mark.usefixtures("root")
def test_it_ends_on_sigterm_as_process_1(tool: Callable[[str], str], command: Command) -> None:
    """The kernel drops signals for a process 1 that does not handle them."""
    port = free_port()
    argv = [*command("http", shipped.host_architecture()), f":{port}"]
    with subprocess.Popen([tool("unshare"), "--pid", "--fork", "--kill-child", *argv]) as unshare:
        try:
            wait_for(port)
            with open(f"/proc/{unshare.pid}/task/{unshare.pid}/children", encoding="ascii") as children:
                os.kill(int(children.read()), signal.SIGTERM)
            assert unshare.wait(10) == 0
        finally:
            unshare.kill()


@architectures
def test_a_taken_port_is_one_clear_line(architecture: str, command: Command) -> None:
    with socket.create_server(("", 0), family=socket.AF_INET) as taken:
        port = taken.getsockname()[1]
        argv = [*command("http", architecture), str(port)]
        ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    assert (ended.returncode, ended.stderr) == (1, f"listen :{port}: address already in use\n")


@architectures
@pytest.mark.usefixtures("root", "reachable")
def test_a_port_without_the_capability_is_permission_denied(
    architecture: str, tool: Callable[[str], str], command: Command
) -> None:
    """In a network namespace of its own, where unprivileged ports start at 1024."""
    drop = [tool("setpriv"), "--reuid=65535", "--regid=65535", "--clear-groups"]
    argv = [tool("unshare"), "--net", *drop, *command("http", architecture)]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    assert (ended.returncode, ended.stderr) == (1, "listen :80: permission denied\n")


@architectures
@pytest.mark.parametrize(
    "arguments", [["x"], [""], [":"], ["65536"], ["99999999999999999999"], ["80", "81"], ["-1"]]
)
def test_a_wrong_port_is_a_usage_error(architecture: str, arguments: list[str], command: Command) -> None:
    argv = [*command("http", architecture), *arguments]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    assert (ended.returncode, ended.stderr) == (2, "usage: http [:PORT]\n")
