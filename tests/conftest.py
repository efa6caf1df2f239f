"""What every test may ask for: the tools of the machine."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.reach import CHECKOUT, closed_directory

if TYPE_CHECKING:
    from collections.abc import Callable

REQUIRE = os.environ.get("CAPLET_REQUIRE_TOOLS") == "1"
"""Set by `.ci/run`: a test that lacks its tool fails there instead of being skipped."""


def missing(what: str) -> None:
    """Skip, or fail where every tool is required."""
    if REQUIRE:
        pytest.fail(f"{what} is required here (CAPLET_REQUIRE_TOOLS=1) and missing")
    pytest.skip(f"needs {what}")


@pytest.fixture
def tool() -> Callable[[str], str]:
    """`tool("runc")`: the program's path; skips the test where it is not installed."""

    def find(name: str) -> str:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            missing(name)
        assert path is not None
        return path

    return find


@pytest.fixture
def reachable() -> None:
    """Skips the test where other users cannot reach the checkout, as below a home directory of mode 0700."""
    if closed := closed_directory(CHECKOUT):
        missing(f"a checkout that other users can reach: {closed} is closed to them")


@pytest.fixture
def root() -> None:
    """Skips the test where it does not run as root."""
    if os.geteuid() != 0:
        missing("root")
