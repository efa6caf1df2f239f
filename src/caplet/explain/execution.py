# SPDX-License-Identifier: Apache-2.0
"""The programs of a container one after the other: the entrypoint, what it executes next, and what is said to follow."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.explain.arithmetic import arithmetic
from caplet.explain.explanation import Doubt, Step
from caplet.image.interpreters import runs
from caplet.image.passwd import User
from caplet.image.program import may_execute
from caplet.image.wrappers.model import ANY, Executes, Nothing, Unknown, Unsure
from caplet.kernel.credentials import Denied
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.namespaces import INITIAL, UserNamespace
from caplet.kernel.syscalls import apply_all
from caplet.runtimes import kubelet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.explain.facts import ImageFacts
    from caplet.image.program import Link, Program
    from caplet.image.secure import Secure
    from caplet.image.wrappers.model import Next, SetcapAtRunTime
    from caplet.kernel.credentials import Credentials
    from caplet.kernel.execve import Program as KernelProgram
    from caplet.kernel.syscalls import Syscall
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import Spec
    from caplet.runtimes.node import Node

MAX_PROGRAMS = 32
"""Programs that one after the other execute the next: a loop of wrappers ends here."""

SET_ID = 0o6000


@dataclass(slots=True)
class Execution:
    """Follows a process; what it did so far is in `steps`."""

    image: ImageFacts
    spec: Spec
    node: Node
    pod: PodSpec
    container: Container
    steps: list[Step]
    """The first is what the OCI runtime left."""
    asks: bool
    """Whether the container asks for anything: else what a program executes next decides nothing."""
    doubts: list[Doubt] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    setcaps: list[SetcapAtRunTime] = field(default_factory=list)

    def follow(self, then: Sequence[tuple[str, ...]]) -> None:
        """The entrypoint, what each program is known to execute, and where that ends the programs that are said to follow."""
        process = self.spec.process
        left = list(then)
        env = (*process.env, *self._known_later())
        following: Next = Executes(process.args, env=env, working_dir=process.cwd)
        if isinstance(process.args[0], Unsure):
            following = Unknown(f"the program is {process.args[0]}, whose value is in the cluster")
        while len(self.steps) <= MAX_PROGRAMS:
            if not isinstance(following, Executes):
                if left and self.steps[-1].program is not None and left[0] == self.steps[-1].program.argv:
                    del left[0]  # said, and found as well
                    continue
                if not left:
                    self._end(following)
                    return
                following = Executes(left.pop(0), env=env, working_dir=process.cwd)
            program = self._execute(following)
            if program is None:
                return
            cred = self.steps[-1].after
            following = self._next(program, following, cred)
            if isinstance(following, Executes) and not following.certain:
                self.notes.append(f"{titled(program)} may also end by itself: {following.why}")
            self.setcaps += following.setcaps
            self.notes += following.notes
        self.doubts.append(
            Doubt(f"what runs behind {MAX_PROGRAMS} programs that execute one another", "--then PROGRAM")
        )

    def _known_later(self) -> tuple[str, ...]:
        """Variables whose values are in the cluster: a script that asks for one of them is not certain."""
        own, elsewhere = kubelet.environment(self.container)
        others = (Unsure(f"{ANY}=envFrom"),) if self.container.env_from else ()
        set_here = "HOSTNAME" in own or any(item.startswith("HOSTNAME=") for item in self.image.config.env)
        host = () if set_here or _knows_its_hostname(self.pod) else (Unsure("HOSTNAME=$HOSTNAME"),)
        made = (Unsure(f"{name}={value}") for name, value in own.items() if isinstance(value, Unsure))
        return (*host, *others, *made, *(Unsure(f"{name}=$({name})") for name in elsewhere))

    def _next(self, program: Program, now: Executes, cred: Credentials | None) -> Next:
        """What it executes, where its name is one of a program that executes others."""
        if len(program.chain) == 1 and runs(program.file.path) is None:
            return Nothing()
        from caplet.image.wrappers.follow import next_argv  # reads shell scripts: takes its time to load

        return next_argv(program, program.argv, now.env, self.image.files, cred, now.working_dir)

    def _end(self, last: Unknown | Nothing) -> None:
        """Nothing more is known to be executed."""
        if isinstance(last, Nothing):
            if last.fails:
                self._ends(last.why)
            return
        cred = self.steps[-1].after
        assert cred is not None
        if len(self.steps) == 1:
            self.doubts.append(Doubt(f"what is executed: {last.why}", "--then PROGRAM"))
        elif cred.no_new_privs and not cred.caps.permitted and not cred.caps.ambient:
            self.notes.append(
                f"what comes next is not known ({last.why}), and has nothing either: under no_new_privs nobody gains anything"
            )
        elif self.asks:
            self.doubts.append(Doubt(f"what is executed next: {last.why}", last.decide or "--then PROGRAM"))
        else:
            self.notes.append(f"what is executed next is not known: {last.why}")

    def _ends(self, why: str) -> None:
        """A wrapper refuses its own command line, and executes nothing."""
        program = self.steps[-1].program
        title = f"{titled(program)} ends" if program is not None else "it ends"
        self.steps.append(
            Step(title, self.steps[-1].after or self.steps[-1].before, None, program=program, reason=why)
        )

    def _execute(self, next_: Executes) -> Program | None:
        """Execute a program, after the system calls of the one before it. None where the process ends here."""
        if next_.calls and not self._call(next_.calls):
            return None
        program = self.image.program(tuple(next_.argv), next_.env, next_.working_dir)
        if program.problem is not None and program.problem.errno == errno.ENOEXEC and self._hands_to_sh():
            script = os.fsdecode(program.chain[0].path)
            program = self.image.program(("/bin/sh", script, *next_.argv[1:]), next_.env, next_.working_dir)
        title = f"exec {titled(program)}"
        cred = self.steps[-1].after
        assert cred is not None
        problem = self._problem(program, cred)
        if problem is not None:
            self._denied(title, cred, program, *problem)
            return None
        self._doubt_covered(program)
        try:
            made = arithmetic(cred, self._seen(program), self.node.kernel)
        except Denied as denied:
            self._denied(title, cred, program, denied.errno or 0, denied.strerror or "")
            return None
        if made.after is None:
            missing = ",".join(made.missing.names())
            reason = f"the file demands {missing}, which the bounding set lacks"
            self.steps.append(Step(title, cred, None, (), program, made, errno.EPERM, reason))
            return None
        secure = self._secure(program, next_) if made.after.at_secure else None
        self.steps.append(Step(title, cred, made.after, (), program, made, secure=secure))
        if secure is not None and not secure.starts:
            self._not_loaded(made.after, program, secure)
            return None
        return program

    def _hands_to_sh(self) -> bool:
        """Whether the program that executes has /bin/sh read a script without a #! line."""
        before = next((step.program for step in reversed(self.steps) if step.program is not None), None)
        if before is None:
            return False
        from caplet.image.wrappers.follow import (
            falls_back_to_sh,
        )  # reads shell scripts: takes its time to load

        return falls_back_to_sh(before, self.image.files)

    def _secure(self, program: Program, next_: Executes) -> Secure | None:
        """What AT_SECURE changes for it; None of a file that no loader would take."""
        try:
            return self.image.secure(program.file.path, next_.env, next_.working_dir)
        except InvalidInput:
            return None

    def _not_loaded(self, cred: Credentials, program: Program, secure: Secure) -> None:
        """The dynamic loader ends the program before its own first instruction."""
        reason = secure.fatal or "; ".join(
            f"{one.name}, which {one.needed_by} needs, is not found: {one.why}"
            for one in secure.lost
            if one.instead is None
        )
        title = f"{secure.loader} loads {os.fsdecode(program.file.path)}"
        self.steps.append(Step(title, cred, None, program=program, reason=reason, secure=secure))

    def _denied(self, title: str, cred: Credentials, program: Program, number: int, reason: str) -> None:
        self.steps.append(Step(title, cred, None, program=program, errno=number, reason=reason))

    def _call(self, calls: Sequence[Syscall]) -> bool:
        before = self.steps[-1].after
        assert before is not None
        title = " ".join(type(call).__name__ for call in calls)
        try:
            after = apply_all(before, calls, self.node.kernel)
        except Denied as denied:
            self.steps.append(
                Step(title, before, None, tuple(calls), errno=denied.errno or 0, reason=denied.strerror or "")
            )
            return False
        self.steps.append(Step(title, before, after, tuple(calls)))
        return True

    def _problem(self, program: Program, cred: Credentials) -> tuple[int, str] | None:
        """Why the file does not start whatever its capabilities are."""
        if program.problem is not None:
            return program.problem.errno, program.problem.message
        seen = cred.seen()
        user = User(seen.fsuid, seen.egid, seen.groups)
        for link in program.chain:
            refused = may_execute(self.image.files, link, user)
            if refused is not None:
                return refused.errno, refused.message
            if isinstance(link.caps, FileCaps) and link.caps.rootid and self._idmapped:
                return errno.EOVERFLOW, (
                    f"the attribute of {os.fsdecode(link.path)} is of revision 3, for the user namespace whose root is uid "
                    f"{link.caps.rootid}: overlayfs cannot show it through an idmapped mount"
                )
        return None

    @property
    def _idmapped(self) -> bool:
        return self.spec.user_ns is not None and self.spec.user_ns.rootfs == "idmapped"

    def _seen(self, program: Program) -> KernelProgram:
        """The program as execve meets it on this node."""
        kernel_program = program.for_kernel()
        rule = self.node.runtime.file_caps(self.spec.process.no_new_privileges, self.node.runtime_version)
        has = isinstance(program.file.caps, FileCaps)
        if rule is None and has:
            self.doubts.append(
                Doubt(
                    f"whether {self.node.runtime.name} {self.node.runtime_version} honours the capabilities of {os.fsdecode(program.file.path)}",
                    "caplet verify on a node that has it",
                )
            )
        user_ns = self.spec.user_ns
        if user_ns is None:
            return _met(kernel_program, None, no_caps=rule == "discarded")
        # chown(2) takes attributes and set-id bits away: chown_common() in fs/open.c
        chowned = user_ns.rootfs == "chowned"
        owners = UserNamespace(INITIAL, 0, user_ns.ids, user_ns.ids)
        return _met(kernel_program, owners, no_caps=chowned or rule == "discarded", no_set_id=chowned)

    def _doubt_covered(self, program: Program) -> None:
        for link in program.chain:
            mount = _covering(link, self.container)
            if mount is not None:
                self.doubts.append(
                    Doubt(
                        f"{os.fsdecode(link.path)} is on the volume {mount}, not in the image: its capabilities are not known",
                        "getcap of the file on the volume (getcap is of libcap2-bin)",
                    )
                )


