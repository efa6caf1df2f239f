# SPDX-License-Identifier: Apache-2.0
"""ld.so.cache against ldconfig's own listing of it, and broken."""

from __future__ import annotations

import random
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from caplet.image.dynamic import read_dynamic
from caplet.image.ldcache import read_cache

if TYPE_CHECKING:
    from collections.abc import Callable

CACHE = Path("/etc/ld.so.cache")


@pytest.mark.skipif(not CACHE.exists(), reason="needs glibc's cache")
def test_it_is_what_ldconfig_lists(tool: Callable[[str], str]) -> None:
    listed = subprocess.run([tool("ldconfig"), "-p"], capture_output=True, text=True, check=True).stdout
    expected: dict[bytes, tuple[bytes, ...]] = {}
    for name, kind, path in re.findall(r"^\t(\S+) \(([^)]*)\) => (\S+)$", listed, re.MULTILINE):
        if kind.startswith(("libc6,x86-64", "libc6,AArch64")):
            expected[name.encode()] = (*expected.get(name.encode(), ()), path.encode())
    program = read_dynamic(Path(tool("ls")).read_bytes())
    assert expected
    assert read_cache(CACHE.read_bytes(), program) == expected


@pytest.mark.skipif(not CACHE.exists(), reason="needs glibc's cache")
def test_broken_ones_say_less_and_nothing_else(tool: Callable[[str], str]) -> None:
    program = read_dynamic(Path(tool("ls")).read_bytes())
    whole = CACHE.read_bytes()
    chance = random.Random(1)
    for size in (0, 10, 20, 47, 48, 60, 72, 1000, len(whole) // 2):
        read_cache(whole[:size], program)
        read_cache(b"ld.so-1.7.0\0" + whole[:size], program)
    for _ in range(300):
        place = chance.randrange(80)
        read_cache(whole[:place] + bytes([chance.randrange(256)]) + whole[place + 1 :], program)
    assert read_cache(b"", program) == {}
