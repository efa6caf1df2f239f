# SPDX-License-Identifier: Apache-2.0
"""Containers for tests: the shipped probe as a program, with and without file capabilities, and specs around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.explain.container import explain
from caplet.explain.facts import ImageFacts
from caplet.image.config import ImageConfig
from caplet.image.rootfs import File, Rootfs
from caplet.kernel.filecaps import FileCaps
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.programs.shipped import path
from caplet.run.engine import node_here, on_this_machine
from caplet.runtimes import kubelet, template
from caplet.runtimes.model import LinuxCapabilities, Process, Spec, User

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from caplet.explain.explanation import Step

RUNTIMES = ("embedded", "runc", "crun")
NBS = ("CAP_NET_BIND_SERVICE",)
NBS_EP = FileCaps.parse("cap_net_bind_service=ep").encode()
NBS_P = FileCaps.parse("cap_net_bind_service=p").encode()


def rootfs(**more: File) -> Rootfs:
    """/plain, /ep and /p are the probe, /http the server with and /http-plain without its capability."""
    probe, http = path("probe").read_bytes(), path("http").read_bytes()
    files: dict[str | bytes, File | bytes] = {
        "/plain": File(probe, 0o755),
        "/ep": File(probe, 0o755, caps=NBS_EP),
        "/p": File(probe, 0o755, caps=NBS_P),
        "/http": File(http, 0o755, caps=NBS_EP),
        "/http-plain": File(http, 0o755),
    }
    files |= {f"/{name.replace('__', '/')}": file for name, file in more.items()}
    return Rootfs.of(files)


def spec(
    *args: str,
    caps: LinuxCapabilities | Sequence[str] = NBS,
    uid: int = 65535,
    no_new_privileges: bool = True,
    readonly: bool = True,
    sysctl: Mapping[str, str] | None = None,
    env: Sequence[str] = ("PATH=/",),
    cwd: str = "/",
) -> Spec:
    granted = caps if isinstance(caps, LinuxCapabilities) else LinuxCapabilities.granted(caps)
    return Spec(
        Process(args, User(uid, 0, (0,)), granted, no_new_privileges, env=tuple(env), cwd=cwd),
        readonly_rootfs=readonly,
        hostname="test",
        sysctl=sysctl or {},
        mounts=template.DEFAULT_MOUNTS,
        masked_paths=kubelet.MASKED_PATHS,
        readonly_paths=kubelet.READONLY_PATHS,
    )


def predicted(wanted: Spec, files: Rootfs) -> Step:
    """What the model says of the first program of this very config.json."""
    pod = the_pod(documents("kind: Pod\nspec: {containers: [{name: a}]}", "pod.yaml"), "pod.yaml")
    raw = {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/app"]}}
    raw["rootfs"] = {"type": "layers", "diff_ids": []}
    node = on_this_machine(node_here("containerd"), "embedded", "")
    facts = ImageFacts(ImageConfig(raw), files)
    return explain(pod, pod.containers[0], facts, node, edited=lambda _: wanted).executions[0]
