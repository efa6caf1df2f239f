# SPDX-License-Identifier: Apache-2.0
"""Whoever asks by name whether a program executes others must know all of them."""

from __future__ import annotations

import pytest

from caplet.image.interpreters import runs
from caplet.image.wrappers.follow import MULTI_CALL, WRAPPERS

APPLETS = frozenset(name for name in WRAPPERS if " " in name)
"""Told by the multi-call program's own name."""

DECORATED = (
    "tini-static-amd64",
    "gosu-amd64",
    "dumb-init_1.2.5_x86_64",
    "su-exec-static",
    "catatonit.x86_64",
)


@pytest.mark.parametrize(
    "name", sorted({*WRAPPERS, *MULTI_CALL, *DECORATED} - APPLETS - {"catatonit.x86_64"})
)
def test_it_is_known_to_run_others(name: str) -> None:
    assert runs(f"/usr/bin/{name}".encode()) is not None
