# SPDX-License-Identifier: Apache-2.0
"""A dockerd and a containerd with its CRI plugin for the tests: below a directory of their own, ended with the block.

A bare machine has no systemd, maybe no CAP_SYS_RESOURCE, no CNI plugins, and no registry to pull a pause image from.
So containerd gets a cgroupfs driver, leaves oom_score alone, has two CNI plugins of three lines that report an
interface that is not there, and a pause image made of the shipped probe, which calls pause(2).
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from caplet.image.image import Image
from caplet.pack import pack
from caplet.pack.binary import Binary
from caplet.pack.process import Process
from caplet.programs.shipped import path
from caplet.verify.engines import containerd
from caplet.verify.engines.containerd import Containerd
from caplet.verify.engines.docker import Docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAUSE = "caplet.invalid/pause:1"
PAUSE_CALL = {"x86_64": "34", "aarch64": "73,0,0,0,0"}
"""pause(2); where there is none, ppoll(2) of nothing for ever."""

CONTAINERD = """\
version = 2
root = "{work}/root"
state = "{work}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]
oom_score = 0
[grpc]
  address = "{work}/sock"
[ttrpc]
  address = "{work}/ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_tcp_service = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{work}/cni"
    conf_dir = "{work}/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "{runtime}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{runtime}]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.{runtime}.options]
        BinaryName = "{runtime}"
        SystemdCgroup = false
"""

NETWORK = """{"cniVersion": "0.4.0", "name": "none", "plugins": [{"type": "none"}]}"""

CNI_PLUGIN = """\
#!/bin/sh
# A CNI plugin that connects nothing: https://www.cni.dev/docs/spec/, "ADD".
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}' ;;
ADD) echo '{"cniVersion":"0.4.0","interfaces":[{"name":"'"$CNI_IFNAME"'","sandbox":"'"$CNI_NETNS"'"}],
  "ips":[{"version":"4","interface":0,"address":"192.0.2.1/32"}]}' ;;
esac
"""

DOCKERD = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")

START_SECONDS = 20.0


@contextmanager
def docker(work: str) -> Iterator[Docker]:
    """A dockerd without a bridge and without firewall rules."""
    os.makedirs(work)
    socket = os.path.join(work, "sock")
    command = (
        "dockerd", *DOCKERD, "--data-root", f"{work}/root", "--exec-root", f"{work}/exec",
        "--host", f"unix://{socket}", "--pidfile", f"{work}/pid",
    )  # fmt: skip
    with daemon(command, work, lambda: Docker(socket).versions()):
        yield Docker(socket)


@contextmanager
def containerd_cri(work: str, runtime: str = "runc") -> Iterator[Containerd]:
    """A containerd with CRI on its own socket, and that OCI runtime."""
    os.makedirs(f"{work}/cni")
    os.makedirs(f"{work}/net.d")
    _write(f"{work}/config.toml", CONTAINERD.format(work=work, pause=PAUSE, runtime=runtime))
    _write(f"{work}/net.d/10-none.conflist", NETWORK)
    for name in ("none", "loopback"):
        _write(f"{work}/cni/{name}", CNI_PLUGIN)
        os.chmod(f"{work}/cni/{name}", 0o755)
    engine = Containerd(f"{work}/sock")
    with daemon(("containerd", "--config", f"{work}/config.toml"), work, engine.versions):
        containerd.import_image(engine.socket, _pause_image(), PAUSE, work)
        yield engine


def _pause_image() -> Image:
    call = PAUSE_CALL[platform.machine()]
    image = pack([Binary(str(path("probe")), b"/pause", None)], Process(cmd=(call,)))
    assert isinstance(image, Image)
    return image


def _write(name: str, text: str) -> None:
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


@contextmanager
def daemon(command: tuple[str, ...], work: str, answers: Callable[[], object]) -> Iterator[None]:
    """The daemon, running and answering."""
    with open(os.path.join(work, "log"), "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        _wait(process, work, answers)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait(process: subprocess.Popen[bytes], work: str, answers: Callable[[], object]) -> None:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        try:
            answers()
        except Exception:  # noqa: BLE001 - not yet, whatever it is
            time.sleep(0.05)
        else:
            return
    with open(os.path.join(work, "log"), encoding="utf-8") as log:
        raise RuntimeError(f"{process.args!r} did not start: {log.read()[-2000:]}")
