# SPDX-License-Identifier: Apache-2.0
"""Asks a server in the container's network namespace, as the kubelet's httpGet probe would: GET, 200 to 399 is good."""

from __future__ import annotations

import contextlib
import encodings.idna  # noqa: F401  # what resolving a name imports, when the files of Python may be out of reach
import http.client
import json
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        hint = "write it as http://:80/ or http://:8080/healthz"
        try:
            parts = urlsplit(url)
            port = parts.port or 80
        except ValueError as error:
            raise InvalidInput(f"not a URL to probe: {url!r}: {error}", hint) from error
        if parts.scheme != "http" or not parts.netloc or parts.username is not None or not url.isprintable():
            raise InvalidInput(f"not a URL to probe: {url!r}", hint)
        path = parts.path or "/"
        return cls(parts.hostname or LOOPBACK, port, path + (f"?{parts.query}" if parts.query else ""))

    def __str__(self) -> str:
        return f"http://{'' if self.host == LOOPBACK else self.host}:{self.port}{self.path}"


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
