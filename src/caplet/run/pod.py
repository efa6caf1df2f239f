# SPDX-License-Identifier: Apache-2.0
"""`caplet run`: a Pod's container on this machine, with the credentials that kubelet and engine would give it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput, Unavailable
from caplet.explain.container import explain
from caplet.explain.facts import ImageFacts, Remembering
from caplet.image.image import Image, open_image
from caplet.image.rootfs import Rootfs
from caplet.kernel.caps import NO_CAPS, Caps, nearest
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import container_named, the_pod
from caplet.run import engine, foreign, volumes
from caplet.run.available import own_credentials, within
from caplet.runtimes import kubelet
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.explain.explanation import Explanation, Step
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import Spec
    from caplet.runtimes.node import Node


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before the container runs."""

    explanation: Explanation
    """On the node as far as this machine is it: its OCI runtime, its kernel, its capabilities."""
    image: Image
    rootfs: Rootfs
    missing: Caps
    """What the node would give, and this machine cannot."""
    notes: tuple[str, ...]
    """What is not as on the node, or not as the Pod's author may think."""

    @property
    def spec(self) -> Spec:
        assert self.explanation.spec is not None
        return self.explanation.spec

    @property
    def first(self) -> Step:
        """execve(2) of the container's own program: what is observed."""
        return self.explanation.executions[0]


def plan(
    text: str | bytes,
    name: str,
    *,
    container: str | None = None,
    images: Mapping[str, str] | None = None,
    node: Node | None = None,
) -> Plan | Refused:
    """Follow the Pod in `text`, from a file called `name`, to the container's Spec, or to who refuses it.

    `images`: container name and reference, "" for any container; without one the Pod's own `image:` counts, where it
    names an image on disk. `node`: with the OCI runtime and the kernel of this machine (`engine.on_this_machine`).
    """
    pod = the_pod(documents(text, name), name)
    chosen = container_named(pod, container)
    if pod.os not in (None, "linux"):
        raise Unavailable(f"a Pod for {pod.os} does not run on Linux")
    node = node or engine.on_this_machine(engine.node_here(engine.DEFAULT), "embedded", "")
    admitted = node.admit(pod, chosen)
    if isinstance(admitted, Refused):
        return admitted  # whatever its image is
    reference = _reference(pod, chosen, images or {})
    image = open_image(reference, foreign.this_platform())
    assert isinstance(image, Image)
    return planned(pod, chosen, image, reference, node)


def planned(pod: PodSpec, container: Container, image: Image, reference: str, node: Node) -> Plan | Refused:
    """The same of an image that is open."""
    rootfs = Rootfs(image.layers)
    facts = ImageFacts(image.config, Remembering(rootfs), reference, image.digest)
    missing = NO_CAPS

    def edited(spec: Spec) -> Spec:
        nonlocal missing
        spec = replace(spec, mounts=(*spec.mounts, *volumes.volume_mounts(pod, container)))
        spec, missing = within(spec, own_credentials().caps.bounding)
        return spec

    # Containers here have no user namespace of their own; what the API server says of one was asked before.
    here = replace(pod, host_users=None)
    explanation = foreign.on_this_machine(explain(here, container, facts, node, edited=edited))
    if explanation.refused is not None:
        return explanation.refused
    notes = (
        *explanation.notes,
        *_notes(pod, container, explanation, missing),
        *_divergent(rootfs, explanation),
    )
    return Plan(explanation, image, rootfs, missing, notes)


def _reference(pod: PodSpec, container: Container, images: Mapping[str, str]) -> str:
    for name in images:
        if name and name not in {one.name for one in pod.every_container}:
            raise InvalidInput(f"--image {name}=...: the Pod has no container {name!r}{_known(pod, name)}")
    given = images.get(container.name) or images.get("")
    if given:
        return given
    own = container.image
    if own and re.match(r"(oci|oci-archive|docker-archive):", own):
        return own
    what = f"its image {own!r} is in a registry" if own else "it names no image"
    raise pod.document.error(
        (*container.path, "image"),
        f"container {container.name}: {what}",
        "give the image on disk: --image oci:DIR[:TAG] (skopeo copy docker://... oci:DIR brings it)",
    )


def _known(pod: PodSpec, name: str) -> str:
    return nearest(name, [one.name for one in pod.every_container])


def _notes(pod: PodSpec, container: Container, explanation: Explanation, missing: Caps) -> list[str]:
    notes = []
    if missing:
        notes.append(f"the node would give {missing}; this machine cannot: its own bounding set lacks it")
    if explanation.request is not None and explanation.request.privileged:
        notes.append("privileged: the machine's devices, which the node would give, are not here")
    for field, value in (("hostPID", pod.host_pid), ("hostIPC", pod.host_ipc)):
        if value:
            notes.append(f"{field}: not given here; it does not change capabilities")
    if pod.host_users is False:
        notes.append("hostUsers: false: without a user namespace here")
    _, elsewhere = kubelet.environment(container)
    if container.stdin:
        notes.append("stdin: standard input is empty here")
    notes += [
        f"environment variable {name} is not set here: its value is in the cluster" for name in elsewhere
    ]
    if container.env_from:
        notes.append("envFrom: those variables are not set here: their values are in the cluster")
    return [*notes, *volumes.notes(pod, container)]


def _divergent(rootfs: Rootfs, explanation: Explanation) -> list[str]:
    """Engines that would start another file, or none, from the same layers."""
    programs = (step.program for step in explanation.executions)
    paths = {link.path for program in programs if program is not None for link in program.chain}
    return [
        f"{os.fsdecode(one.path)} is containerd's here; other engines see it otherwise: {one}"
        for one in rootfs.divergent
        if any(path == one.path or path.startswith(one.path.rstrip(b"/") + b"/") for path in paths)
    ]
