# SPDX-License-Identifier: Apache-2.0
"""A sandbox whose every process, mount and file ends with the process that asked for it.

Two processes are forked. The *keeper* enters the new namespaces; SIGKILL reaches it when the caller ends
(PR_SET_PDEATHSIG). The *init* is its child: pid 1 of the new pid namespace, killed likewise when the keeper ends,
and with it the kernel kills everything in that namespace. Files live on a tmpfs that is mounted only in the new
mount namespace, so they go with its last process. No cleaning up is needed, which is why none can be missed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from caplet.errors import CapletError, ImageError, InvalidInput, Unavailable
from caplet.run import linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Message = Mapping[str, Any]

IGNORED = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGTSTP)
"""A terminal sends these to the whole process group; only the caller decides what the container gets."""

_ERRORS: dict[str, type[CapletError]] = {
    error.__name__: error for error in (CapletError, ImageError, InvalidInput, Unavailable)
}


class Channel:
    """The init's line to the caller: messages out, signal numbers in."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def fileno(self) -> int:
        return self._line.fileno()

    def send(self, message: Message) -> None:
        with contextlib.suppress(BrokenPipeError):  # the caller ended: so do we, by SIGKILL
            self._line.sendall(json.dumps(message).encode() + b"\n")

    def signals(self) -> bytes:
        """The numbers of the signals to pass on; empty when the caller closed its end."""
        return self._line.recv(64)


@dataclass(slots=True)
class Sandbox:
    """The caller's handle on the keeper and what runs below it."""

    pid: int
    line: socket.socket
    rest: bytes = b""

    def fileno(self) -> int:
        return self.line.fileno()

    def receive(self) -> list[Message] | None:
        """What the init has sent meanwhile, waiting for at least a part; None at its end. An error inside is raised here."""
        try:
            data = self.line.recv(65536)
        except ConnectionResetError:
            # The init ended with a signal unread; what it sent was read before: unix_stream_read_generic() of net/unix/af_unix.c.
            return None
        if not data:
            return None
        *whole, self.rest = (self.rest + data).split(b"\n")
        messages = [json.loads(text) for text in whole]
        for message in messages:
            if "error" in message:
                kind = _ERRORS.get(message["kind"], CapletError)
                raise kind(message["error"], message["hint"])
        return messages

    def send_signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self.line.send(bytes([number]))

    def close(self) -> int:
        """End everything, wait for the keeper; its exit code, negative when a signal ended it."""
        self.line.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def start(
    main: Callable[[Channel, str], None],
    *,
    namespaces: int,
    keep: Iterable[int],
    needed: Sequence[str] = (),
) -> Sandbox:
    """Fork the keeper and the init; the init runs `main(channel, scratch)`, `scratch` being a directory on the tmpfs.

    `keep` are the file descriptors that the init may use beside 0, 1 and 2; they are not closed here. `needed` are
    files that it must be able to reach; the tmpfs hides a directory.
    """
    ours, theirs = socket.socketpair()
    caller = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _keeper(caller, theirs, main, namespaces, {theirs.fileno(), *keep}, needed)
    theirs.close()
    return Sandbox(pid, ours)


def _keeper(
    caller: int,
    line: socket.socket,
    main: Callable[[Channel, str], None],
    namespaces: int,
    keep: set[int],
    needed: Sequence[str],
) -> NoReturn:
    channel = Channel(line)
    with _reporting(channel):
        linux.die_with_parent(caller)
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        _close_all_but(keep | {0, 1, 2})
        _enter(namespaces | linux.CLONE_NEWNS | linux.CLONE_NEWPID)
        alive, held = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(held)
            _init(alive, channel, main, needed)
        line.close()
        os.waitpid(pid, 0)
    os._exit(0)


def _init(
    alive: int, channel: Channel, main: Callable[[Channel, str], None], needed: Sequence[str]
) -> NoReturn:
    """`alive` ends with the keeper: getppid() cannot tell here, it is 0 in a new pid namespace."""
    with _reporting(channel):
        linux.kill_when_parent_dies()
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
        linux.make_private("/")
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        main(channel, _scratch(needed))
    os._exit(0)


@contextlib.contextmanager
def _reporting(channel: Channel) -> Iterator[None]:
    """Every exception becomes a message to the caller: a forked child must never return into the caller's code."""
    try:
        yield
    except CapletError as error:
        channel.send({"error": error.message, "hint": error.hint, "kind": type(error).__name__})
    except OSError as error:
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        channel.send({"error": f"{where}{error.strerror or error}", "hint": "", "kind": "CapletError"})
    except BaseException as error:  # noqa: BLE001  # see above
        channel.send({"error": f"{type(error).__name__}: {error}", "hint": "", "kind": "CapletError"})
    else:
        return
    os._exit(1)


def _enter(namespaces: int) -> None:
    try:
        linux.unshare(namespaces)
    except PermissionError as error:
        raise Unavailable(
            f"may not make the namespaces of a container: {error.strerror}",
            "run it as root (sudo caplet run ...), or in a container that has CAP_SYS_ADMIN",
        ) from error
    except OSError as error:
        raise Unavailable(
            f"this kernel does not make the namespaces of a container: {error.strerror}"
        ) from error


def _close_all_but(keep: set[int]) -> None:
    """Nothing that the caller has open may reach a container."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor
                os.close(int(name))


def _scratch(needed: Sequence[str]) -> str:
    """A tmpfs over a directory that nothing here needs: seen in this mount namespace only, gone with it."""
    ours = (sys.prefix, sys.base_prefix, sys.executable, __file__, os.getcwd())
    reached = [os.path.realpath(path) for path in (*ours, *needed)]
    for place in ("/mnt", "/media", "/srv", "/run", tempfile.gettempdir()):
        if os.path.isdir(place) and not any(os.path.commonpath((place, path)) == place for path in reached):
            linux.mount("caplet", place, "tmpfs", linux.MS_NODEV, "mode=0700")
            return place
    raise Unavailable("no directory to mount a tmpfs on", "make an empty directory /mnt")
