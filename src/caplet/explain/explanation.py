# SPDX-License-Identifier: Apache-2.0
"""Explanation: one container on one node, refused by somebody or followed step by step to its process."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from caplet.kernel.capable import BindPort, allowed
from caplet.kernel.caps import NO_CAPS, Cap, Caps, bare
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.namespaces import INITIAL, UserNamespace

if TYPE_CHECKING:
    from caplet.explain.arithmetic import Arithmetic
    from caplet.explain.facts import ImageFacts
    from caplet.image.passwd import User
    from caplet.image.program import Program
    from caplet.image.secure import Secure
    from caplet.image.wrappers.model import SetcapAtRunTime
    from caplet.kernel.capable import Operation
    from caplet.kernel.credentials import Credentials
    from caplet.kernel.syscalls import Syscall
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.model import Refused, SecurityContext, Spec
    from caplet.runtimes.node import Node

FIRST_FREE_PORT = 1024
"""Where ports begin that need no privilege, unless a sysctl says otherwise: PROT_SOCK, include/net/sock.h."""


FOR_ROOT = Caps.of(
    Cap.CHOWN,
    Cap.DAC_OVERRIDE,
    Cap.FOWNER,
    Cap.FSETID,
    Cap.KILL,
    Cap.SETGID,
    Cap.SETUID,
    Cap.SETPCAP,
    Cap.SETFCAP,
    Cap.SYS_CHROOT,
)
"""What entrypoints do as root before they start a server as somebody else: own and write its files, and change the user."""


class Verdict(StrEnum):
    """What comes of the capabilities that a container asks for."""

    EFFECTIVE = "effective"
    """It starts, and its program has what it asks for."""
    INERT = "inert"
    """It starts, and its program lacks something that it asks for, or cannot bind a port that it names."""
    EXEC_FAILS = "exec-fails"
    """A program on the way does not start."""
    NOT_NEEDED = "not-needed"
    """It lacks what it asks for, and needs it for nothing on this node."""
    FORBIDDEN = "forbidden"
    """The platform's admission does not let the Pod in."""
    REFUSED = "refused"
    """API server, kubelet, engine or OCI runtime refuse the container."""
    UNKNOWN = "unknown"
    """Something that decides is not known: `Explanation.doubts` says what, and what would tell."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the process's credentials."""

    title: str
    """`config.json`, `exec /entry.sh -> /bin/sh`."""
    before: Credentials
    after: Credentials | None
    """None: it was denied."""
    calls: tuple[Syscall, ...] = ()
    """What is called, execve(2) left out where `program` says it."""
    program: Program | None = None
    """The image's, of an execve."""
    arithmetic: Arithmetic | None = None
    """capabilities(7)'s formulas with this step's numbers, of an execve that got so far."""
    errno: int = 0
    """0 where the dynamic loader gave up."""
    reason: str = ""
    """Why it was denied."""
    secure: Secure | None = None
    """What AT_SECURE changes, of an execve that sets it."""

    @property
    def error(self) -> str:
        """EPERM, ..."""
        return errno.errorcode.get(self.errno, str(self.errno)) if self.errno else ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that is not known and may decide."""

    what: str
    decided_by: str
    """What would tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """See the module. Sets and ids are the initial user namespace's, as in `caplet.kernel`."""

    pod: PodSpec
    container: Container
    node: Node
    image: ImageFacts | None
    """None where it could not be reached."""
    then: tuple[tuple[str, ...], ...] = ()
    """Programs that were said to follow."""
    admitted: Container | None = None
    """The container as admission left it: a platform may set what the Pod leaves open."""
    request: SecurityContext | None = None
    """What the engine is asked for."""
    spec: Spec | None = None
    account: User | None = None
    """The image's idea of the user."""
    refused: Refused | None = None
    forbidden: bool = False
    """The refusal is the platform's admission."""
    steps: tuple[Step, ...] = ()
    """First what the OCI runtime does of config.json, then each execve."""
    doubts: tuple[Doubt, ...] = ()
    notes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    """Names in config.json that the OCI runtime leaves out."""
    setcaps: tuple[SetcapAtRunTime, ...] = ()
    """Where a script on the way runs setcap(8)."""
    port_start: int | None = None
    """First port that needs no privilege in the container's network namespace; None where it is not known."""
    port_start_why: str = ""

    @property
    def asked_names(self) -> tuple[str, ...]:
        """`capabilities.add`, verbatim."""
        return self.container.security_context.add

    @property
    def asked(self) -> Caps:
        """The capabilities meant by `capabilities.add`, however they are spelled; all of a privileged container."""
        if self.container.security_context.privileged or any(
            bare(name) == "ALL" for name in self.asked_names
        ):
            return Caps.all(self.node.kernel.last_cap)
        return Caps.of(*(Cap[bare(name)] for name in self.asked_names if bare(name) in Cap.__members__))

    @property
    def misnamed(self) -> tuple[str, ...]:
        """Names of `capabilities.add` that are no capability's."""
        return tuple(name for name in self.asked_names if bare(name) not in {*Cap.__members__, "ALL", ""})

    @property
    def created(self) -> Credentials | None:
        """As the OCI runtime leaves the process, before any program."""
        return self.steps[0].after if self.steps else None

    @property
    def final(self) -> Credentials | None:
        """Of the last program that is known; None where it does not start."""
        return self.steps[-1].after if self.executions else None

    @property
    def failed(self) -> Step | None:
        """The step that was denied."""
        return next((step for step in self.steps if step.after is None), None)

    @property
    def executions(self) -> tuple[Step, ...]:
        return tuple(
            step for step in self.steps if step.program is not None and step.title.startswith("exec ")
        )

    @property
    def held(self) -> Caps:
        """What the last program has in effect."""
        return NO_CAPS if self.final is None else self.final.caps.effective

    @property
    def lost(self) -> Caps:
        """What is asked for and not in effect in the last program. What only root's part of the way needs was used, not lost."""
        return self.asked - self.held - self._spent

    @property
    def becomes_user(self) -> bool:
        """The container starts as root, and a wrapper executes the last program as somebody else."""
        created, final = self.created, self.final
        return (
            created is not None and final is not None and created.seen().euid == 0 and final.seen().euid != 0
        )

    @property
    def _spent(self) -> Caps:
        """What an entrypoint asks for to become another user, unless the last program's file asks for it as well."""
        if not self.becomes_user:
            return NO_CAPS
        last = self.executions[-1].program
        file = None if last is None or not last.chain else last.file.caps
        return FOR_ROOT - file.permitted if isinstance(file, FileCaps) else FOR_ROOT

    @property
    def raisable(self) -> Caps:
        """Of what is lost: what the last program has permitted and may make effective itself, capset(2)."""
        return NO_CAPS if self.final is None else self.lost & self.final.caps.permitted

    @property
    def ports(self) -> tuple[int, ...]:
        """Ports below 1024 that the container's `ports` name, in ascending order."""
        named = {port.container_port for port in self.container.ports if port.container_port}
        return tuple(sorted(port for port in named if 0 < port < FIRST_FREE_PORT))

    @property
    def closed_ports(self) -> tuple[int, ...]:
        """Those of `ports` that the last program cannot bind."""
        return tuple(port for port in self.ports if self.can(BindPort(port)) is False)

    @property
    def needless(self) -> Caps:
        """What is needed for nothing on this node: CAP_NET_BIND_SERVICE where every port is free to all."""
        return Caps.of(Cap.NET_BIND_SERVICE) if self.port_start == 0 else NO_CAPS

    @property
    def starts(self) -> bool | None:
        """Whether every program that is known starts; None where nothing is known."""
        if self.refused is not None or self.failed is not None:
            return False
        return True if self.executions else None

    @property
    def verdict(self) -> Verdict:
        if self.refused is not None:
            return Verdict.FORBIDDEN if self.forbidden else Verdict.REFUSED
        if self.failed is not None:
            return Verdict.EXEC_FAILS
        if self.doubts:
            return Verdict.UNKNOWN
        if self.setcap_fails or self.misnamed:
            return Verdict.INERT
        if self.closed_ports or self.lost - self.raisable - self.needless:
            return Verdict.UNKNOWN if self.changed_by_setcap else Verdict.INERT
        if self.raisable - self.needless:
            return Verdict.UNKNOWN
        return Verdict.NOT_NEEDED if self.lost else Verdict.EFFECTIVE

    @property
    def setcap_fails(self) -> bool:
        """A script on the way runs setcap(8), and may not."""
        return not self._may_setcap and any(one.certain for one in self.setcaps)

    @property
    def changed_by_setcap(self) -> bool:
        """What the files carry is then not what the image says."""
        return self._may_setcap and bool(self.setcaps)

    @property
    def _may_setcap(self) -> bool:
        """cap_convert_nscap() of security/commoncap.c asks for CAP_SETFCAP."""
        return any(
            step.after is not None and Cap.SETFCAP in step.after.caps.effective for step in self.executions
        )

    @property
    def open_questions(self) -> tuple[Doubt, ...]:
        """The doubts, and what only the program itself can tell."""
        if self.changed_by_setcap and self.verdict is Verdict.UNKNOWN:
            line = self.setcaps[0]
            what = (
                f"whether `{' '.join(line.argv)}` of line {line.line} gives a file what the image's has not"
            )
            return (*self.doubts, Doubt(what, "caplet run, or getcap in the container"))
        if self.starts is not True or not self.raisable - self.needless:
            return self.doubts
        names = ",".join(self.raisable.names())
        raises = Doubt(
            f"whether the program makes {names} effective itself: it is permitted only, the file has no effective bit",
            "caplet run with the program at work, or its documentation: capset(2), cap_set_proc(3)",
        )
        return (*self.doubts, raises)

    def can(self, operation: Operation) -> bool | None:
        """Whether the last program may; None where it does not start, or a setting of the node decides that is not known."""
        if self.final is None:
            return None
        if isinstance(operation, BindPort):
            operation = BindPort(operation.port, self._network_owner)
            # Where the first free port is not known, a program that may bind any port may bind this one.
            start = FIRST_FREE_PORT if self.port_start is None else self.port_start
            may = allowed(self.final, operation, {"net.ipv4.ip_unprivileged_port_start": str(start)})
            undecided = self.port_start is None or Cap.NET_BIND_SERVICE in self.final.caps.permitted
            return None if not may and undecided else may
        return allowed(self.final, operation, self.spec.sysctl if self.spec else {})

    @property
    def _network_owner(self) -> UserNamespace:
        assert self.final is not None
        return INITIAL if self.pod.host_network else self.final.user_ns
