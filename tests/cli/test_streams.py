# SPDX-License-Identifier: Apache-2.0
"""Closed standard streams, and ^C before anything was begun: no traceback."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, NET_BIND_SERVICE, Layout, file

from caplet.cli.entry import main

if TYPE_CHECKING:
    from pathlib import Path

SCAN = f"{sys.executable} -m caplet scan oci:image"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Layout("image").image([[file("app", ELF, xattrs={"security.capability": NET_BIND_SERVICE})]])
    return tmp_path


@pytest.mark.parametrize(
    ("closed", "output"),
    [("<&-", "/app cap_net_bind_service=ep\n"), ("2>&-", "/app cap_net_bind_service=ep\n"), (">&-", "")],
)
def test_a_closed_stream(directory: Path, closed: str, output: str) -> None:
    ended = subprocess.run(
        ["/bin/sh", "-c", f"{SCAN} {closed}"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, output, "")


def test_an_early_interrupt_has_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("caplet.cli.main.run", interrupted)
    monkeypatch.setattr("sys.argv", ["caplet", "scan", "oci:image"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 130
