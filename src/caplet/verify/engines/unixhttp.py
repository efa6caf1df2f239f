# SPDX-License-Identifier: Apache-2.0
"""HTTP over a Unix socket, which is how dockerd is asked."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

ANSWER_SECONDS = 60.0
"""An engine on a loaded machine may take its time, but not for ever."""

MAX_ANSWER = 64 << 20
"""Bytes of one answer: logs are the longest."""


class Refusal(CapletError):
    """The engine answered with an error: its message."""


@dataclass(frozen=True, slots=True)
class Server:
    """A daemon behind a socket of this machine."""

    path: str

    def get(self, path: str) -> Any:
        return json.loads(self.call("GET", path) or b"null")

    def post(self, path: str, document: Any = None) -> Any:
        body = None if document is None else json.dumps(document).encode()
        return json.loads(self.call("POST", path, body, "application/json") or b"null")

    def call(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, kind: str = ""
    ) -> bytes:
        """The body of the answer; Refusal with the engine's own message where it is an error."""
        connection = _Connection(self.path)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if kind else {})
            response = connection.getresponse()
            data = response.read(MAX_ANSWER)
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"{self.path}: no answer: {str(error) or type(error).__name__}", "is the daemon running?"
            ) from error
        finally:
            connection.close()
        if response.status >= 400:
            raise Refusal(_message(data) or f"{response.status} {response.reason}")
        return data


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _message(data: bytes) -> str:
    """Both daemons send {"message": ...}."""
    try:
        document = json.loads(data)
    except ValueError:
        return data.decode("utf-8", "replace").strip()
    return str(document.get("message", "")) if isinstance(document, dict) else str(document)
