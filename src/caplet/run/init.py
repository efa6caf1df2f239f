# SPDX-License-Identifier: Apache-2.0
"""What pid 1 of the sandbox does: the pause container's part, then the container's from its files to its end.

In order: network and sysctls, the files, the runtime's create and start, then waiting for whatever comes first:
the end of the program, an answer to the probe, a signal to pass on. Each event is a message to the caller.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import CapletError
from caplet.run import devices, linux, network, prober, unpack, volumes
from caplet.run.embedded import Embedded
from caplet.run.execstop import ExecStop
from caplet.run.failure import CannotStart
from caplet.run.oci import Runtime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.kernel.syscalls import Syscall
    from caplet.run.keeper import Channel
    from caplet.run.prober import Probe
    from caplet.runtimes.model import Spec

STOP_SECONDS = 2.0
"""From SIGTERM to SIGKILL when a probe is over; a node gives 30 by default (terminationGracePeriodSeconds)."""

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Those of the signals that are passed on whose default is to end a process, and that people mean so."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that the sandbox's init needs to know; the descriptors are open when it is forked."""

    spec: Spec
    calls: Sequence[Syscall]
    runtime: str
    program: str
    """The runtime's executable file; empty for the embedded one."""
    archive: int
    """Where the image's files come from, as `unpack.write_archive` writes them."""
    size: int
    """Bytes to set aside for the root file system."""
    stdio: tuple[int, int, int]
    probe: Probe | None
    probe_seconds: float


def main(job: Job, channel: Channel, scratch: str) -> None:
    """Run the container of `job`, from an empty sandbox to its end."""
    if job.spec.hostname:
        socket.sethostname(job.spec.hostname)
    if not job.spec.host_network:
        network.loopback_up()
    network.write_sysctls(job.spec.sysctl)
    channel.send({"event": "sandbox", "sysctl": network.read_sysctls((*job.spec.sysctl, network.PORT_START))})
    root = os.path.join(scratch, "rootfs")
    _unpack(job, root)
    nodes = os.path.join(scratch, "devices")
    spec = devices.without_devices(job.spec)
    own_devices = devices.make_devices(nodes)
    if own_devices or not job.program:  # in a user namespace runc and crun bind devices themselves
        spec = devices.with_devices(spec, nodes)
    spec = volumes.with_volumes(spec, os.path.join(scratch, "volumes"))
    devices.forbid_device_nodes()
    container = (
        Runtime(job.runtime, job.program, spec, scratch, job.stdio)
        if job.program
        else Embedded(spec, job.calls, root, job.stdio)
    )
    pid = 0
    try:
        pid = container.create()
        channel.send({"event": "created", "status": _status(pid)})
        watched = ExecStop(pid)
        try:
            container.start()
            channel.send({"event": "started", "status": watched.status() or _status(pid)})
        finally:
            watched.end()
    except CannotStart as error:
        if pid:
            channel.send({"event": "ended", "status": _status(pid)})
        channel.send({"event": "failed", "message": error.message, "code": error.code})
        return
    for fd in job.stdio:
        os.close(fd)
    channel.send({"event": "exited", "code": _supervise(job, channel, pid)})


def _unpack(job: Job, root: str) -> None:
    """A child makes the files and ends; this process never touches what an image names."""
    os.mkdir(root)
    linux.mount("rootfs", root, "tmpfs", linux.MS_NODEV, f"mode=0755,size={job.size},nr_inodes=0")
    failure, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            unpack.confine(root)
            unpack.extract(job.archive)
            code = 0
        except CapletError as error:
            os.write(theirs, error.message.encode()[:4096])
        except BaseException as error:  # noqa: BLE001  # a forked child must not return into the caller's code
            os.write(theirs, f"cannot unpack the image: {type(error).__name__}: {error}".encode()[:4096])
        finally:
            os._exit(code)
    os.close(theirs)
    os.close(job.archive)
    with open(failure, "rb") as reason:
        message = reason.read().decode(errors="replace")
    if os.waitpid(pid, 0)[1]:
        raise CapletError(message or "cannot unpack the image: the process that does was killed")


def _status(pid: int) -> str:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return file.read()


def _supervise(job: Job, channel: Channel, pid: int) -> int:
    """Wait for the container's end; its exit code as a shell has it, 128 + N for signal N."""
    ended = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(channel, select.POLLIN)
    answer = -1
    if job.probe is not None:
        _, answer = prober.fork_prober(job.probe, job.probe_seconds)
        poll.register(answer, select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        if answer in ready:
            with open(answer, "rb") as said:
                text = said.read().decode() or prober.NO_ANSWER
            channel.send({"event": "probe", "answer": text, "status": _status(pid)})
            _stop(pid, ended)
            ready.add(ended)
        if ended in ready:
            break
        for number in channel.signals():
            _pass_on(pid, number)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else 128 - code


def _stop(pid: int, ended: int) -> None:
    """SIGTERM, then SIGKILL."""
    _pass_on(pid, signal.SIGTERM)
    if not select.select([ended], [], [], STOP_SECONDS)[0]:
        _signal(pid, signal.SIGKILL)
        select.select([ended], [], [])


def _pass_on(pid: int, number: int) -> None:
    """A signal that the program neither handles nor ignores ends it, as it would any process.

    The kernel drops such signals for pid 1 of a pid namespace (kernel/signal.c sig_task_ignored): SIGKILL it is.
    """
    status = _status(pid)
    minded = int(_field(status, "SigCgt"), 16) | int(_field(status, "SigIgn"), 16)
    if number in ENDING and not minded >> (number - 1) & 1:
        number = signal.SIGKILL
    _signal(pid, number)


def _field(status: str, name: str) -> str:
    return next(line.split(":", 1)[1].strip() for line in status.splitlines() if line.startswith(name + ":"))


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
