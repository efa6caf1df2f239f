# SPDX-License-Identifier: Apache-2.0
"""What is put aside comes back, from memory and from disk, and leaves no file."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from caplet.errors import ImageError
from caplet.image import spool
from caplet.image.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("in_memory", [0, 10, 1 << 20], ids=["disk", "some", "memory"])
def test_everything_comes_back(in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", in_memory)
    source = random.Random(in_memory)
    kept = Spool(str(tmp_path))
    places = []
    for _ in range(200):
        pieces = [source.randbytes(source.randint(0, 300)) for _ in range(source.randint(0, 4))]
        places.append((kept.add(pieces), b"".join(pieces)))
        place, data = source.choice(places)
        assert b"".join(kept.read(*place)) == data
    assert all(b"".join(kept.read(*place)) == data for place, data in places)
    assert kept.size == sum(len(data) for _, data in places)
    assert os.listdir(tmp_path) == []


def test_a_place_that_is_gone_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "IN_MEMORY", 0)
    with pytest.raises(ImageError, match=r"cannot write a temporary file in .*gone: No such file"):
        Spool(str(tmp_path / "gone")).add([b"1"])
