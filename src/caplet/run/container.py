# SPDX-License-Identifier: Apache-2.0
"""Runs one container and says what became of it: `run_container()`."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

from caplet.errors import InvalidInput, Unavailable
from caplet.run import init, keeper, linux, network, unpack
from caplet.run.available import own_credentials, within
from caplet.run.failure import EXIT_RUNTIME_FAILED, exit_code_of
from caplet.run.installed import installed
from caplet.run.prober import Probe, ProbeAnswer, taken
from caplet.run.status import Observed, parse_status
from caplet.runtimes import runc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from caplet.image.rootfs import Rootfs
    from caplet.runtimes.model import Spec

RuntimeName = Literal["runc", "crun", "embedded"]
RUNTIMES: tuple[RuntimeName, ...] = ("runc", "crun", "embedded")
"""The default is the first that is installed; the embedded one always is."""

TAIL = 64 * 1024
"""Bytes of each output that the result keeps."""

FREE_BYTES = 256 << 20
"""Room for what the program writes where its root is not read-only."""

USABLE = 7 / 8
"""Of the memory that is free: the rest of the machine goes on."""

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
"""What podman-run(1) --sig-proxy passes on, of the signals that people send to a command."""

PROBE_SECONDS = 10.0


@dataclass(slots=True)
class RunResult:
    """What became of a container."""

    runtime: RuntimeName
    exit_code: int = EXIT_RUNTIME_FAILED
    """The program's own; 125, 126, 127 where there was none; 128 + N where signal N ended it."""
    started: bool = False
    """execve(2) of the program succeeded."""
    error: str = ""
    """Why it did not start, in the runtime's words."""
    created: Observed | None = None
    """As the runtime left the process, right before execve."""
    observed: Observed | None = None
    """As the kernel made the program's process at execve; seen right after it, so a fast program may have changed it."""
    sysctl: dict[str, str] = field(default_factory=dict)
    """In the Pod's namespaces, right before the container was created: the spec's, and where unprivileged ports start."""
    probe: ProbeAnswer | None = None
    at_probe: Observed | None = None
    """When the probe was answered."""
    stdout: bytes = b""
    stderr: bytes = b""
    """The ends of what it wrote."""


@dataclass(slots=True)
class _Outputs:
    """The container's standard output and error: pipes, as containerd's are, passed on and kept in part."""

    relay: bool
    kept: dict[int, bytearray] = field(default_factory=lambda: {1: bytearray(), 2: bytearray()})

    def take(self, number: int, data: bytes) -> None:
        kept = self.kept[number]
        kept += data
        del kept[:-TAIL]
        if self.relay:
            with contextlib.suppress(BrokenPipeError):
                view = memoryview(data)
                while view:
                    view = view[os.write(number, view) :]


def find_runtime(name: str | None) -> tuple[RuntimeName, str]:
    """The runtime's name and its program; without a name the first that is installed."""
    for known in RUNTIMES:
        if name is not None and name != known:
            continue
        if known == "embedded":
            return known, ""
        program = installed(known)
        if program is not None:
            return known, os.path.realpath(program)
        if name is not None:
            raise Unavailable(
                f"{name} is not installed", f"install it (apt install {name}), or leave --runtime {name} out"
            )
    raise InvalidInput(f"unknown runtime {name!r}", f"known: {', '.join(RUNTIMES)}")


def run_container(
    spec: Spec,
    rootfs: Rootfs,
    *,
    runtime: str | None = "embedded",
    probe: str | None = None,
    timeout: float = PROBE_SECONDS,
    relay: bool = True,
    watch: Callable[[RunResult], object] | None = None,
    seconds: float | None = None,
) -> RunResult:
    """Run the container to its end, until the probe has its answer, or for so many seconds.

    `relay` passes its output on to ours; the ends of both are in the result anyway. Signals that reach this
    process (where it is the main thread's business) reach the container. `watch` is called with what is known when
    the program has started.
    """
    name, program = find_runtime(runtime)
    available = own_credentials().caps.bounding
    spec, _ = within(spec, available)
    _check(spec)
    network.check_sysctls(spec.sysctl, host_network=spec.host_network)
    asked = Probe.parse(probe) if probe is not None else None
    if asked is not None:
        asked.check_host(host_network=spec.host_network)
        if spec.host_network and taken(asked):
            raise Unavailable(
                f"port {asked.port} is taken: something on this machine listens there, and hostNetwork shares it",
                f"stop it (ss -ltnp 'sport = {asked.port}' names it), or leave hostNetwork out of the Pod",
            )
    with contextlib.ExitStack() as stack:
        descriptors = stack.enter_context(_Descriptors())
        (archive, files), (stdout, out), (stderr, err) = (descriptors.pipe() for _ in range(3))
        # Not /dev/null: crun gives the container's user whatever its standard input is (fchown), and that is the machine's.
        stdin, nothing = descriptors.pipe()
        descriptors.close(nothing)
        job = init.Job(
            spec=spec,
            calls=runc.system_calls(spec.process, available),
            runtime=name,
            program=program,
            archive=archive,
            size=_room(rootfs),
            stdio=(stdin, out, err),
            probe=asked,
            probe_seconds=timeout,
        )
        namespaces = linux.CLONE_NEWIPC | linux.CLONE_NEWUTS | linux.CLONE_NEWCGROUP
        if not spec.host_network:
            namespaces |= linux.CLONE_NEWNET
        sandbox = keeper.start(
            lambda channel, scratch: init.main(job, channel, scratch),
            namespaces=namespaces,
            keep=(archive, stdin, out, err),
            needed=(program,) if program else (),
        )
        stack.callback(sandbox.close)
        for fd in (archive, out, err, stdin):
            descriptors.close(fd)
        try:
            _send_files(rootfs, files, sandbox)
        finally:
            descriptors.close(files)
        result = RunResult(name)
        outputs = _Outputs(relay)
        with _forwarding(sandbox):
            _watch(sandbox, {stdout: 1, stderr: 2}, outputs, result, watch, seconds)
        result.stdout, result.stderr = bytes(outputs.kept[1]), bytes(outputs.kept[2])
        _explain(result)
        if relay and not result.started:
            _pass_on_the_runtimes(result)
        if asked is not None and result.probe is None:
            result.probe = ProbeAnswer(error="the container ended before it answered")
        return result


