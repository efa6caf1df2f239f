# SPDX-License-Identifier: Apache-2.0
"""Asks a server in the container's network namespace, as the kubelet's httpGet probe would: GET, 200 to 399 is good."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401  # what resolving a name imports, when the files of Python may be out of reach
import http.client
import ipaddress
import json
import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

HINT = "http://:80/ or http://:8080/healthz"
LOOPBACK = "127.0.0.1"
MAX_BODY = 64 * 1024
"""Enough to see what answered; a probe is not a download. (The kubelet reads 10 KiB.)"""
RETRY_SECONDS = 0.01
ATTEMPT_SECONDS = 5.0
"""One attempt; the whole probe has its own limit."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Where to ask: `http://:80/`. No host means the container itself."""

    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str) -> Probe:
        """InvalidInput for what cannot be asked, with the nearest that can."""
        what = f"not a URL to probe: {url!r}"
        if not url.isascii() or not url.isprintable() or " " in url:
            raise InvalidInput(what, "write other characters than printable ASCII, and spaces, as %20")
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise InvalidInput(f"{what}: it does not begin with http://", f"write http://{_with_colon(url)}")
        if scheme.lower() != "http":
            raise InvalidInput(
                f"{what}: only http:// is asked",
                f"a server that speaks TLS alone cannot be probed; where it has a plain port too: {HINT}"
                if scheme.lower() == "https"
                else f"write http://{rest}",
            )
        try:
            parts = urlsplit(url)
            port = 80 if parts.port is None else parts.port
        except ValueError as error:
            reason = (
                "its port is not a number from 1 to 65535" if str(error).startswith("Port") else str(error)
            )
            raise InvalidInput(f"{what}: {reason}", f"write it as {HINT}") from error
        if not port:
            raise InvalidInput(f"{what}: its port is not a number from 1 to 65535", f"write it as {HINT}")
        if not parts.netloc or parts.username is not None:
            reason = "no user name is sent" if parts.netloc else "no port is named"
            raise InvalidInput(f"{what}: {reason}", f"write it as {HINT}")
        path = parts.path or "/"
        return cls(parts.hostname or LOOPBACK, port, path + (f"?{parts.query}" if parts.query else ""))

    def check_host(self, *, host_network: bool) -> None:
        """InvalidInput where the container's network namespace, which has loopback alone, cannot have that host."""
        if host_network or self.host == "localhost" or self.host.endswith(".localhost"):
            return
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(self.host)
            if address.is_loopback or address.is_unspecified:
                return
        raise InvalidInput(
            f"not a host to probe: {self.host}: the container's network here has loopback alone",
            f"leave the host out: http://:{self.port}{self.path}",
        )

    def __str__(self) -> str:
        return f"http://{'' if self.host == LOOPBACK else self.host}:{self.port}{self.path}"


def _with_colon(text: str) -> str:
    """`:80/` of `80`, `:80/`, or `localhost:80/`: the place of a URL that was written without its scheme."""
    text = text.strip("/") or ":80"
    place, slash, path = text.partition("/")
    return f"{':' if place.isdecimal() else ''}{place}{slash or '/'}{path}"


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """What came back; `error` says why nothing did."""

    status: int = 0
    body: bytes = b""
    error: str = ""

    @property
    def good(self) -> bool:
        """As the kubelet judges (pkg/probe/http, DoHTTPProbe)."""
        return 200 <= self.status < 400

    def encoded(self) -> bytes:
        return json.dumps(asdict(self) | {"body": self.body.decode("latin-1")}).encode()

    @classmethod
    def decoded(cls, data: bytes) -> ProbeAnswer:
        fields: Mapping[str, str] = json.loads(data)
        return cls(int(fields["status"]), fields["body"].encode("latin-1"), fields["error"])


NO_ANSWER = ProbeAnswer(error="the probing process ended without an answer").encoded().decode()
"""What to make of a child of fork_prober() that says nothing."""


def taken(probe: Probe) -> bool:
    """Whether something here answers at that place, before the container is there to do so."""
    try:
        with socket.create_connection((probe.host, probe.port), timeout=ATTEMPT_SECONDS):
            return True
    except OSError:
        return False


def fork_prober(probe: Probe, seconds: float) -> tuple[int, int]:
    """A child that asks until something answers; its process id, and where to read the answer."""
    answer, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = ask(probe, seconds)
        except BaseException as error:  # noqa: BLE001  # a forked child must not return into the caller's code
            said = ProbeAnswer(error=f"{type(error).__name__}: {error}")
        with contextlib.suppress(BaseException):
            os.write(theirs, said.encoded())
        os._exit(0)
    os.close(theirs)
    return pid, answer


def ask(probe: Probe, seconds: float) -> ProbeAnswer:
    """Try again until an answer comes or the time is over; then the last reason."""
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        try:
            return _get(probe, max(0.1, min(left, ATTEMPT_SECONDS)))
        except (OSError, http.client.HTTPException) as error:
            if left <= 0:
                reason = (
                    (error.strerror if isinstance(error, OSError) else None)
                    or str(error)
                    or type(error).__name__
                )
                return ProbeAnswer(error=f"no answer within {seconds:g} s: {reason.lower()}")
        time.sleep(RETRY_SECONDS)


def _get(probe: Probe, seconds: float) -> ProbeAnswer:
    connection = http.client.HTTPConnection(probe.host, probe.port, timeout=seconds)
    try:
        connection.request("GET", probe.path, headers={"User-Agent": "caplet", "Connection": "close"})
        response = connection.getresponse()
        return ProbeAnswer(response.status, response.read(MAX_BODY))
    finally:
        connection.close()