def _met(
    program: KernelProgram, owners: UserNamespace | None, *, no_caps: bool, no_set_id: bool = False
) -> KernelProgram:
    """The program, and its interpreters, as the node shows them; `owners`: whose ids the files have there."""
    inner = program.interpreter
    return replace(
        program,
        interpreter=None if inner is None else _met(inner, owners, no_caps=no_caps, no_set_id=no_set_id),
        caps=None if no_caps else program.caps,
        mode=program.mode & ~SET_ID if no_set_id else program.mode,
        idmap=owners,
    )


def _covering(link: Link, container: Container) -> str | None:
    """The volume that is mounted over a file of the image."""
    for mount in container.volume_mounts:
        # As the kubelet and the engines clean it: filepath.Join of Go. POSIX leaves two slashes at the beginning alone.
        place = b"/" + os.fsencode(os.path.normpath(f"/{mount.mount_path}")).lstrip(b"/")
        if link.path == place or link.path.startswith(place.rstrip(b"/") + b"/"):
            return mount.name
    return None


def titled(program: Program) -> str:
    """`/entry.sh -> /bin/sh`, `/bin/app (cap_net_raw=ep)`; of a file that is not there, its name."""
    if not program.chain:
        return program.argv[0]
    parts = []
    for link in program.chain:
        caps = link.caps
        text = "" if caps is None else f" ({caps})" if isinstance(caps, FileCaps) else " (broken attribute)"
        parts.append(os.fsdecode(link.path) + text)
    return " -> ".join(parts)


def _knows_its_hostname(pod: PodSpec) -> bool:
    """A workload's Pods and those of a generateName get names of their own, and one in the node's network the node's."""
    if pod.host_network:
        return False
    named = isinstance(pod.document.at((*pod.object_path, "metadata", "name")), str)
    return bool(pod.hostname) or (pod.kind == "Pod" and named)
