# SPDX-License-Identifier: Apache-2.0
"""A static program to pack, as a file of its own."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from caplet.programs import shipped

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """A static program named `server`, for linux/amd64."""
    return program(tmp_path / "server", "amd64")


def program(target: Path, architecture: str) -> Path:
    """A static program for one architecture, at `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shipped.path("http", architecture), target)
    return target
