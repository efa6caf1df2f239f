# SPDX-License-Identifier: Apache-2.0
"""The time zone database: zones and tables, nothing of the machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput, Unavailable
from caplet.pack import zones

if TYPE_CHECKING:
    from pathlib import Path

ZONE = b"TZif2" + bytes(39)


def database(root: Path) -> Path:
    files = {
        "Europe/Berlin": ZONE, "UTC": ZONE, "tzdata.zi": b"# version 2026a\n", "__init__.py": b"", "notes.txt": b"x",
        "right/UTC": ZONE, "posix/UTC": ZONE, "posixrules": ZONE,
    }  # fmt: skip
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "localtime").symlink_to("Europe/Berlin")
    (root / "Zulu").symlink_to("UTC")
    return root


def test_zones_and_tables_are_taken_and_nothing_else(tmp_path: Path) -> None:
    found = zones.read_zones(str(database(tmp_path)))
    prefix = b"/usr/share/zoneinfo/"
    assert found == {
        prefix + b"Europe/Berlin": ZONE,
        prefix + b"UTC": ZONE,
        prefix + b"Zulu": ZONE,
        prefix + b"tzdata.zi": b"# version 2026a\n",
    }


def test_another_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="holds no time zones"):
        zones.read_zones(str(tmp_path))


def test_a_huge_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "FILES_MAX", 2)
    with pytest.raises(InvalidInput, match="more than 2 files"):
        zones.read_zones(str(database(tmp_path)))


def test_a_machine_without_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "DIRECTORIES", ("/nonexistent",))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(Unavailable) as caught:
        zones.read_zones()
    assert "tzdata" in caught.value.hint


def test_this_machines_database_has_the_usual_zones() -> None:
    if not any(os.path.isdir(directory) for directory in zones.DIRECTORIES):
        pytest.skip("needs a time zone database")
    found = zones.read_zones()
    assert found[b"/usr/share/zoneinfo/Europe/Berlin"].startswith(b"TZif")
    assert b"/usr/share/zoneinfo/UTC" in found
