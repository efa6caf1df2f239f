# SPDX-License-Identifier: Apache-2.0
"""Images and Pods of a few lines, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.explain.container import explain
from caplet.explain.facts import ImageFacts
from caplet.image.config import ImageConfig
from caplet.image.rootfs import File, Rootfs
from caplet.kernel.filecaps import FileCaps
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.explain.explanation import Explanation
    from caplet.kubernetes.pod import PodSpec

ELF = b"\x7fELF\x02\x01\x01" + bytes(57)
"""A program, as far as execve's choice of a loader goes."""


def file(said: str | File) -> File:
    """`elf`, `elf cap_net_raw=ep`, `elf setuid`, or the text of a script."""
    if isinstance(said, File):
        return said
    if not said.startswith("elf"):
        return File(said.encode(), mode=0o755)
    word = said.removeprefix("elf").strip()
    if word == "setuid":
        return File(ELF, mode=0o4755)
    return File(ELF, mode=0o755, caps=FileCaps.parse(word).encode() if word else None)


def image(files: Mapping[str, str | File] | Mapping[bytes, str | File], **config: object) -> ImageFacts:
    """An image with /bin/sh and these files. `config`: User, Entrypoint, Cmd, Env, ..."""
    every: dict[str | bytes, File | bytes] = {"/bin/sh": file("elf")}
    every |= {path: file(said) for path, said in files.items()}
    raw = {
        "os": "linux",
        "architecture": "amd64",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": []},
    }
    return ImageFacts(ImageConfig(raw), Rootfs.of(every), "oci:image")


def pod(text: str) -> PodSpec:
    return the_pod(documents(text, "pod.yaml"), "pod.yaml")


def explained(
    text: str,
    facts: ImageFacts | None,
    on: str = "containerd:1.7",
    then: tuple[tuple[str, ...], ...] = (),
    container: int = 0,
) -> Explanation:
    spec = pod(text)
    return explain(spec, spec.every_container[container], facts, nodes(on)[0], then)


def web(security: str = "", *, whole: str = "", ports: str = "[{containerPort: 80}]", **more: str) -> str:
    """A Pod of one container; `security` and `whole` are securityContext's insides in flow style."""
    fields = "".join(f"\n    {name}: {value}" for name, value in more.items())
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  securityContext: {{{whole}}}
  containers:
  - name: http
    image: http
    ports: {ports}
    securityContext: {{{security}}}{fields}
"""
