# SPDX-License-Identifier: Apache-2.0
"""Work over a second shows how far it is, on a terminal only, and leaves nothing of it there."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, Layout, file

from caplet.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

SCAN = ["scan", "oci:image"]
GRANT = ["grant", "oci:image", "-o", "oci:image:granted", "/app=cap_chown+p"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.chdir(tmp_path)
    return Layout("image")


@pytest.mark.parametrize("arguments", [SCAN, GRANT], ids=lambda words: words[0])
def test_long_work_shows_its_progress_and_takes_it_away(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr("caplet.cli.progress.PROGRESS_AFTER", 0.001)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    layout.image([[*(file(f"f{number}", bytes(1 << 20)) for number in range(60)), file("app", ELF)]])
    assert run(arguments) == 0
    shown = terminal.getvalue()
    assert " layers, " in shown
    assert shown.endswith("\r\x1b[K") or "\r\x1b[K" in shown[shown.rindex(" layers, ") :], "the line stays"


def test_quick_work_is_silent_on_a_terminal(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    layout.image([[file("app", ELF)]])
    assert run(SCAN) == 0
    assert not terminal.getvalue()
