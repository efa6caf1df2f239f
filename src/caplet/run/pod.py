# SPDX-License-Identifier: Apache-2.0
"""`caplet run`: a Pod's container on this machine, with the credentials that kubelet and engine would give it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput, Unavailable
from caplet.image.image import Image, open_image
from caplet.image.passwd import resolve_user
from caplet.image.rootfs import Rootfs
from caplet.kernel.caps import Cap, Caps, nearest
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import container_named, the_pod
from caplet.run import volumes
from caplet.run.available import own_credentials, within
from caplet.run.engine import DEFAULT, node_here
from caplet.run.foreign import this_platform
from caplet.run.predict import predict
from caplet.runtimes import kubelet, runc
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.run.predict import Prediction
    from caplet.runtimes.model import SecurityContext, Spec
    from caplet.runtimes.node import Node


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before the container runs."""

    pod: PodSpec
    container: Container
    image: Image
    reference: str
    node: Node
    request: SecurityContext
    spec: Spec
    rootfs: Rootfs
    prediction: Prediction
    notes: tuple[str, ...]
    """What is not as on the node, or not as the Pod's author may think."""


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
    names an image on disk.
    """
    node = node or node_here(DEFAULT)
    pod = the_pod(documents(text, name), name)
    chosen = container_named(pod, container)
    _check_combinations(pod, chosen, node)
    reference = _reference(pod, chosen, images or {})
    image = open_image(reference, this_platform())
    assert isinstance(image, Image)
    request = node.request(pod, chosen, image.config.user)
    if isinstance(request, Refused):
        return request
    rootfs = Rootfs(image.layers)
    user = node.engine.user_string(request, image.config.user)
    if isinstance(user, Refused):
        return user
    account = resolve_user(rootfs, user)
    spec = node.engine.spec(
        pod, chosen, request, image.config, account, version=node.engine_version, every=Caps.all()
    )
    if isinstance(spec, Refused):
        return spec
    spec = replace(spec, mounts=(*spec.mounts, *volumes.volume_mounts(pod, chosen)))
    spec, missing = within(spec, own_credentials().caps.bounding)
    prediction = predict(spec, rootfs)
    return Plan(
        pod=pod,
        container=chosen,
        image=image,
        reference=reference,
        node=node,
        request=request,
        spec=spec,
        rootfs=rootfs,
        prediction=prediction,
        notes=(*_notes(pod, chosen, request, spec, missing, node), *_divergent(rootfs, prediction)),
    )


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


def _check_combinations(pod: PodSpec, container: Container, node: Node) -> None:
    """What the API server refuses, where there is one: pkg/apis/core/validation/validation.go ValidateSecurityContext."""
    own = container.security_context
    path = (*container.path, "securityContext")
    if pod.os is not None and pod.os != "linux":
        raise Unavailable(f"a Pod for {pod.os} does not run on Linux")
    if node.kubernetes is None:
        return
    if own.allow_privilege_escalation is not False:
        return
    if own.privileged:
        raise pod.document.error(
            path, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        )
    if "CAP_SYS_ADMIN" in own.add:
        raise pod.document.error(
            path, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
        )


def _notes(
    pod: PodSpec, container: Container, request: SecurityContext, spec: Spec, missing: Caps, node: Node
) -> list[str]:
    notes = [
        f"{name} is no capability that {_named(name, node.engine.title)}"
        for name in runc.ignored(spec.process.capabilities)
    ]
    if missing:
        notes.append(f"the node would give {missing}; this machine cannot: its own bounding set lacks it")
    if request.privileged:
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


def _divergent(rootfs: Rootfs, prediction: Prediction) -> list[str]:
    """Engines that would start another file, or none, from the same layers."""
    paths = {link.path for link in prediction.program.chain}
    return [
        f"{os.fsdecode(one.path)} is containerd's here; other engines see it otherwise: {one}"
        for one in rootfs.divergent
        if any(path == one.path or path.startswith(one.path.rstrip(b"/") + b"/") for path in paths)
    ]


def _named(name: str, engine: str) -> str:
    """Why nobody knows CAP_CAP_NET_RAW or CAP_NET_BIND, and the nearest right name."""
    bare = name.removeprefix("CAP_")
    if bare.startswith("CAP_") and bare.removeprefix("CAP_") in Cap.__members__:
        right = bare.removeprefix("CAP_")
        return f"runc or crun know, so it is not granted: {engine} puts CAP_ before {bare}; write {right}"
    return f"runc or crun know, so it is not granted{nearest(bare, Cap.__members__)}"
