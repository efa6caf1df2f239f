# SPDX-License-Identifier: Apache-2.0
"""One scene, played: the image is packed in memory, the outcome computed, the container run, and the two compared."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.demo.reasons import why
from caplet.demo.scenes import ENGINE, PORT, PORT_START, USER, Ending, Scene
from caplet.errors import CapletError, Unavailable
from caplet.image.image import Image
from caplet.kernel.capable import BindPort, allowed
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.pack import pack
from caplet.pack.binary import Binary
from caplet.pack.process import Process, User
from caplet.programs import shipped
from caplet.run import pod as running
from caplet.run.container import RunResult, run_container
from caplet.run.engine import node_here, on_this_machine
from caplet.runtimes import template
from caplet.runtimes.model import Refused

if TYPE_CHECKING:
    from caplet.kernel.credentials import Credentials
    from caplet.run.pod import Plan
    from caplet.run.status import Observed

SECONDS = 5.0
"""How long the server may take to answer; it takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Played:
    """A scene with what was predicted and what was seen."""

    scene: Scene
    image: Image
    plan: Plan
    """What was predicted of it."""
    reasons: tuple[str, ...]
    """Why it was predicted."""
    result: RunResult

    @property
    def predicted(self) -> Ending:
        """By the model alone."""
        after = self.plan.first.after
        if after is None:
            return Ending.DOES_NOT_START
        can = allowed(after, BindPort(PORT), self.result.sysctl)
        return Ending.ANSWERS if can else Ending.CANNOT_BIND

    @property
    def observed(self) -> Ending | None:
        """By what the container did; None: something else."""
        result = self.result
        if not result.started:
            return Ending.DOES_NOT_START if os.strerror(errno.EPERM).lower() in result.error.lower() else None
        if result.probe is not None and result.probe.body == b"ok\n":
            return Ending.ANSWERS
        return Ending.CANNOT_BIND if b"permission denied" in result.stderr else None

    @property
    def wording(self) -> str:
        """What the container's side said, whatever it was."""
        result = self.result
        if not result.started:
            return result.error
        if result.probe is not None and result.at_probe is not None:
            body = result.probe.body.decode("utf-8", "backslashreplace").strip()
            return f"answers {body} as uid {result.at_probe.euid}"
        said = result.stderr.decode("utf-8", "backslashreplace").strip()
        return said or (result.probe.error if result.probe else "") or f"exit code {result.exit_code}"

    @property
    def differences(self) -> tuple[str, ...]:
        """Where the model was wrong; empty when it was right."""
        found = _differences("before execve", self.result.created, self.plan.first.before)
        if self.result.started and self.plan.first.after is not None:
            found += _differences("after execve", self.result.observed, self.plan.first.after)
        if self.observed is not self.predicted:
            found += (f"the end: {self.predicted.value} predicted, {self.wording} observed",)
        return found

    @property
    def as_it_must(self) -> bool:
        return self.observed is self.scene.ending


def play(scene: Scene) -> Played:
    """Pack, predict, run."""
    image = packed(scene)
    plan = planned(scene, image)
    url = f"http://:{PORT}/"
    result = run_container(
        plan.spec, plan.rootfs, runtime="embedded", probe=url, timeout=SECONDS, relay=False
    )
    start = int(result.sysctl.get(template.PORT_START, "-1"))
    if start != PORT_START:
        raise CapletError(
            f"unprivileged ports start at {start} in the container's network, not at {PORT_START}"
        )
    return Played(scene, image, plan, tuple(why(plan.first, PORT, start)), result)


def packed(scene: Scene) -> Image:
    """The server with the scene's capabilities, FROM scratch."""
    server = Binary(str(shipped.path("http")), b"/http", scene.file_caps)
    image = pack([server], Process(user=User(USER, USER)))
    assert isinstance(image, Image)
    return image


def planned(scene: Scene, image: Image) -> Plan:
    """What the kubelet, containerd and the kernel make of the scene's Pod."""
    pod = the_pod(documents(scene.manifest, "demo"), "demo")
    node = on_this_machine(node_here(f"containerd:{ENGINE}"), "embedded", "")
    plan = running.planned(pod, pod.containers[0], image, "", node)
    if isinstance(plan, Refused):
        raise CapletError(f"{plan.by}: {plan.message}")
    if plan.missing:
        raise Unavailable(
            f"the bounding set of this process lacks {plan.missing}", "run it from a shell that has it"
        )
    return plan


def _differences(when: str, seen: Observed | None, predicted: Credentials) -> tuple[str, ...]:
    if seen is None:
        return (f"{when}: nothing observed",)
    return tuple(f"{when}: {name}" for name in seen.differences(predicted))
