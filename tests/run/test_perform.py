"""What is performed is what was asked for; the oracle (`tests/kernel`) compares it with the model."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import threading

import pytest
from tests.conftest import missing
from tests.kernel.isolated import Isolated

from caplet.errors import CapletError
from caplet.kernel import syscalls as k
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.execve import Program
from caplet.kernel.namespaces import IdMap
from caplet.programs import shipped
from caplet.run.calls import NUMBERS, Raw, raw
from caplet.run.perform import do, perform
from caplet.run.readback import read_probe

PROBE = str(shipped.path("probe"))


@pytest.fixture(params=[None, PROBE], ids=["forked", "probe"])
def by(request: pytest.FixtureRequest) -> str | None:
    """Our own code in a fork, or the probe from the start."""
    return PROBE if request.param else None


def test_the_start_is_this_process(by: str | None) -> None:
    with open("/proc/self/status", encoding="ascii") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    start = perform([], probe=by).start
    assert [start.uid, start.euid, start.suid, start.fsuid] == [int(uid) for uid in status["Uid"].split()]
    assert start.caps.bounding.mask == int(status["CapBnd"], 16)
    assert start.groups == tuple(map(int, status["Groups"].split()))


@pytest.mark.usefixtures("root", "reachable")
def test_calls_before_and_after_an_execve(by: str | None) -> None:
    calls: list[k.Syscall] = [
        k.Setgroups((7, 3)),
        k.Capset(Caps.of(Cap.NET_RAW, Cap.SETUID), Caps.of(Cap.SETUID), Caps.of(Cap.NET_RAW)),
        k.AmbientRaise(Cap.NET_RAW),
        k.SetKeepcaps(True),
        k.Setresuid(1000, 1000, 1000),
        k.AmbientRaise(Cap.NET_RAW),
        k.Execve(Program(), PROBE),
        k.Setuid(0),
        k.SetNoNewPrivs(),
    ]
    outcomes = perform(calls, probe=by).outcomes
    assert [outcome.error for outcome in outcomes] == [0, 0, 0, 0, 0, 0, 0, errno.EPERM, 0]
    last = outcomes[-1].credentials
    assert (last.uid, last.groups, last.no_new_privs) == (1000, (3, 7), True)
    assert last.caps.effective == last.caps.ambient == Caps.of(Cap.NET_RAW)


def test_a_refused_execve_goes_on(by: str | None) -> None:
    calls: list[k.Syscall] = [
        k.Execve(Program(), "/nothing"),
        k.SetNoNewPrivs(),
        k.Execve(Program(), "/"),
        k.Execve(Program(), PROBE),
    ]
    outcomes = perform(calls, probe=by).outcomes
    assert [outcome.error for outcome in outcomes] == [errno.ENOENT, 0, errno.EACCES, 0]
    assert outcomes[-1].credentials.no_new_privs


@pytest.mark.usefixtures("root")
def test_user_namespaces_within_each_other(by: str | None) -> None:
    outer, inner = IdMap.of((0, 1000, 10)), IdMap.of((0, 5, 2))
    calls: list[k.Syscall] = [
        k.UnshareUser(IdMap.of((0, 0, 2000)), IdMap.of((0, 0, 2000))),
        k.UnshareUser(outer, outer),
        k.UnshareUser(inner, inner),
        k.Execve(Program(), PROBE),
    ]
    outcomes = perform(calls, probe=by).outcomes
    assert [outcome.error for outcome in outcomes] == [0, 0, errno.EPERM, 0], "nobody is mapped in the second"
    assert outcomes[-1].credentials.uid == 65534


@pytest.mark.usefixtures("root")
def test_maps_after_an_execve() -> None:
    ids = IdMap.of((0, 1000, 10))
    calls: list[k.Syscall] = [
        k.Execve(Program(), PROBE),
        k.Setresuid(k.KEEP, 1000, k.KEEP),
        k.UnshareUser(ids, ids),
        k.Setresuid(4, 4, 4),
    ]
    last = perform(calls).outcomes[-1]
    assert (last.error, last.credentials.uid) == (0, 4)


@pytest.mark.usefixtures("root", "reachable")
def test_maps_of_a_process_that_is_not_dumpable() -> None:
    """Its /proc/PID/uid_map would belong to root of its namespace and group 0 of the initial one, which is not mapped."""
    users, groups = IdMap.of((0, 1000, 1000)), IdMap.of((5, 1000, 2))
    calls: list[k.Syscall] = [
        k.UnshareUser(users, groups),
        k.Setresuid(0, 0, 0),
        k.Setresgid(5, 5, 5),
        k.Execve(Program(), PROBE),
        k.Setresuid(k.KEEP, 7, k.KEEP),
        k.UnshareUser(IdMap.of((0, 0, 10)), IdMap.of((0, 5, 1))),
    ]
    last = perform(calls).outcomes[-1]
    assert (last.error, last.credentials.euid, last.credentials.gid) == (0, 7, 0)


def test_the_caller_stays_as_it_was(by: str | None) -> None:
    before = perform([]).start
    perform([k.SetNoNewPrivs(), k.Setresuid(1000, 1000, 1000)], probe=by)
    assert perform([]).start == before


def test_only_the_calling_thread_changes() -> None:
    """libc's setresuid(3) would signal every thread to follow; the call itself does not."""

    def child() -> tuple[str, str]:
        ready, done = threading.Event(), threading.Event()

        def wait() -> None:
            ready.set()
            done.wait()

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        ready.wait()
        do(k.SetNoNewPrivs())
        statuses = []
        for task in (os.getpid(), thread.native_id):
            with open(f"/proc/self/task/{task}/status", encoding="ascii") as status:
                statuses += [line.split()[1] for line in status if line.startswith("NoNewPrivs")]
        done.set()
        return statuses[0], statuses[1]

    assert Isolated(child).result() == ("1", "0")


