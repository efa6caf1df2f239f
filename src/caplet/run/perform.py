# SPDX-License-Identifier: Apache-2.0
"""The system calls of `caplet.kernel.syscalls`, done for real: `do` in this process, `perform` in a forked one.

`apply` says what the model makes of a call, `perform` what the kernel makes of it, and the same value goes to both. After each
call the process reads its own credentials; after an execve the shipped `probe` does, which is also what every `Execve` of
`perform` runs: the caller makes its copy at `Execve.path` an inode like `Execve.program`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import signal
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from caplet.errors import CapletError
from caplet.kernel import syscalls as k
from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.run.calls import CLONE_NEWUSER, PR_GET_SECUREBITS, Raw, prctl, raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from caplet.kernel.namespaces import UserNamespace

NS_GET_PARENT = 0xB702
"""ioctl_ns(2)."""

SCRIPT_ARGUMENT = "-"
"""A script for `perform` begins `#!PROBE -`: the probe then passes over the script's own name."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to."""

    error: int
    """errno; 0 where the call was done."""
    credentials: Credentials
    """Afterwards. The user namespace is not read; after an execve the ids are those that the process sees."""


@dataclass(frozen=True, slots=True)
class Performed:
    start: Credentials
    """Before the first call."""
    outcomes: tuple[Outcome, ...]
    """One for each call."""
    by_probe: bool = False
    """Read by the probe from the start: ids are those that the process sees."""


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
    return _Reader(text.decode("ascii", "replace"), by_probe=probe is not None).performed(calls, len(first))


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
        if isinstance(call, k.UnshareUser) and _has_maps(call):
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
        if isinstance(call, k.UnshareUser) and _has_maps(call):
            raws += self._handshake(index)
        return list(map(_token, raws))

    def _handshake(self, index: int) -> list[Raw]:
        request = str(index).encode()
        return [
            Raw("write", (self._requests, request, len(request))),
            Raw("read", (self._replies, b" ", 1)),
        ]

    def _result(self, error: int) -> None:
        os.write(self._output, f"result {-error}\n".encode())

    def _report(self) -> None:
        securebits = prctl(PR_GET_SECUREBITS)()
        os.write(self._output, os.pread(self._status, 1 << 16, 0) + f"Securebits {securebits:x}\n".encode())


def _has_maps(call: k.UnshareUser) -> bool:
    return bool(call.uid_map or call.gid_map)


def _token(call: Raw) -> str:
    arguments = (f"@{a.hex()}" if isinstance(a, bytes) else f"{a:d}" for a in call.arguments)
    return ",".join([str(call.number), *arguments])


def write_maps(pid: int, call: k.UnshareUser) -> None:
    """Write the maps of the user namespace that the process made, as root of its parent: only from there may they be written."""
    namespace = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    own = os.stat("/proc/self/ns/user").st_ino
    try:
        parent = fcntl.ioctl(namespace, NS_GET_PARENT)
    except PermissionError:  # the unshare was refused: this is the initial namespace
        return
    finally:
        os.close(namespace)
    try:
        if os.fstat(parent).st_ino == own:
            _put_maps(pid, call)
        else:
            _put_maps_from(parent, pid, call)
    finally:
        os.close(parent)


def _put_maps_from(parent: int, pid: int, call: k.UnshareUser) -> None:
    helper = os.fork()
    if helper:
        os.waitpid(helper, 0)
        return
    try:
        Raw("setns", (parent, CLONE_NEWUSER))()
        _put_maps(pid, call)
    finally:
        os._exit(0)


def _put_maps(pid: int, call: k.UnshareUser) -> None:
    for name, ids in (("uid_map", call.uid_map), ("gid_map", call.gid_map)):
        if ids:
            fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, str(ids).encode())
            except PermissionError:
                pass  # mapped already: the unshare before it was refused
            finally:
                os.close(fd)


