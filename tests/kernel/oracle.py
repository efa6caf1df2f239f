"""The model against this kernel: random programs, each done by both.

    python -m tests.kernel.oracle --count 100000 [--seed S] [--jobs J]

prints how many programs agreed, and the first disagreements, each shrunk to the calls that matter; exit status 1 for any.
Program N of seed S is always the same: `--seed S --only N` repeats it. The kernel's own sets are where the model starts, so a
machine whose bounding set lacks capabilities can judge it as well.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import platform
import secrets
import sys
import time
from collections import Counter
from dataclasses import dataclass, field, fields, is_dataclass, replace
from random import Random
from typing import TYPE_CHECKING

from tests.kernel import exhaustive as small
from tests.kernel import programs, worlds
from tests.kernel.counter import SharedCounter
from tests.kernel.isolated import Isolated
from tests.reach import CHECKOUT, closed_directory

from caplet.errors import CapletError, Unavailable
from caplet.kernel import syscalls as k
from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, Denied
from caplet.kernel.namespaces import INITIAL
from caplet.kernel.versions import Kernel
from caplet.programs import shipped
from caplet.run.perform import perform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.kernel.programs import Drawn
    from tests.kernel.worlds import World

    from caplet.run.readback import Performed

BATCH = 500
"""Programs that share a world of user namespaces."""

SHOWN = 5
"""Disagreements that are told in full."""


NOT_DONE = "no call"
"""How a disagreement begins where the calls could not be done; a smaller program may fail so for reasons of its own."""


@dataclass
class Tally:
    """What a run saw."""

    programs: int = 0
    """Random ones."""
    exhaustive: int = 0
    calls: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)
    lacks: set[str] = field(default_factory=set)
    """What this machine could not do."""

    def add(self, other: Tally) -> None:
        self.programs += other.programs
        self.exhaustive += other.exhaustive
        self.calls += other.calls
        self.kinds += other.kinds
        self.disagreements += other.disagreements
        self.lacks |= other.lacks


@dataclass(frozen=True)
class Expected:
    """What the model says of one call."""

    error: int
    credentials: Credentials


def model(start: Credentials, calls: Iterable[k.Syscall], kernel: Kernel) -> Iterator[Expected]:
    cred = start
    for call in calls:
        try:
            cred = k.apply(cred, call, kernel)
        except Denied as denied:
            yield Expected(denied.errno or 0, cred)
        else:
            yield Expected(0, cred)


def disagreement(drawn: Drawn, performed: Performed, kernel: Kernel) -> str | None:
    """The first call of which the kernel says something else than the model, in words."""
    seen = performed.by_probe
    for call, expected, outcome in zip(
        drawn.calls, model(performed.start, drawn.calls, kernel), performed.outcomes, strict=True
    ):
        if expected.error != outcome.error:
            return f"{words(call)}\n      model: errno {expected.error}, kernel: errno {outcome.error}"
        seen = seen or (isinstance(call, k.Execve) and not outcome.error)
        left, right = _comparable(expected.credentials, outcome.credentials, seen)
        if left != right:
            return f"{words(call)}\n      model:  {words(left)}\n      kernel: {words(right)}"
    return None


def _comparable(model: Credentials, kernel: Credentials, seen: bool) -> tuple[Credentials, Credentials]:
    """Before an execve ids are read from outside; after it by the probe, from inside and without those for files."""
    if seen:
        model = model.seen()
        kernel = replace(kernel, fsuid=model.fsuid, fsgid=model.fsgid)
    else:
        model = replace(model, at_secure=False)
    return replace(model, user_ns=INITIAL), kernel


def words(value: object) -> str:
    """A value as one would write it: fields that are as they are by default left out."""
    if isinstance(value, Caps):
        return "ALL" if value == Caps.all() else str(value)
    if value == INITIAL:
        return "INITIAL"
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    changed = (
        (f.name, getattr(value, f.name))
        for f in fields(value)
        if f.init and getattr(value, f.name) != f.default
    )
    inside = (f"{name}={oct(v) if name == 'mode' else words(v)}" for name, v in changed)
    return f"{type(value).__name__}({', '.join(inside)})"


class Oracle:
    """Draws and judges programs in one worker process."""

    def __init__(self, seed: int, judged: Callable[[], None] = lambda: None) -> None:
        self._seed = seed
        self._judged = judged
        """Called after each program."""
        self._kernel = Kernel.parse(platform.release())
        self._place = worlds.enclose()
        self._start = perform([]).start
        self._odd = programs.odd(Random(f"{seed} odd"))

    def exhaust(self, chosen: slice) -> Tally:
        """The exhaustive set, or a part of it."""
        world, tally = worlds.build(self._place, ()), Tally()
        try:
            for number, case in list(enumerate(small.cases()))[chosen]:
                self._judge(f"case {number}", small.drawn(case, self._start, world), world, tally)
            return tally
        finally:
            world.close()

    def batch(self, number: int, only: Iterable[int]) -> Tally:
        world = worlds.build(self._place, programs.maps(Random(f"{self._seed} world {number}")), self._odd)
        try:
            tally = Tally(lacks=set(world.lacks))
            for index in only:
                drawn = programs.draw(Random(f"{self._seed} {index}"), world, self._start, self._kernel)
                self._judge(f"program {index} of seed {self._seed}", drawn, world, tally)
            return tally
        finally:
            world.close()

    def _judge(self, name: str, drawn: Drawn, world: World, tally: Tally) -> None:
        what = self._disagreement(drawn, world, tally)
        self._judged()
        if what is None:
            return
        if len(tally.disagreements) < SHOWN:
            drawn, what = self._shrunk(drawn, what, world)
        calls = "".join(f"    {words(call)}\n" for call in drawn.calls)
        tally.disagreements.append(f"{name}: in mount namespace {drawn.world}, after\n{calls}  at {what}")

    def _disagreement(self, drawn: Drawn, world: World, tally: Tally | None = None) -> str | None:
        try:
            performed = self._perform(drawn, world)
        except (CapletError, OSError) as error:
            return f"{NOT_DONE}: {error}"
        if tally is not None:
            _count(tally, drawn, performed)
        return disagreement(drawn, performed, self._kernel)

    def _perform(self, drawn: Drawn, world: World) -> Performed:
        for file in drawn.files:
            worlds.prepare(file.path, file.program, file.script)
        return perform(
            drawn.calls,
            namespaces=world.user_fds,
            first=[*world.enter(drawn.world), *([worlds.share_fs] if drawn.shared else [])],
            probe=None if drawn.forked else str(shipped.path("probe")),
        )

    def _shrunk(self, drawn: Drawn, what: str, world: World) -> tuple[Drawn, str]:
        """Without every call that can be left out while some disagreement stays."""
        smaller = True
        while smaller:
            smaller = False
            for number in range(len(drawn.calls)):
                less = replace(drawn, calls=drawn.calls[:number] + drawn.calls[number + 1 :])
                found = self._disagreement(less, world)
                if found is not None and found.startswith(NOT_DONE) == what.startswith(NOT_DONE):
                    drawn, what, smaller = less, found, True
                    break
        return drawn, what


def _count(tally: Tally, drawn: Drawn, performed: Performed) -> None:
    tally.programs += 1
    tally.calls += len(drawn.calls)
    for call, outcome in zip(drawn.calls, performed.outcomes, strict=True):
        name = type(call).__name__
        tally.kinds[f"{name} {'denied' if outcome.error else 'done'}"] += 1
        if isinstance(call, k.Execve):
            _count_execve(tally.kinds, call, outcome.error, secure=outcome.credentials.at_secure)


def _count_execve(kinds: Counter[str], call: k.Execve, error: int, *, secure: bool) -> None:
    program = call.program
    traits = {
        f"errno {error}": error,
        "AT_SECURE": secure and not error,
        "shared working directory": bool(call.unsafe),
        "script": program.interpreter is not None,
        "nosuid": program.nosuid,
        "idmapped": program.idmap is not None,
        "file system of a user namespace": program.user_ns.level > 0,
        "set-user-ID or set-group-ID": program.setuid is not None or program.setgid is not None,
        "rootid": not isinstance(program.caps, bytes | None) and program.caps.rootid is not None,
        "attribute that setxattr refuses": isinstance(program.caps, bytes) and bool(program.caps),
    }
    kinds.update(f"execve: {trait}" for trait, has in traits.items() if has)


def worker(
    seed: int, indices: range, job: int, jobs: int, counter: SharedCounter | None = None, *, exhaustive: bool
) -> Tally:
    """The batches of one job, and its part of the exhaustive set."""
    judged = functools.partial(counter.count, job) if counter is not None else lambda: None
    oracle, tally = Oracle(seed, judged), Tally()
    gc.freeze()
    if exhaustive:
        tally.add(oracle.exhaust(slice(job, None, jobs)))
        tally.exhaustive, tally.programs = tally.programs, 0
    first, last = indices.start // BATCH, (indices.stop - 1) // BATCH
    for number in range(first + job, last + 1, jobs):
        only = range(max(indices.start, number * BATCH), min(indices.stop, (number + 1) * BATCH))
        tally.add(oracle.batch(number, only))
    return tally


def run(seed: int, indices: range, jobs: int, *, exhaustive: bool) -> Tally:
    """Each job in a process, and a mount namespace, of its own."""
    if closed := closed_directory(CHECKOUT):
        raise Unavailable(
            f"the oracle runs programs of this checkout as other users, and {closed} is closed to them",
            "move it to a directory that all users may enter",
        )
    counter = SharedCounter(jobs)
    workers = [
        Isolated(functools.partial(worker, seed, indices, job, jobs, counter, exhaustive=exhaustive))
        for job in range(jobs)
    ]
    programs_in_all = len(indices) + (sum(1 for _ in small.cases()) if exhaustive else 0)
    tally = Tally()
    with counter.shown("programs", programs_in_all):
        for each in workers:
            tally.add(each.result())
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="how many programs")
    parser.add_argument("--seed", type=int, default=None, help="by default another one each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, help="this one program")
    options = parser.parse_args()
    seed = secrets.randbelow(1 << 32) if options.seed is None else options.seed
    indices = range(options.count) if options.only is None else range(options.only, options.only + 1)
    begun = time.monotonic()
    try:
        jobs = min(options.jobs, -(-len(indices) // BATCH))
        tally = run(seed, indices, jobs, exhaustive=options.only is None)
    except (CapletError, OSError) as error:
        print(f"oracle: {error}", file=sys.stderr)
        return 2
    report(tally, seed, time.monotonic() - begun)
    return 1 if tally.disagreements else 0


def report(tally: Tally, seed: int, seconds: float) -> None:
    for kind, count in sorted(tally.kinds.items()):
        print(f"{count:9}  {kind}")
    for what in sorted(tally.lacks):
        print(f"NOT TRIED on this machine: {what}")
    for text in tally.disagreements[:SHOWN]:
        print(f"\nDISAGREEMENT: {text}")
    print(
        f"{tally.programs} random and {tally.exhaustive} exhaustive programs ({tally.calls} system calls), seed {seed}, Linux {platform.release()}, "
        f"{seconds:.0f} s: {len(tally.disagreements)} disagreements"
    )


if __name__ == "__main__":
    sys.exit(main())
