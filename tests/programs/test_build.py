# SPDX-License-Identifier: Apache-2.0
"""The shipped programs are what their sources build to, on any machine, twice."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

from caplet.errors import CapletError
from caplet.programs import shipped
from caplet.programs.build import build

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = [(name, architecture) for architecture in shipped.ARCHITECTURES for name in shipped.NAMES]


def test_the_shipped_bytes_are_those_of_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built from another directory, under another time zone and locale, each byte is the same."""
    sources = tmp_path / "somewhere else"
    sources.mkdir()
    for file in (*shipped.HERE.glob("*.c"), *shipped.HERE.glob("*.h")):
        shutil.copy(file, sources)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    build(tmp_path, sources)
    for name, architecture in PROGRAMS:
        built = (tmp_path / architecture / name).read_bytes()
        assert built == shipped.path(name, architecture).read_bytes(), (
            f"{architecture}/{name}: run `make programs`"
        )
    assert (tmp_path / shipped.SUMS.name).read_text() == shipped.SUMS.read_text()


@pytest.mark.parametrize(("name", "architecture"), PROGRAMS)
def test_a_program_is_small_static_and_stripped(name: str, architecture: str) -> None:
    data = shipped.path(name, architecture).read_bytes()
    assert len(data) < 4096
    elf = ELFFile(io.BytesIO(data))
    assert elf.get_machine_arch() == {"amd64": "x64", "arm64": "AArch64"}[architecture]
    assert elf.header["e_type"] == "ET_EXEC"
    assert not {segment.header["p_type"] for segment in elf.iter_segments()} & {
        "PT_INTERP",
        "PT_DYNAMIC",
        "PT_NOTE",
    }
    assert not any(section.name.startswith((".debug", ".note", ".symtab")) for section in elf.iter_sections())


def test_a_changed_program_is_not_handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "amd64").mkdir()
    (tmp_path / "amd64" / "http").write_bytes(shipped.path("http", "amd64").read_bytes()[:-1])
    monkeypatch.setattr(shipped, "HERE", tmp_path)
    with pytest.raises(CapletError, match="not the program that was shipped"):
        shipped.path("http", "amd64")
