# SPDX-License-Identifier: Apache-2.0
"""The user's own kubectl, so that every way to log in works. Nothing but `get` and `logs` is ever called."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from caplet.errors import CapletError, InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

TIMEOUT = 40.0
"""Seconds for one call; the user's kubectl may ask an identity provider."""

REQUEST_TIMEOUT = "15s"
"""For one request: kubectl makes several, and without this waits for a server for half a minute each."""

MAX_OUTPUT = 32 << 20
"""Bytes of one answer: an object has at most 3 MiB, a list of a Pod's events some hundred."""

LOG_LINES = 200
"""Last lines of each container's log."""

LOG_BYTES = 4 << 20
"""Of those lines: one line may be endless."""

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
"""RFC 1123 subdomain: apimachinery pkg/util/validation IsDNS1123Subdomain. No name is taken for an option."""


class Refused(CapletError):
    """kubectl ended with an error: its last line is the message."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The command with the user's flags."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def get(self, *words: str) -> dict[str, Any]:
        """The object, or list of objects. Raises Refused."""
        text = self._call("get", words, "--output=json")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            raise CapletError(f"kubectl get {words[0]} gave no JSON") from None
        return value if isinstance(value, dict) else {}

    def logs(self, pod: str, container: str, *, previous: bool) -> str:
        """The end of a container's log. Raises Refused."""
        which = ("--previous",) if previous else ()
        flags = (f"--container={container}", f"--tail={LOG_LINES}", f"--limit-bytes={LOG_BYTES}", *which)
        return self._call("logs", (pod,), *flags).decode("utf-8", "replace")

    def _call(self, verb: Literal["get", "logs"], words: Sequence[str], *flags: str) -> bytes:
        program = shutil.which("kubectl")
        if program is None:
            raise Unavailable(
                "kubectl is not installed",
                "or give what it prints elsewhere: kubectl get pod NAME -o yaml > pod.yaml; "
                "caplet why 'WHAT YOU SAW' -f pod.yaml",
            )
        given = {"namespace": self.namespace, "context": self.context, "kubeconfig": self.kubeconfig}
        own = [f"--{name}={value}" for name, value in given.items() if value]
        command = [program, verb, *words, *flags, f"--request-timeout={REQUEST_TIMEOUT}", *own]
        return _output(command, f"kubectl {verb} {words[0]}")


def checked_name(name: str) -> str:
    """The name of an object. Raises InvalidInput for what cannot be one."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name!r} is no object's name", "lower-case letters, digits, - and .")
    return name


def _output(command: list[str], what: str) -> bytes:
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(TIMEOUT, stop)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                answer = process.stdout.read(MAX_OUTPUT + 1)
            if len(answer) > MAX_OUTPUT:
                process.kill()
            code = process.wait()
        finally:
            timer.cancel()
        errors.seek(0)
        said = [line for line in errors.read(1 << 16).decode("utf-8", "replace").splitlines() if line.strip()]
    if late.is_set():
        raise Refused(f"{what}: no answer within {TIMEOUT:.0f} s")
    if len(answer) > MAX_OUTPUT:
        raise Refused(f"{what}: an answer of more than {MAX_OUTPUT >> 20} MiB")
    if code:
        raise Refused(f"{what}: {said[-1] if said else f'exit code {code}'}")
    return answer
