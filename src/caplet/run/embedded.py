# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime that needs no installation: runc's steps, done by a forked child of ours.

As runc and crun, in two halves: `create()` leaves a process that has everything but its program, `start()` lets it
call execve(2). What lies between is `caplet.runtimes.runc.system_calls`, performed for real.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, NoReturn

from caplet.run import linux
from caplet.run.failure import EXIT_CANNOT_INVOKE, EXIT_NOT_FOUND, EXIT_RUNTIME_FAILED, CannotStart
from caplet.run.lookpath import look_path
from caplet.run.mounts import Root
from caplet.run.perform import do

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.kernel.syscalls import Syscall
    from caplet.runtimes.model import Spec

MAX_PASSWD = 1 << 20
"""Bytes of /etc/passwd that are looked through for HOME."""
UMASK = 0o022
"""runc's default for process.user.umask (libcontainer/specconv)."""


class Embedded:
    """One container of the embedded runtime."""

    def __init__(self, spec: Spec, calls: Sequence[Syscall], root: str, stdio: tuple[int, int, int]) -> None:
        self._spec = spec
        self._calls = calls
        self._root = root
        self._stdio = stdio
        self._line, self._theirs = socket.socketpair()

    def create(self) -> int:
        """The process id of the container's process, which waits for start()."""
        numbers, theirs = os.pipe()
        helper = os.fork()
        if helper == 0:
            self._fork_container(theirs)
        os.close(theirs)
        self._theirs.close()
        os.waitpid(helper, 0)
        number = os.read(numbers, 32)
        os.close(numbers)
        self._answer()
        return int(number)

    def start(self) -> None:
        """Let it call execve(2); returns when the program runs."""
        self._line.sendall(b"go")
        self._answer()

    def _answer(self) -> None:
        """b"created" before execve; nothing after it: the descriptor closes when the program starts."""
        answer = self._line.recv(65536)
        if answer not in {b"created", b""}:
            raise CannotStart(**json.loads(answer))

    def _fork_container(self, numbers: int) -> NoReturn:
        """Be the parent of a new pid namespace just long enough to make its first process."""
        code = 1
        try:
            linux.unshare(linux.CLONE_NEWPID | linux.CLONE_NEWNS)
            pid = os.fork()
            if pid == 0:
                self._container()
            os.write(numbers, str(pid).encode())
            code = 0
        finally:
            os._exit(code)

    def _container(self) -> NoReturn:
        try:
            self._become()
        except CannotStart as error:
            self._say(error)
        except OSError as error:
            where = f" {os.fsdecode(error.filename)}" if error.filename else ""
            self._say(
                CannotStart(
                    f"unable to start container process:{where}: {error.strerror}", code=EXIT_RUNTIME_FAILED
                )
            )
        except BaseException as error:  # noqa: BLE001  # a forked child must not return into the caller's code
            self._say(
                CannotStart(
                    f"unable to start container process: {type(error).__name__}: {error}",
                    code=EXIT_RUNTIME_FAILED,
                )
            )
        finally:
            os._exit(1)

    def _say(self, error: CannotStart) -> None:
        self._theirs.sendall(json.dumps({"message": error.message, "code": error.code}).encode())

    def _become(self) -> None:
        process = self._spec.process
        os.setsid()
        linux.join_new_session_keyring()
        self._furnish()
        _default_signals()
        os.umask(UMASK)
        stdio = [os.dup(fd) for fd in self._stdio]
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        _close_from(3, keep=self._theirs.fileno())
        late = _chdir(process.cwd)
        home = _home(process.user.uid)
        for fd in (0, 1, 2):
            _give(fd, process.user.uid)
        for call in self._calls:
            try:
                do(call)
            except OSError as error:
                raise CannotStart(
                    f"unable to apply {call}: {_lower(error)}", code=EXIT_RUNTIME_FAILED
                ) from error
        if late:
            _chdir(process.cwd, again=True)
        environment = dict(item.split("=", 1) for item in process.env if "=" in item)
        if not environment.get("HOME"):
            environment["HOME"] = home
        program = look_path(process.args[0], environment.get("PATH", ""))
        self._theirs.sendall(b"created")
        if self._theirs.recv(16) != b"go":
            os._exit(1)
        try:
            os.execve(program, process.args, environment)  # noqa: S606
        except OSError as error:
            raise CannotStart(f"exec {program}: {_lower(error)}", code=exit_code(error.errno)) from error

    def _furnish(self) -> None:
        """The mounts below the root, then the root itself."""
        linux.make_private("/")
        root = Root(self._root)
        for mount in self._spec.mounts:
            root.mount(mount)
        root.link_devices()
        root.make_read_only(self._spec.readonly_paths)
        root.mask(self._spec.masked_paths)
        linux.pivot_root(self._root)
        if self._spec.readonly_rootfs:
            linux.remount("/", linux.MS_RDONLY | linux.MS_NODEV)


def exit_code(number: int | None) -> int:
    """Podman's and Docker's: 127 when the program is not there, 126 when it cannot be invoked."""
    return EXIT_NOT_FOUND if number in {errno.ENOENT, errno.ENOTDIR} else EXIT_CANNOT_INVOKE


def _home(uid: int) -> str:
    """HOME of runc prepareEnv: the directory in the container's own /etc/passwd, else /."""
    with contextlib.suppress(OSError), open("/etc/passwd", "rb") as file:
        for line in file.read(MAX_PASSWD).splitlines():
            fields = line.split(b":")
            if len(fields) > 5 and fields[2] == str(uid).encode():
                return os.fsdecode(fields[5]) or "/"
    return "/"


def _chdir(cwd: str, *, again: bool = False) -> bool:
    """Enter the working directory; True when that must wait for the user (runc finalizeNamespace)."""
    try:
        os.chdir(cwd)
    except PermissionError as error:
        if again:
            raise _bad_cwd(cwd, error) from error
        return True
    except OSError as error:
        raise _bad_cwd(cwd, error) from error
    return False


def _bad_cwd(cwd: str, error: OSError) -> CannotStart:
    return CannotStart(
        f'chdir to cwd ("{cwd}") set in config.json failed: {_lower(error)}', code=EXIT_CANNOT_INVOKE
    )


def _give(fd: int, uid: int) -> None:
    """As runc fixStdioPermissions: the user may open its own /dev/stdout again. All three are pipes."""
    os.fchown(fd, uid, -1)


def _default_signals() -> None:
    """The program starts with nothing ignored or blocked; Python itself ignores SIGPIPE and SIGXFSZ."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in {signal.SIG_DFL, None}:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _close_from(first: int, *, keep: int) -> None:
    os.closerange(first, keep)
    os.closerange(keep + 1, os.sysconf("SC_OPEN_MAX"))


def _lower(error: OSError) -> str:
    """The kernel's words as Go and so runc prints them."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
