"""A part of what `make oracle` does: the same every time, so that a failure here is repeated by its seed and number."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from tests.kernel import exhaustive, oracle, worlds
from tests.kernel.isolated import Isolated
from tests.kernel.oracle import Oracle, Tally
from tests.kernel.programs import Drawn

from caplet.kernel import syscalls as k
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.versions import Kernel
from caplet.run.perform import do, perform

SEED, PROGRAMS = 20, 2000
PART = slice(0, None, 16)
"""Of the exhaustive set."""

UNUSED = (Cap.NET_RAW, Cap.SYS_TIME, Cap.CHECKPOINT_RESTORE)
"""The oracle itself can do without them."""

pytestmark = pytest.mark.usefixtures("root", "reachable")


def left_of(session: int) -> list[str]:
    """What there still is of a session that ran the oracle: processes, loop devices; and mounts, if any can be seen."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(name)) == session:
                found.append(f"process {name}")
    for name in os.listdir("/sys/block"):
        with (
            contextlib.suppress(OSError),
            open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as backing,
        ):
            if f"odd-{session}.ext4" in backing.read():
                found.append(name)
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        found += [line for line in mounts if any(f" {place}/plain" in line for place in worlds.PLACES)]
    return found


def test_random_programs() -> None:
    tally = oracle.run(SEED, range(PROGRAMS), jobs=2, exhaustive=False)
    assert tally.disagreements == []
    assert tally.programs == PROGRAMS
    # The sample reaches what it is for.
    for kind in (
        "AT_SECURE",
        "errno 1",
        "errno 13",
        "errno 22",
        "errno 34",
        "script",
        "nosuid",
        "idmapped",
        "rootid",
    ):
        assert tally.kinds[f"execve: {kind}"] > 0, kind


COMMAND = [sys.executable, "-m", "tests.kernel.oracle", "--seed", "3"]


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "ended"])
def test_nothing_is_left(kill: bool) -> None:
    command = [*COMMAND, *(["--count", "100000"] if kill else ["--only", "7"])]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        if kill:
            time.sleep(2)
            assert process.poll() is None
            process.kill()
    for _ in range(100):
        if not left_of(process.pid):
            return
        time.sleep(0.1)
    pytest.fail(str(left_of(process.pid)))


def test_a_part_of_the_exhaustive_set() -> None:
    tally = Isolated(lambda: Oracle(SEED).exhaust(PART)).result()
    assert tally.disagreements == []
    assert tally.programs == len(list(exhaustive.cases())[PART])


def test_a_wrong_model_is_told_and_shrunk() -> None:
    """The judge is not asleep: what the kernel did of other calls is no agreement."""
    calls: list[k.Syscall] = [k.SetNoNewPrivs(), k.SetKeepcaps(True), k.CapbsetDrop(0)]
    performed = perform(calls)
    right, kernel = _drawn(calls), Kernel.parse(platform.release())
    assert oracle.disagreement(right, performed, kernel) is None
    wrong = _drawn([*calls[:2], k.CapbsetDrop(1)])
    assert "CapbsetDrop" in (oracle.disagreement(wrong, performed, kernel) or "")
    outcome = performed.outcomes[-1]
    denied = replace(performed, outcomes=(*performed.outcomes[:-1], replace(outcome, error=1)))
    assert "kernel: errno 1" in (oracle.disagreement(right, denied, kernel) or "")


def _drawn(calls: list[k.Syscall]) -> Drawn:
    return Drawn(0, forked=True, shared=False, calls=calls)


def test_it_starts_from_what_the_machine_has() -> None:
    """With a bounding set that lacks capabilities, as many machines have it, the same programs agree."""

    def less() -> Tally:
        for cap in UNUSED:
            do(k.CapbsetDrop(cap))
        sets = perform([]).start.caps
        do(k.Capset(sets.permitted & sets.bounding, sets.effective & sets.bounding, Caps()))
        return oracle.worker(SEED, range(200), 0, 1, exhaustive=False)

    assert Isolated(less).result().disagreements == []


def test_the_command_says_the_count_the_seed_and_the_kernel() -> None:
    done = subprocess.run([*COMMAND, "--only", "7"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("1 random and 0 exhaustive programs (")
    assert f"seed 3, Linux {platform.release()}" in done.stdout
    assert "0 disagreements" in done.stdout
