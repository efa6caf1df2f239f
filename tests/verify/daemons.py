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
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from caplet.errors import CapletError
from caplet.image.image import Image
from caplet.kernel.caps import Caps
from caplet.pack import pack
from caplet.pack.binary import Binary
from caplet.pack.process import Process
from caplet.programs.shipped import path
from caplet.run.available import own_credentials
from caplet.runtimes.model import oci_names
from caplet.verify import cgroups
from caplet.verify.engines import containerd
from caplet.verify.engines.containerd import Containerd
from caplet.verify.engines.docker import Docker
from caplet.verify.engines.podman import HYBRID
from caplet.verify.sweeper import unique

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

OWN_MOUNTS = (
    "setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation", "private", "sh", "-c",
    f'! mountpoint -q {HYBRID} || mount -t tmpfs none {HYBRID}; exec "$@"', "sh",
)  # fmt: skip
"""What a daemon mounts goes with it, and it goes with the tests. crun does not start where cgroups v1 and v2 lie side by
side, see `caplet.verify.engines.podman`."""

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

RUNC_WITHIN = """\
#!{python} -IS
# runc for a machine whose root lacks capabilities: Docker before 23 asks for them all the same, and nothing would start.
import json, os, sys
LACKING = {lacking!r}
for place, word in enumerate(sys.argv):
    if word == "--bundle" and "create" in sys.argv:
        name = os.path.join(sys.argv[place + 1], "config.json")
        with open(name) as file:
            config = json.load(file)
        sets = config["process"]["capabilities"]
        for kind in sets:
            sets[kind] = [cap for cap in sets[kind] or () if cap not in LACKING]
        with open(name, "w") as file:
            json.dump(config, file)
os.execvp("runc", ["runc", *sys.argv[1:]])
"""

START_SECONDS = 20.0


@contextmanager
def docker(work: str) -> Iterator[Docker]:
    """A dockerd without a bridge and without firewall rules."""
    os.makedirs(work)
    socket = os.path.join(work, "sock")
    _write(f"{work}/runc-within", RUNC_WITHIN.format(python=sys.executable, lacking=_lacking()))
    os.chmod(f"{work}/runc-within", 0o755)
    parent = unique()
    command = (
        "dockerd", *DOCKERD, "--data-root", f"{work}/root", "--exec-root", f"{work}/exec",
        "--host", f"unix://{socket}", "--pidfile", f"{work}/pid", "--cgroup-parent", f"/{parent}",
        "--add-runtime", f"within={work}/runc-within", "--default-runtime", "within" if _lacking() else "runc",
    )  # fmt: skip
    try:
        with daemon(command, work, lambda: Docker(socket).versions()):
            yield Docker(socket)
    finally:
        cgroups.remove(parent)


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


def _lacking() -> list[str]:
    """The capabilities that this machine's root does not have."""
    return list(oci_names(Caps.all() - own_credentials().caps.bounding))


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
        process = subprocess.Popen((*OWN_MOUNTS, *command), stdout=log, stderr=log)
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
        except CapletError:  # not yet
            time.sleep(0.05)
        else:
            return
    with open(os.path.join(work, "log"), encoding="utf-8") as log:
        raise RuntimeError(f"{process.args!r} did not start: {log.read()[-2000:]}")
