"""The tests that the kernel and libcap come with, as vectors: the model says what they state, and so does this kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.kernel import worlds
from tests.kernel.isolated import Isolated
from tests.kernel.oracle import model
from tests.kernel.vectors import QUICKTESTS, Capsh, QuickTest, Vector, held, selftests

from caplet.kernel import syscalls as k
from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, Denied, ThreadCaps
from caplet.kernel.versions import NEWEST, Kernel
from caplet.run.perform import perform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from caplet.run.readback import Performed

FULL = Credentials(caps=ThreadCaps.root(Caps.all()))

KERNELS = (Kernel(5, 10), Kernel(6, 12), NEWEST)


@pytest.mark.parametrize("kernel", KERNELS, ids=str)
@pytest.mark.parametrize("vector", selftests(FULL), ids=lambda vector: vector.name)
def test_the_model_states_what_the_kernels_selftest_states(vector: Vector, kernel: Kernel) -> None:
    *before, last = vector.calls
    cred = k.apply_all(FULL, before, kernel)
    if vector.error:
        with pytest.raises(Denied) as denied:
            k.apply(cred, last, kernel)
        assert denied.value.errno == vector.error
    if vector.eipa is not None:
        assert held(k.apply(cred, last, kernel)) == vector.eipa


@pytest.mark.parametrize("test", QUICKTESTS, ids=lambda test: test.line[:60])
def test_the_model_states_what_libcaps_quicktest_states(test: QuickTest) -> None:
    assert Capsh(FULL, test.files).run(test.line) is test.passes


def test_there_are_as_many_as_there() -> None:
    assert len(selftests(FULL)) == 12 + 9
    assert len(QUICKTESTS) == 42


def on_this_kernel(programs: Sequence[Sequence[k.Syscall]]) -> list[Performed]:
    """Each list of calls, with files made for its programs."""
    place = worlds.enclose()
    world = worlds.build(place, ())
    try:
        return [
            perform([_placed(call, f"{place}/plain", n) for n, call in enumerate(calls)])
            for calls in programs
        ]
    finally:
        world.close()


def _placed(call: k.Syscall, directory: str, number: int) -> k.Syscall:
    if not isinstance(call, k.Execve):
        return call
    slot = number % worlds.SLOTS
    path = f"{directory}/program{slot}"
    program = call.program
    if program.interpreter is not None:
        worlds.prepare(path, program.interpreter, None)
        path, interpreter = f"{directory}/script{slot}", path
        worlds.prepare(path, program, interpreter)
    else:
        worlds.prepare(path, program, None)
    return replace(call, path=path)


@pytest.mark.usefixtures("root")
def test_this_kernel_states_what_its_selftest_states() -> None:
    start = perform([]).start
    vectors = selftests(start)
    for vector, performed in zip(
        vectors, Isolated(lambda: on_this_kernel([v.calls for v in vectors])).result(), strict=True
    ):
        *before, last = performed.outcomes
        assert [outcome.error for outcome in before] == [0] * len(before), vector.name
        assert last.error == vector.error, vector.name
        if vector.eipa is not None:
            assert held(last.credentials) == vector.eipa, vector.name


@pytest.mark.usefixtures("root")
def test_this_kernel_states_what_quicktest_states() -> None:
    """Every call of each line, those that capsh tries and those that end it, is done or denied as in the model."""
    start = perform([]).start
    lines = [Capsh(start, test.files) for test in QUICKTESTS]
    for capsh, test in zip(lines, QUICKTESTS, strict=True):
        assert capsh.run(test.line) is test.passes, test.line
    results = Isolated(lambda: on_this_kernel([capsh.calls for capsh in lines])).result()
    for capsh, test, performed in zip(lines, QUICKTESTS, results, strict=True):
        expected = [outcome.error for outcome in model(start, capsh.calls, NEWEST)]
        assert [outcome.error for outcome in performed.outcomes] == expected, test.line
