# SPDX-License-Identifier: Apache-2.0
"""What the model says of a container before it runs: runc's system calls, then execve of the image's program."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.image.passwd import User
from caplet.image.program import Problem, find_program, may_execute
from caplet.kernel.credentials import Denied
from caplet.kernel.execve import execve
from caplet.kernel.syscalls import apply_all
from caplet.kernel.versions import Kernel
from caplet.run.available import own_credentials
from caplet.run.foreign import HEAD, foreign
from caplet.runtimes import runc

if TYPE_CHECKING:
    from caplet.image.program import Program
    from caplet.image.rootfs import Rootfs
    from caplet.kernel.credentials import Credentials
    from caplet.runtimes.model import Spec


@dataclass(frozen=True, slots=True)
class Prediction:
    """Before execve, and after it or why there is no after."""

    created: Credentials
    """As the runtime leaves the process."""
    program: Program
    """What execve meets; its chain is empty where the image has no such file."""
    started: Credentials | None = None
    errno: int = 0
    """Of the lookup or of execve, where it does not start."""
    reason: str = ""


def predict(spec: Spec, rootfs: Rootfs) -> Prediction:
    """Predict the container of `spec` on this kernel."""
    kernel = Kernel.parse(os.uname().release)
    process = spec.process
    caller = own_credentials()
    created = apply_all(caller.credentials(), runc.system_calls(process, caller.caps.bounding), kernel=kernel)
    program = find_program(rootfs, process.args, process.env, process.cwd)
    problem = program.problem
    if problem is None:
        user = User(process.user.uid, process.user.gid, process.user.additional_gids)
        problem = next(filter(None, (may_execute(rootfs, link, user) for link in program.chain)), None)
    if problem is None and (why := foreign(rootfs.read(program.file.node, HEAD))):
        problem = Problem(errno.ENOEXEC, f"{os.fsdecode(program.file.path)} is {why}")
    if problem is not None:
        return Prediction(created, program, errno=problem.errno, reason=problem.message)
    try:
        return Prediction(created, program, execve(created, program.for_kernel(), kernel))
    except Denied as denied:
        return Prediction(created, program, errno=denied.errno or 0, reason=denied.strerror or "")
