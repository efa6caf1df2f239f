# SPDX-License-Identifier: Apache-2.0
"""A staging place belongs to one living process; what a dead one left goes away."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import ELF, Layout, file

from caplet.image import copy, layoutwriter
from caplet.image import staging as staging_module
from caplet.image.copy import write_image
from caplet.image.image import open_image
from caplet.image.staging import Staging, is_staging
from caplet.image.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType


@pytest.mark.parametrize("directory", [False, True])
def test_it_is_gone_afterwards(tmp_path: Path, directory: bool) -> None:
    with Staging(str(tmp_path), "out", directory=directory) as staging:
        staging.create()
        assert is_staging(os.path.basename(staging.path))
        assert os.path.isdir(staging.path) is directory
        if directory:
            os.mkdir(f"{staging.path}/blobs")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("directory", [False, True])
def test_it_stays_where_it_was_renamed_to(tmp_path: Path, directory: bool) -> None:
    with Staging(str(tmp_path), "out", directory=directory) as staging:
        staging.create()
        os.rename(staging.path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


def test_what_has_its_name_meanwhile_stays(tmp_path: Path) -> None:
    with Staging(str(tmp_path), "out", directory=False) as staging:
        staging.create()
        os.rename(staging.path, tmp_path / "out")
        (tmp_path / os.path.basename(staging.path)).write_text("another's")
    assert len(os.listdir(tmp_path)) == 2


def test_a_parent_that_is_not_there(tmp_path: Path) -> None:
    for directory in (False, True):
        with (
            pytest.raises(FileNotFoundError),
            Staging(str(tmp_path / "none"), "out", directory=directory) as staging,
        ):
            staging.create()


def many(path: str, number: int) -> None:
    for _ in range(40):
        with Staging(path, "out", directory=number % 2 == 0) as staging:
            staging.create()
            if number % 2 == 0:
                os.mkdir(f"{staging.path}/blobs")
                os.listdir(f"{staging.path}/blobs")
            os.lstat(staging.path)


def test_nobody_takes_a_living_one_for_abandoned(tmp_path: Path) -> None:
    """Eight processes make and remove them as fast as they can; each clears up before it begins."""
    children = []
    for number in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                many(str(tmp_path), number)
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert os.listdir(tmp_path) == []


INTERRUPTED_IN = frozenset({copy.__file__, layoutwriter.__file__, staging_module.__file__})
SAMPLES = int(os.environ.get("CAPLET_INTERRUPTS", "60"))
"""Moments of one write at which an interrupt comes, for each output; `CAPLET_INTERRUPTS=0` for every one there is."""


class Interrupt:
    """A KeyboardInterrupt at the N-th bytecode of the modules that write: where a signal's handler may run."""

    def __init__(self, at: int) -> None:
        self.left = at
        self.passed = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        del argument
        if frame.f_code.co_filename not in INTERRUPTED_IN:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.passed += 1
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def interrupted(at: int, work: Callable[[], object]) -> int:
    """Does the work, with an interrupt at that bytecode; how many bytecodes there were."""
    interrupt, before = Interrupt(at), sys.gettrace()
    sys.settrace(interrupt)
    try:
        work()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
        for number in (signal.SIGTERM, signal.SIGHUP):  # one may come before they are given back
            signal.signal(number, signal.SIG_DFL)
    return interrupt.passed


@pytest.mark.parametrize("out", ["oci:new", "oci:old:tag", "oci-archive:out.tar:tag"])
def test_an_interrupt_at_any_bytecode_leaves_nothing(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Layout("web").image([[file("app", ELF)]])
    Layout("kept").image([[file("other", ELF)]], "other")
    image, old = open_image("oci:web"), open_image("oci:kept:other").digest
    reset()
    total = interrupted(0, lambda: write_image(image, out))
    assert total > 500
    moments = range(1, total) if SAMPLES == 0 else sorted(random.Random(5).sample(range(1, total), SAMPLES))
    for at in moments:
        reset()
        interrupted(at, lambda: write_image(image, out))
        left = [name for at, _, names in os.walk(".") for name in (os.path.basename(at), *names)]
        assert [name for name in left if is_staging(name)] == []
        assert open_image("oci:old:other").digest == old
        if os.path.exists(out.split(":")[1]) and out != "oci:old:tag":
            assert validate(open_image(out)) == []


def reset() -> None:
    """Outputs as they are before a write: one that is not there, and a layout with another image."""
    for made in ("new", "old"):
        shutil.rmtree(made, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink("out.tar")
    shutil.copytree("kept", "old")