_STATUS = re.compile(
    r"Uid:\t(?P<uid>.*)\nGid:\t(?P<gid>.*)\n(?:.*\n)*?Groups:\t(?P<groups>.*)\n(?:.*\n)*?CapInh:\t(?P<inh>.*)\n"
    r"CapPrm:\t(?P<prm>.*)\nCapEff:\t(?P<eff>.*)\nCapBnd:\t(?P<bnd>.*)\nCapAmb:\t(?P<amb>.*)\n"
    r"NoNewPrivs:\t(?P<nnp>.)\n(?:.*\n)*?(?:Securebits (?P<securebits>.*)\n)"
)
_PROBE = re.compile(
    r"uid (?P<uid>.*)\ngid (?P<gid>.*)\ngroups(?P<groups>.*)\nCapInh (?P<inh>.*)\nCapPrm (?P<prm>.*)\n"
    r"CapEff (?P<eff>.*)\nCapBnd (?P<bnd>.*)\nCapAmb (?P<amb>.*)\nNoNewPrivs (?P<nnp>.)\n"
    r"Securebits (?P<securebits>.*)\nAT_SECURE (?P<at_secure>.)\nDumpable .\n"
)
_RESULT = re.compile(r"result (-?[0-9]+)\n")


def read_probe(text: str) -> Credentials:
    """The first report of the shipped probe in `text`, with the ids that the process sees."""
    match = _PROBE.search(text)
    if match is None:
        raise CapletError(f"not a report of the probe: {text[:200]!r}")
    return _credentials(match)


def _credentials(match: re.Match[str]) -> Credentials:
    uids, gids = (list(map(int, match[key].split())) for key in ("uid", "gid"))
    # The probe does not say the ids for files; execve makes them the effective ones.
    uids, gids = uids + uids[1:2] * (4 - len(uids)), gids + gids[1:2] * (4 - len(gids))
    sets = (Caps(int(match[key], 16)) for key in ("prm", "eff", "inh", "bnd", "amb"))
    return Credentials(
        uid=uids[0], euid=uids[1], suid=uids[2], fsuid=uids[3], gid=gids[0], egid=gids[1], sgid=gids[2], fsgid=gids[3],
        groups=tuple(map(int, match["groups"].split())),
        caps=ThreadCaps(*sets),
        securebits=int(match["securebits"], 16),
        no_new_privs=match["nnp"] == "1",
        at_secure=match.groupdict().get("at_secure") == "1",
    )  # fmt: skip


class _Reader:
    """Reads what the child and the probes after it wrote, call by call."""

    def __init__(self, text: str, *, by_probe: bool) -> None:
        self._text = text
        self._by_probe = by_probe
        self._at = 0

    def performed(self, calls: Sequence[k.Syscall], first: int) -> Performed:
        start = self._report()
        for _ in range(first if self._by_probe else 0):
            if self._result():
                self._fail()
            start = self._report()
        return Performed(start, tuple(self._outcomes(calls, start)), self._by_probe)

    def _outcomes(self, calls: Sequence[k.Syscall], current: Credentials) -> Iterator[Outcome]:
        in_probe = self._by_probe
        for call in calls:
            if isinstance(call, k.Execve):
                error = self._result(optional=True)
                done = error is None
                if done or not in_probe:
                    current = self._report()
                in_probe = in_probe or done
                yield Outcome(error or 0, current)
                continue
            error = self._result()
            current = self._report()
            if in_probe and isinstance(call, k.UnshareUser) and _has_maps(call):
                for _ in range(2):
                    self._result()
                    current = self._report()
            yield Outcome(error or 0, current)

    def _result(self, *, optional: bool = False) -> int | None:
        match = _RESULT.match(self._text, self._at)
        if match is None and optional:
            return None
        if match is None:
            self._fail()
        self._at = match.end()
        return -min(0, int(match[1]))

    def _report(self) -> Credentials:
        pattern = _PROBE if self._text.startswith("uid", self._at) else _STATUS
        match = pattern.search(self._text, self._at)
        if match is None:
            self._fail()
        self._at = match.end()
        return _credentials(match)

    def _fail(self) -> NoReturn:
        raise CapletError(f"the process ended early: {self._text[self._at :]!r}")
