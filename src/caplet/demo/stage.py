# SPDX-License-Identifier: Apache-2.0
"""One scene, played: the image is packed in memory, the outcome computed, the container run, and the two compared."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.demo.reasons import why
from caplet.demo.scenes import PORT, PORT_START, USER, Ending, Scene
from caplet.errors import CapletError
from caplet.image.image import Image
from caplet.image.passwd import resolve_user
from caplet.image.program import find_program, image_argv
from caplet.image.rootfs import Rootfs
from caplet.kernel.caps import Cap
from caplet.kernel.credentials import Credentials, Denied, ThreadCaps
from caplet.kernel.execve import execve
from caplet.kernel.syscalls import apply_all
from caplet.kernel.versions import Kernel
from caplet.pack import pack
from caplet.pack.binary import Binary
from caplet.pack.process import Process as PackProcess
from caplet.pack.process import User as PackUser
from caplet.programs import shipped
from caplet.run.container import RunResult, run_container
from caplet.run.status import parse_status
from caplet.runtimes import containerd, runc
from caplet.runtimes.model import Process, Spec, User

if TYPE_CHECKING:
    from caplet.kernel.caps import Caps
    from caplet.kernel.execve import Program
    from caplet.run.status import Observed

SYSCTL = {containerd.PORT_START: str(PORT_START)}
SECONDS = 5.0
"""How long the server may take to answer; it takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Played:
    """A scene with what was predicted and what was seen."""

    scene: Scene
    image: Image
    before: Credentials
    """Predicted: as the runtime leaves the process."""
    outcome: Credentials | Denied
    """Predicted: what execve(2) makes of it."""
    reasons: tuple[str, ...]
    result: RunResult

    @property
    def predicted(self) -> Ending:
        """By the model alone."""
        if isinstance(self.outcome, Denied):
            return Ending.DOES_NOT_START
        can = PORT >= PORT_START or Cap.NET_BIND_SERVICE in self.outcome.caps.effective
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
        found = _differences("before execve", self.result.created, self.before)
        if self.result.started and isinstance(self.outcome, Credentials):
            found += _differences("after execve", self.result.observed, self.outcome)
        if self.observed is not self.predicted:
            found += (f"the end: {self.predicted.value} predicted, {self.wording} observed",)
        return found

    @property
    def as_it_must(self) -> bool:
        return self.observed is self.scene.ending


def play(scene: Scene) -> Played:
    """Pack, predict, run."""
    image = _packed(scene)
    rootfs = Rootfs(image.layers)
    spec = _spec(scene, image, rootfs)
    before = _before(spec)
    program = find_program(rootfs, spec.process.args).for_kernel()
    outcome = _outcome(before, program)
    result = run_container(
        spec, rootfs, runtime="embedded", probe=f"http://:{PORT}/", timeout=SECONDS, relay=False
    )
    start = int(result.sysctl.get(containerd.PORT_START, "-1"))
    if start != PORT_START:
        raise CapletError(
            f"unprivileged ports start at {start} in the container's network, not at {PORT_START}"
        )
    reasons = tuple(why(before, program, outcome, PORT, start))
    return Played(scene, image, before, outcome, reasons, result)


def _packed(scene: Scene) -> Image:
    server = Binary(str(shipped.path("http")), b"/http", scene.file_caps)
    image = pack([server], PackProcess(user=PackUser(USER, USER)))
    assert isinstance(image, Image)
    return image


def _spec(scene: Scene, image: Image, rootfs: Rootfs) -> Spec:
    context = scene.security_context
    user = resolve_user(rootfs, str(context.run_as_user))
    process = Process(
        args=image_argv(image.config),
        user=User(user.uid, user.gid, user.groups),
        capabilities=containerd.capabilities(context, _available()),
        no_new_privileges=context.no_new_privs,
        env=(containerd.DEFAULT_PATH,),
    )
    return Spec(
        process, readonly_rootfs=context.readonly_rootfs, sysctl=SYSCTL, mounts=containerd.DEFAULT_MOUNTS
    )


def _before(spec: Spec) -> Credentials:
    """What runc's system calls make of a root process of this machine."""
    available = _available()
    root = Credentials.of_user(0, 0, caps=ThreadCaps.root(available))
    return apply_all(root, runc.system_calls(spec.process, available), _kernel())


def _outcome(before: Credentials, program: Program) -> Credentials | Denied:
    try:
        return execve(before, program, _kernel())
    except Denied as denied:
        return denied


def _available() -> Caps:
    with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
        return parse_status(status.read()).caps.bounding


def _kernel() -> Kernel:
    return Kernel.parse(os.uname().release)


def _differences(when: str, seen: Observed | None, predicted: Credentials) -> tuple[str, ...]:
    if seen is None:
        return (f"{when}: nothing observed",)
    return tuple(f"{when}: {name}" for name in seen.differences(predicted))
