# SPDX-License-Identifier: Apache-2.0
"""A containerd of the tests' own: started below a directory, answering on a socket in it, ended with the block."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
version = 2
root = "{work}/root"
state = "{work}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
  address = "{work}/sock"
[ttrpc]
  address = "{work}/ttrpc"
"""


def ctr(work: str, *arguments: str) -> tuple[str, ...]:
    """The command line of `ctr` for the containerd below `work`."""
    return ("ctr", "--address", f"{work}/sock", *arguments)


@contextmanager
def serving(work: str) -> Iterator[None]:
    """containerd with the overlayfs snapshotter."""
    os.makedirs(work, exist_ok=True)
    with open(os.path.join(work, "config.toml"), "w", encoding="utf-8") as config:
        config.write(CONFIG.format(work=work))
    with open(os.path.join(work, "log"), "wb") as log:
        daemon = subprocess.Popen(("containerd", "--config", config.name), stdout=log, stderr=log)
    try:
        _wait(work, daemon)
        yield
    finally:
        daemon.terminate()
        daemon.wait()


def _wait(work: str, daemon: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        done = subprocess.run(ctr(work, "version"), capture_output=True, check=False)
        if done.returncode == 0:
            return
        if daemon.poll() is not None:
            break
        time.sleep(0.05)
    with open(os.path.join(work, "log"), encoding="utf-8") as log:
        raise RuntimeError(f"containerd did not start: {log.read()}")
