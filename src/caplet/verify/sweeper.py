# SPDX-License-Identifier: Apache-2.0
"""The process that removes what a session made: when the session says so, and when it is gone without a word.

    with sweeping("docker", DIRECTORY, SOCKET, NAME): ...

starts `python -m caplet.verify.sweeper docker DIRECTORY SOCKET NAME`, which waits for the end of its standard input. The end of
the block closes that, and so does the kernel where this process is killed. So there is one way to clean up, and every
session goes it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from caplet.errors import CapletError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STARTED = b"\n"
DONE = b"done"
SETTLE_SECONDS = 1.0
"""For what a killed session had asked for a moment before: the engine may still be making it."""


def unique() -> str:
    """A name that no other session has, good in an image's tag and a Pod's name."""
    return f"caplet-{secrets.token_hex(6)}"


def scratch(name: str) -> str:
    """The directory of the session of that name, for archives and logs."""
    return os.path.join(tempfile.gettempdir(), name)


@contextmanager
def sweeping(engine: str, directory: str, *arguments: str) -> Iterator[int]:
    """Have everything removed after the block, whatever ends it: the directory, which is made, and what the engine has.

    Gives the sweeper's process id.
    """
    with subprocess.Popen(
        (sys.executable, "-P", "-m", "caplet.verify.sweeper", engine, directory, *arguments),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C in the terminal is not meant for it
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        if process.stdout.read(1) != STARTED:
            raise CapletError(f"the process that cleans up did not start: {process.stderr.read().decode()}")
        try:
            os.mkdir(directory, 0o700)
            yield process.pid
        finally:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(DONE)
                process.stdin.close()
            said = process.stderr.read().decode("utf-8", "replace")
            if process.wait():
                raise CapletError(f"{engine}: not everything could be removed: {said.strip()}")


def prepared(engine: str, directory: str, *arguments: str) -> Callable[[], None]:
    """What removes the session's things, made ready before there are any."""
    match engine:
        case "docker":
            from caplet.verify.engines import docker

            return partial(docker.sweep, *arguments)
        case "podman":
            from caplet.verify.engines import podman

            podman.prepare()
            return partial(podman.sweep, directory, *arguments)
        case "containerd":
            from caplet.verify.engines import containerd

            return partial(containerd.sweep, *arguments)
        case "kubectl":
            from caplet.verify.engines import kubectl

            return partial(kubectl.sweep, *arguments)
    raise InvalidInput(f"unknown engine {engine!r}")


def main(engine: str, directory: str, *arguments: str) -> None:
    """Wait, then remove."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sweep = prepared(engine, directory, *arguments)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.buffer.write(STARTED)
        sys.stdout.buffer.flush()
    if sys.stdin.buffer.read() != DONE:
        time.sleep(SETTLE_SECONDS)
    try:
        sweep()
    finally:
        if os.path.isdir(directory):
            shutil.rmtree(directory)


if __name__ == "__main__":
    main(*sys.argv[1:])