def test_do_raises_what_the_kernel_says() -> None:
    with pytest.raises(OSError, match="prctl") as refused:
        Isolated(lambda: do(k.AmbientRaise(99))).result()
    assert refused.value.errno == errno.EINVAL


def test_an_execve_never_returns() -> None:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(write, 1)
        do(k.Execve(Program(), PROBE, (PROBE,)))
    os.close(write)
    with os.fdopen(read) as file:
        assert read_probe(file.read()).caps == perform([], probe=PROBE).start.caps
    assert os.waitpid(pid, 0)[1] == 0


def test_numbers_are_those_of_the_headers() -> None:
    """As the C compiler of the machine has them."""
    names = list(NUMBERS)
    source = "#include <sys/syscall.h>\n" + "\n".join(f"{name}=SYS_{name}" for name in names)
    try:
        expanded = subprocess.run(
            ["gcc", "-E", "-P", "-"], input=source, capture_output=True, text=True, check=True
        ).stdout
    except FileNotFoundError:
        missing("gcc")
        raise
    lines = [line for line in expanded.splitlines() if "=" in line]
    assert dict(line.split("=", 1) for line in lines) == {
        name: str(number) for name, number in NUMBERS.items()
    }


def test_capset_is_two_times_three_words() -> None:
    header, data = raw(k.Capset(Caps(1 << 40 | 2), Caps(3), Caps(1 << 63))).arguments
    assert isinstance(header, bytes)
    assert isinstance(data, bytes)
    assert struct.unpack("=Ii", header) == (0x20080522, 0)
    assert struct.unpack("=6I", data) == (3, 2, 0, 0, 1 << 8, 1 << 31)


def test_a_call_that_ends_the_process_is_told() -> None:
    with pytest.raises(CapletError, match="ended early"):
        perform([], first=[lambda: os._exit(3)])


def test_what_goes_wrong_in_the_child_is_told() -> None:
    with pytest.raises(CapletError, match="ZeroDivisionError"):
        perform([], first=[lambda: 1 // 0])


def test_a_call_that_hangs_is_ended() -> None:
    with pytest.raises(CapletError, match="in time"):
        perform([], first=[Raw("read", (os.pipe()[0], b" ", 1))], timeout=0.3)
