# SPDX-License-Identifier: Apache-2.0
"""Nothing is left behind: no process, mount, file or cgroup, whatever ends the run and whenever."""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.run.containers import RUNTIMES

from caplet.errors import CapletError, InvalidInput
from caplet.run import keeper, linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

SERVER = """
import sys
from caplet.run.container import run_container
from tests.run.containers import rootfs, spec
result = run_container(spec("/http"), rootfs(), runtime=sys.argv[1], watch=lambda result: print("started", flush=True))
sys.exit(result.exit_code)
"""

REPOSITORY = Path(__file__).parents[2]


class Traces:
    """What a run could leave on this machine, told apart from what others do by the session that it runs in."""

    def __init__(self) -> None:
        self.mounts = _mounts()
        self.names = _names()
        self.cgroups = _cgroups()

    def check(self, marker: str) -> None:
        end = time.monotonic() + 10
        while (left := _processes(marker)) and time.monotonic() < end:
            time.sleep(0.01)
        assert left == []
        assert set(_mounts()) - set(self.mounts) == set()
        assert _names() - self.names == set()
        assert _cgroups() - self.cgroups == set()


def _mounts() -> list[str]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return sorted(line.split()[4] for line in file if " /mnt" in line or "caplet" in line)


def _names() -> set[str]:
    found = set()
    for place in ("/mnt", "/media", "/srv", "/run/runc", "/run/crun"):
        with contextlib.suppress(FileNotFoundError):
            # Docker and Podman, which other tests run meanwhile, name their containers by 64 digits.
            names = (name for name in os.listdir(place) if not re.fullmatch("[0-9a-f]{64}", name))
            found |= {f"{place}/{name}" for name in names}
    return found


def _cgroups() -> set[str]:
    return {path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith("/caplet")}


def _processes(marker: str) -> list[str]:
    """Command lines of processes with the marker in their environment; a container's process has its own environment."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
            if marker.encode() in file.read():
                with open(f"/proc/{pid}/cmdline", "rb") as line:
                    found.append(f"{pid} {line.read()!r}")
    return found


def descendants(pid: int) -> set[int]:
    """All processes below one, as the host numbers them."""
    parents: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
            parent = int(file.read().rpartition(b")")[2].split()[1])
            parents.setdefault(parent, []).append(int(name))
    below: set[int] = set()
    pending = [pid]
    while pending:
        for child in parents.get(pending.pop(), []):
            below.add(child)
            pending.append(child)
    return below


def alive(pids: set[int]) -> set[int]:
    left = set()
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] != b"Z":
                left.add(pid)
    return left


def gone(pids: set[int]) -> set[int]:
    """What is alive of these after a moment."""
    end = time.monotonic() + 10
    while (left := alive(pids)) and time.monotonic() < end:
        time.sleep(0.01)
    return left


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> str:
    name: str = request.param
    if name != "embedded":
        tool(name)
    return name


@contextlib.contextmanager
def server(runtime: str, marker: str, *, wait: bool = True) -> Iterator[subprocess.Popen[bytes]]:
    environment = os.environ | {"MARKER": marker, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, runtime],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        if wait:
            assert process.stdout.readline() == b"started\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def marker() -> str:
    return f"marker-{random.getrandbits(64):x}"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, 0),
        (signal.SIGINT, 0),
        (signal.SIGHUP, 137),
        (signal.SIGQUIT, 137),
    ],
)
def test_a_signal_ends_everything(runtime: str, number: int, code: int) -> None:
    """The server handles SIGTERM and SIGINT and exits with 0; other signals end it, and SIGKILL ends us first."""
    traces, mark = Traces(), marker()
    with server(runtime, mark) as process:
        below = descendants(process.pid)
        assert len(below) >= 3
        process.send_signal(number)
        assert process.wait(20) == code
        assert gone(below) == set()
    traces.check(mark)


def test_the_keepers_end_is_everythings_end(runtime: str) -> None:
    """Whichever of our own processes is killed, all below it goes too."""
    for victim in range(2):
        traces, mark = Traces(), marker()
        with server(runtime, mark) as process:
            below = descendants(process.pid)
            keeper_pid = min(below, key=lambda pid: len(descendants(process.pid)) - len(descendants(pid)))
            ours = [keeper_pid, *descendants(keeper_pid)]
            os.kill(ours[victim], signal.SIGKILL)
            process.wait(20)
            assert gone(below) == set()
        traces.check(mark)


def test_killed_at_any_moment(runtime: str) -> None:
    seconds = random.Random(7)
    traces, mark = Traces(), marker()
    for _ in range(5):
        with server(runtime, mark, wait=False) as process:
            time.sleep(seconds.uniform(0.1, 0.6))
            below = descendants(process.pid)
            process.kill()
            process.wait(20)
            assert gone(below) == set()
    traces.check(mark)


def test_errors_inside_are_raised_outside() -> None:
    def broken(channel: keeper.Channel, scratch: str) -> None:
        del channel, scratch
        raise InvalidInput("what went wrong", "what to do")

    sandbox = keeper.start(broken, namespaces=0, keep=())
    with pytest.raises(InvalidInput, match="what went wrong") as caught:
        sandbox.receive()
    assert caught.value.hint == "what to do"
    sandbox.close()


def test_a_signal_that_comes_too_late_is_no_error() -> None:
    """The other end of the socket is closed with the signal unread, which is ECONNRESET here."""

    def main(channel: keeper.Channel, _scratch: str) -> None:
        while not select.select([channel], [], [], 1)[0]:
            pass
        channel.send({"event": "exited"})

    sandbox = keeper.start(main, namespaces=0, keep=())
    sandbox.send_signal(signal.SIGKILL)
    try:
        assert sandbox.receive() == [{"event": "exited"}]
        assert sandbox.receive() is None
    finally:
        sandbox.close()


def test_a_crash_inside_is_an_error_outside() -> None:
    def broken(channel: keeper.Channel, scratch: str) -> None:
        del channel, scratch
        raise ZeroDivisionError("oh")

    sandbox = keeper.start(broken, namespaces=0, keep=())
    with pytest.raises(CapletError, match="ZeroDivisionError: oh"):
        sandbox.receive()
    sandbox.close()


def test_nothing_of_ours_is_open_inside() -> None:
    """Descriptors of the caller do not reach the sandbox; its process numbers begin at 1; its files are its own."""
    secret = os.open("/etc/passwd", os.O_RDONLY)

    def look(channel: keeper.Channel, scratch: str) -> None:
        descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))
        with open(os.path.join(scratch, "x"), "w", encoding="utf-8"):
            channel.send(
                {"pid": os.getpid(), "fds": descriptors, "scratch": scratch, "proc": os.listdir("/proc")}
            )

    sandbox = keeper.start(look, namespaces=linux.CLONE_NEWNET, keep=())
    (said,) = sandbox.receive() or [{}]
    sandbox.close()
    os.close(secret)
    assert said["pid"] == 1
    assert secret not in said["fds"]
    assert len(said["fds"]) <= 6
    assert not os.path.exists(os.path.join(said["scratch"], "x"))
    assert [name for name in said["proc"] if name.isdigit()] == ["1"]