def _check(spec: Spec) -> None:
    if not spec.process.args:
        raise InvalidInput(
            "the container has no command", "give the Pod a command, or the image an entrypoint"
        )
    for text in (*spec.process.args, *spec.process.env, spec.process.cwd, spec.hostname):
        if "\0" in text:
            raise InvalidInput(f"a NUL byte cannot be in a command or environment: {text!r}")


def _room(rootfs: Rootfs) -> int:
    """The size of the tmpfs, checked against the memory that is free."""
    size = unpack.size_of(rootfs)
    free = int(_free_memory() * USABLE)
    if size > free:
        path, most = unpack.largest(rootfs)
        raise Unavailable(
            f"the image takes {size >> 20:,} MiB of memory when unpacked, and {free >> 20:,} MiB may be used here",
            f"files live in memory so that nothing is left behind; the largest is {os.fsdecode(path)}, {most:,} bytes",
        )
    return size + min(FREE_BYTES, free - size)


def _free_memory() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return sys.maxsize


def _send_files(rootfs: Rootfs, files: int, sandbox: keeper.Sandbox) -> None:
    """Write the archive; where the other side gave up, its reason is raised by the first message."""
    with contextlib.suppress(BrokenPipeError), open(files, "wb", 1 << 20, closefd=False) as pipe:
        unpack.write_archive(rootfs, pipe.write)
        return
    while sandbox.receive() is not None:
        pass
    raise Unavailable("the sandbox ended before the image was unpacked")


def _watch(
    sandbox: keeper.Sandbox,
    pipes: Mapping[int, int],
    outputs: _Outputs,
    result: RunResult,
    watch: Callable[[RunResult], object] | None,
    seconds: float | None,
) -> None:
    """Until the sandbox ended and its output is read to the end. After so many seconds from its start it is killed.

    The output waits in its pipes until the program has started, so that what `watch` says of the start comes first.
    """
    end: float | None = None
    with selectors.DefaultSelector() as selector:

        def read_output() -> None:
            for fd in pipes:
                selector.register(fd, selectors.EVENT_READ)

        selector.register(sandbox, selectors.EVENT_READ)
        while selector.get_map():
            if end is not None and time.monotonic() > end:
                sandbox.send_signal(signal.SIGKILL)
                end = None
            for key, _ in selector.select(None if end is None else max(0.0, end - time.monotonic())):
                if key.fileobj is sandbox:
                    messages = sandbox.receive()
                    for message in messages or ():
                        _note(message, result)
                        if message["event"] == "started":
                            if watch is not None:
                                watch(result)
                            if seconds is not None:
                                end = time.monotonic() + seconds
                            read_output()
                    if messages is None:
                        selector.unregister(sandbox)
                        if not result.started:
                            outputs.relay = False  # no program wrote it: see _pass_on_the_runtimes
                            read_output()
                elif data := os.read(key.fd, 65536):
                    outputs.take(pipes[key.fd], data)
                else:
                    selector.unregister(key.fd)


def _note(message: Mapping[str, Any], result: RunResult) -> None:
    match message["event"]:
        case "sandbox":
            result.sysctl = dict(message["sysctl"])
        case "created":
            result.created = parse_status(message["status"])
        case "started":
            result.started = True
            result.observed = parse_status(message["status"])
        case "probe":
            result.probe = ProbeAnswer.decoded(message["answer"].encode())
            result.at_probe = parse_status(message["status"])
        case "failed":
            result.error, result.exit_code = message["message"], message["code"]
        case "exited":
            result.exit_code = message["code"]


def _explain(result: RunResult) -> None:
    """What execve failed of, runc says only on the container's own standard error."""
    if result.started or result.error:
        return
    lines = result.stderr.decode(errors="replace").strip().splitlines()
    result.error = lines[-1] if lines else "the sandbox ended before the container started"
    result.exit_code = exit_code_of(result.error)


def _pass_on_the_runtimes(result: RunResult) -> None:
    """What the OCI runtime wrote where no program ran, but for the reason itself: the report has it."""
    reason = result.error.encode()
    for line in result.stderr.splitlines(keepends=True):
        text = line.strip()
        if text and text not in reason and reason not in text:
            with contextlib.suppress(BrokenPipeError):
                os.write(2, line)


@contextlib.contextmanager
def _forwarding(sandbox: keeper.Sandbox) -> Iterator[None]:
    """Signals go to the container; a second SIGINT ends it, since pid 1 ignores what it does not handle."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupts = 0

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        del frame
        interrupts += number == signal.SIGINT
        sandbox.send_signal(signal.SIGKILL if interrupts > 1 else number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Descriptors:
    """File descriptors that are closed once each: at the latest when the block ends."""

    def __init__(self) -> None:
        self._open: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for fd in tuple(self._open):
            self.close(fd)

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def close(self, fd: int) -> None:
        self._open.remove(fd)
        os.close(fd)
