# SPDX-License-Identifier: Apache-2.0
"""What kustomize makes of a directory: through `kubectl kustomize` or `kustomize build`, whichever is there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput, Unavailable
from caplet.kubernetes.document import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.document import Document

SECONDS = 120
"""kustomize may fetch bases over the network."""
MAX_SAID = 4096
"""Bytes of what kustomize says about its failure."""
BLOCK = 1 << 20
"""Bytes that are read at once."""


def kustomized(directory: str) -> Iterator[Document]:
    """What `kubectl kustomize` or `kustomize build` prints for a directory."""
    command = _command(directory)
    said = " ".join([os.path.basename(command[0]), *command[1:-1]])
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        late = threading.Event()

        def end_late() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(SECONDS, end_late)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout as output:
                yield from stream(iter(lambda: output.read(BLOCK), b""), f"{directory} ({said})")
            failed = process.wait() != 0
        finally:
            timer.cancel()
            _end(process)
            process.wait()
        if late.is_set():
            raise InvalidInput(f"{directory}: {said} took more than {SECONDS} seconds")
        if failed:
            errors.seek(0)
            text = errors.read(MAX_SAID).decode("utf-8", "replace").split()
            raise InvalidInput(f"{directory}: {said}: {' '.join(text) or 'failed without a word'}")


def _command(directory: str) -> list[str]:
    if not os.path.isdir(directory):
        raise InvalidInput(f"{directory}: not a directory", "-k takes the one with the kustomization.yaml")
    path = os.path.join(".", directory) if directory.startswith("-") else directory
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize", path]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build", path]
    raise Unavailable(
        "-k needs kubectl or kustomize, and neither is here",
        f"install one, or elsewhere: kustomize build {directory} | caplet ... -f -",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """With what it started: kustomize runs git and plugins."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
