# SPDX-License-Identifier: Apache-2.0
"""Podman's default capabilities, as a containers.conf names them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput
from caplet.kernel.caps import Cap, Caps
from caplet.verify.engines.containersconf import default_capabilities

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("[engine]\nruntime = 'crun'\n", None, id="another section"),
        pytest.param("[containers]\ndefault_capabilities = []\n", None, id="an empty list counts as none"),
        pytest.param(
            '[containers]\ndefault_capabilities = ["CHOWN", "CAP_KILL"]\n',
            Caps.of(Cap.CHOWN, Cap.KILL),
            id="both spellings",
        ),
    ],
)
def test_files(text: str, expected: Caps | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "containers.conf"
    file.write_text(text)
    monkeypatch.setenv("CONTAINERS_CONF", str(file))
    assert default_capabilities() == expected


def test_the_override_comes_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, cap in (("one", "CHOWN"), ("two", "KILL")):
        (tmp_path / name).write_text(f'[containers]\ndefault_capabilities = ["{cap}"]\n')
    monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "one"))
    monkeypatch.setenv("CONTAINERS_CONF_OVERRIDE", str(tmp_path / "two"))
    assert default_capabilities() == Caps.of(Cap.KILL)


def test_a_broken_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "containers.conf"
    file.write_text("[containers\n")
    monkeypatch.setenv("CONTAINERS_CONF", str(file))
    with pytest.raises(InvalidInput, match="containers"):
        default_capabilities()
