# SPDX-License-Identifier: Apache-2.0
"""The probe: its URL's forms, and answers of servers that are slow, broken or endless."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput
from caplet.run.prober import MAX_BODY, Probe, ProbeAnswer, ask

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("url", "probe"),
    [
        ("http://:80/", Probe("127.0.0.1", 80, "/")),
        ("http://:8080/healthz?x=1", Probe("127.0.0.1", 8080, "/healthz?x=1")),
        ("http://localhost", Probe("localhost", 80, "/")),
        ("http://[::1]:81", Probe("::1", 81, "/")),
    ],
)
def test_urls(url: str, probe: Probe) -> None:
    assert Probe.parse(url) == probe


@pytest.mark.parametrize(
    ("url", "why", "hint"),
    [
        ("", "does not begin with http://", "write http://:80/"),
        ("80", "does not begin with http://", "write http://:80/"),
        (":8080/x", "does not begin with http://", "write http://:8080/x"),
        ("localhost:80", "does not begin with http://", "write http://localhost:80/"),
        ("http:", "does not begin with http://", ""),
        ("https://:443/", "only http:// is asked", "a server that speaks TLS alone cannot be probed"),
        ("HTTPS://:443/", "only http:// is asked", "speaks TLS alone"),
        ("ftp://:80/", "only http:// is asked", "write http://:80/"),
        ("http://", "no port is named", "write it as http://:80/"),
        ("http:///x", "no port is named", "write it as http://:80/"),
        ("http://:0/", "its port is not a number from 1 to 65535", "http://:80/"),
        ("http://:99999/", "its port is not a number from 1 to 65535", "http://:80/"),
        ("http://:-1/", "its port is not a number from 1 to 65535", "http://:80/"),
        ("http://:x/", "its port is not a number from 1 to 65535", "http://:80/"),
        ("http://u@:80/", "no user name is sent", "http://:80/"),
        ("http://[::1", "Invalid IPv6 URL", "http://:80/"),
        ("http://:80/\r\nX: y", "not a URL to probe", "%20"),
        ("http://:80/a b", "not a URL to probe", "%20"),
        ("http://:80/caf\u00e9", "not a URL to probe", "%20"),
    ],
)
def test_what_is_no_url_to_probe(url: str, why: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match="not a URL to probe") as caught:
        Probe.parse(url)
    assert why in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("host", ["", "localhost", "127.0.0.2", "0.0.0.0", "[::1]", "web.localhost"])
def test_hosts_of_a_network_that_has_loopback_alone(host: str) -> None:
    Probe.parse(f"http://{host}:80/").check_host(host_network=False)


@pytest.mark.parametrize("host", ["10.0.0.1", "example.com", "web", "[fe80::1]"])
def test_hosts_that_only_the_machine_reaches(host: str) -> None:
    probe = Probe.parse(f"http://{host}:80/x")
    probe.check_host(host_network=True)
    with pytest.raises(InvalidInput, match="has loopback alone") as caught:
        probe.check_host(host_network=False)
    assert caught.value.hint == "leave the host out: http://:80/x"


@contextmanager
def serving(answer: bytes, *, endless: bool = False) -> Iterator[int]:
    """One connection is answered with these bytes; the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                try:
                    connection.sendall(answer)
                    while endless:
                        connection.sendall(b"x" * 65536)
                except OSError:
                    return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(5)


@pytest.mark.parametrize(
    ("answer", "status", "body", "good"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", 200, b"ok\n", True),
        (b"HTTP/1.0 204 No Content\r\n\r\n", 204, b"", True),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\n\r\n", 302, b"", True),
        (b"HTTP/1.1 503 Busy\r\n\r\nno", 503, b"no", False),
    ],
)
def test_answers(answer: bytes, status: int, body: bytes, good: bool) -> None:
    with serving(answer) as port:
        found = ask(Probe("127.0.0.1", port, "/"), 5)
    assert (found.status, found.body, found.good) == (status, body, good)


def test_an_endless_answer_is_cut() -> None:
    with serving(b"HTTP/1.1 200 OK\r\n\r\n", endless=True) as port:
        found = ask(Probe("127.0.0.1", port, "/"), 5)
    assert (found.status, len(found.body)) == (200, MAX_BODY)


def test_what_is_no_http_is_asked_again_until_the_end() -> None:
    began = time.monotonic()
    with serving(b"SSH-2.0-x\r\n") as port:
        found = ask(Probe("127.0.0.1", port, "/"), 0.2)
    assert found.error.startswith("no answer within 0.2 s: ")
    assert time.monotonic() - began < 5


def test_the_answer_survives_its_way() -> None:
    answer = ProbeAnswer(200, bytes(range(256)), "x")
    assert ProbeAnswer.decoded(answer.encoded()) == answer
