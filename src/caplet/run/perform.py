# SPDX-License-Identifier: Apache-2.0
"""The system calls of `caplet.kernel.syscalls`, done for real: `do` in this process, `perform` in a forked one.

`apply` says what the model makes of a call, `perform` what the kernel makes of it, and the same value goes to both. After each
call the process reads its own credentials; after an execve the shipped `probe` does, which is also what every `Execve` of
`perform` runs: the caller makes its copy at `Execve.path` an inode like `Execve.program`.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
import traceback
from typing import TYPE_CHECKING, NoReturn

from caplet.errors import CapletError
from caplet.kernel import syscalls as k
from caplet.run.calls import PR_GET_SECUREBITS, PR_SET_DUMPABLE, Raw, prctl, raw
from caplet.run.idmaps import write_maps
from caplet.run.readback import Performed, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from caplet.kernel.namespaces import UserNamespace

SCRIPT_ARGUMENT = "-"
"""A script for `perform` begins `#!PROBE -`: the probe then passes over the script's own name."""


def do(call: k.Syscall) -> None:
    """The call, in this process and this thread. Raises OSError where the kernel refuses; an Execve that is done never returns."""
    if isinstance(call, k.Execve):
        os.execve(call.path, call.argv or (call.path,), os.environ)  # noqa: S606
    raw(call)()


def perform(
    calls: Sequence[k.Syscall],
    *,
    namespaces: Mapping[UserNamespace, int] | None = None,
    first: Sequence[Callable[[], object]] = (),
    probe: str | None = None,
    timeout: float = 20.0,
) -> Performed:
    """Do the calls, one after the other, in a child of this process, and say what became of it after each.

    A refused call changes nothing and the next is done all the same. What is in `first` comes before the start, untold.
    `namespaces` are descriptors of what SetnsUser names. Maps of a new user namespace are written by this process, which must
    be root. With `probe`, the path of a copy that gains nothing, the child is that from the start and not a fork of this
    process, at a tenth of the cost; then `first` can only be `Raw` calls.
    """
    child = _Child(calls, namespaces or {}, first)
    try:
        pid = child.spawn(probe) if probe else child.fork()
        try:
            text = _serve(pid, calls, child.ours, time.monotonic() + timeout)
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    finally:
        child.close()
    return Reader(text.decode("ascii", "replace"), by_probe=probe is not None).performed(calls, len(first))


def _serve(pid: int, calls: Sequence[k.Syscall], fds: tuple[int, int, int], deadline: float) -> bytes:
    """Collect what the child writes until it ends, and write the id maps that it asks for."""
    output, requests, replies = fds
    poll = select.poll()
    chunks: list[bytes] = []
    poll.register(output, select.POLLIN)
    poll.register(requests, select.POLLIN)
    while True:
        ready = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
        if not ready:
            raise CapletError(f"process {pid} did not end in time", f"it was doing {list(calls)}")
        for fd, _ in ready:
            data = os.read(fd, 1 << 16)
            if fd == output and not data:
                return b"".join(chunks)
            if fd == output:
                chunks.append(data)
            elif data:
                call = calls[int(data)]
                assert isinstance(call, k.UnshareUser)
                write_maps(pid, call)
                os.write(replies, b".")
            else:
                poll.unregister(requests)


class _Child:
    """The process that does the calls: this program's own code until an execve, and the probe's from there."""

    def __init__(
        self,
        calls: Sequence[k.Syscall],
        namespaces: Mapping[UserNamespace, int],
        first: Sequence[Callable[[], object]],
    ) -> None:
        self._calls = calls
        self._namespaces = namespaces
        self._first = first
        output, self._output = os.pipe()
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self.ours = output, requests, replies
        """The other ends: what the child says, what it asks for, what it is told."""
        self._its: tuple[int, ...] = (self._output, self._requests, self._replies)
        for fd in (*self._its, *self._namespaces.values()):
            os.set_inheritable(fd, True)

    def spawn(self, probe: str) -> int:
        first = [_token(call) for call in self._first if isinstance(call, Raw)]
        assert len(first) == len(self._first)
        output = [(os.POSIX_SPAWN_DUP2, self._output, 1)]
        pid = os.posix_spawn(probe, [probe, *first, *self._rest(0)], {}, file_actions=output)
        self._close(self._its)
        return pid

    def fork(self) -> int:
        pid = os.fork()
        if pid == 0:
            self._close(self.ours)
            self._run()
        self._close(self._its)
        return pid

    def close(self) -> None:
        self._close(self.ours)
        if self._its:
            self._close(self._its)

    def _close(self, fds: tuple[int, ...]) -> None:
        for fd in fds:
            os.close(fd)
        if fds == self._its:
            self._its = ()

    def _run(self) -> NoReturn:
        try:
            for before in self._first:
                before()
            # Opened now, it shows ids as this user namespace numbers them, whichever the process enters later.
            self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
            self._report()
            for index, call in enumerate(self._calls):
                self._result(self._done(index, call))
                self._report()
        except BaseException:  # noqa: BLE001  whatever it is, it must not return into the caller's frames
            os.write(self._output, traceback.format_exc().encode())
        finally:
            os._exit(0)

    def _done(self, index: int, call: k.Syscall) -> int:
        try:
            if isinstance(call, k.Execve):
                self._become_probe(index, call)
            raw(call, self._namespaces)()
        except OSError as error:
            return error.errno or errno.EIO
        if isinstance(call, k.UnshareUser) and call.has_maps:
            for handshake in self._handshake(index):
                handshake()
        return 0

    def _become_probe(self, index: int, call: k.Execve) -> None:
        os.dup2(self._output, 1)
        os.execve(call.path, [call.path, *self._rest(index + 1)], {})  # noqa: S606

    def _rest(self, index: int) -> list[str]:
        return [token for number in range(index, len(self._calls)) for token in self._tokens(number)]

    def _tokens(self, index: int) -> list[str]:
        """A call as the probe takes it."""
        call = self._calls[index]
        if isinstance(call, k.Execve):
            return [call.path]
        raws = [raw(call, self._namespaces)]
        if isinstance(call, k.UnshareUser) and call.has_maps:
            raws += self._handshake(index)
        return list(map(_token, raws))

    def _handshake(self, index: int) -> list[Raw]:
        request = str(index).encode()
        return [
            prctl(PR_SET_DUMPABLE, 1),
            Raw("write", (self._requests, request, len(request))),
            Raw("read", (self._replies, b" ", 1)),
        ]

    def _result(self, error: int) -> None:
        os.write(self._output, f"result {-error}\n".encode())

    def _report(self) -> None:
        securebits = prctl(PR_GET_SECUREBITS)()
        os.write(self._output, os.pread(self._status, 1 << 16, 0) + f"Securebits {securebits:x}\n".encode())


def _token(call: Raw) -> str:
    arguments = (f"@{a.hex()}" if isinstance(a, bytes) else f"{a:d}" for a in call.arguments)
    return ",".join([str(call.number), *arguments])
