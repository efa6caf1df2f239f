# SPDX-License-Identifier: Apache-2.0
"""A staging place belongs to one living process; what a dead one left goes away."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from caplet.image.staging import Staging, is_staging

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("directory", [False, True])
def test_it_is_gone_afterwards(tmp_path: Path, directory: bool) -> None:
    with Staging(str(tmp_path), "out", directory=directory) as staging:
        assert is_staging(os.path.basename(staging.path))
        assert os.path.isdir(staging.path) is directory
        if directory:
            os.mkdir(f"{staging.path}/blobs")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("directory", [False, True])
def test_it_stays_where_it_was_renamed_to(tmp_path: Path, directory: bool) -> None:
    with Staging(str(tmp_path), "out", directory=directory) as staging:
        os.rename(staging.path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["out"]


def test_what_has_its_name_meanwhile_stays(tmp_path: Path) -> None:
    with Staging(str(tmp_path), "out", directory=False) as staging:
        os.rename(staging.path, tmp_path / "out")
        (tmp_path / os.path.basename(staging.path)).write_text("another's")
    assert len(os.listdir(tmp_path)) == 2


def test_a_parent_that_is_not_there(tmp_path: Path) -> None:
    for directory in (False, True):
        with pytest.raises(FileNotFoundError), Staging(str(tmp_path / "none"), "out", directory=directory):
            pass


def many(path: str, number: int) -> None:
    for _ in range(40):
        with Staging(path, "out", directory=number % 2 == 0) as staging:
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
