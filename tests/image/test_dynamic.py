# SPDX-License-Identifier: Apache-2.0
"""The dynamic section against pyelftools, for this machine's programs and libraries, and for each architecture and order."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment
from hypothesis import given, settings
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.image.dynamic import Dynamic, read_dynamic

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = 150


def some_files() -> Iterator[tuple[Path, bytes]]:
    """Programs and libraries of this machine, always the same ones."""
    found = [
        Path(directory, name)
        for directory in ("/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
        if os.path.isdir(directory)
        for name in sorted(os.listdir(directory))
    ]
    random.Random(1).shuffle(found)
    left = SAMPLES
    for path in found:
        if left and path.is_file() and is_loadable(data := path.read_bytes()):
            left -= 1
            yield path, data


def is_loadable(data: bytes) -> bool:
    """Neither an object file nor something else."""
    return data.startswith(b"\x7fELF") and data[16:18] in (b"\2\0", b"\3\0")


def by_pyelftools(data: bytes) -> tuple[object, ...]:
    elf = ELFFile(io.BytesIO(data))
    texts: dict[str, list[bytes]] = {"needed": [], "soname": [], "rpath": [], "runpath": []}
    for segment in elf.iter_segments():
        if isinstance(segment, DynamicSegment):
            for tag in segment.iter_tags():
                for name, values in texts.items():
                    if tag.entry.d_tag == f"DT_{name.upper()}":
                        values.append(getattr(tag, name).encode())
    interpreters = [
        str(one.get_interp_name()).encode() for one in elf.iter_segments() if isinstance(one, InterpSegment)
    ]
    runpath = texts["runpath"][-1] if texts["runpath"] else None
    rpath = texts["rpath"][-1] if texts["rpath"] and runpath is None else None
    soname = texts["soname"][-1] if texts["soname"] else None
    interpreter = interpreters[0] if interpreters else None
    return (elf.elfclass, interpreter, tuple(texts["needed"]), soname, rpath, runpath)


def shown(dynamic: Dynamic) -> tuple[object, ...]:
    return (
        dynamic.bits,
        dynamic.interpreter,
        dynamic.needed,
        dynamic.soname,
        dynamic.rpath,
        dynamic.runpath,
    )


def test_this_machines_files() -> None:
    seen = 0
    for path, data in some_files():
        assert shown(read_dynamic(data)) == by_pyelftools(data), path
        seen += 1
    assert seen


@pytest.mark.parametrize(
    "target",
    [
        "x86_64-linux-musl",
        "x86-linux-musl",
        "arm-linux-musleabihf",
        "s390x-linux-musl",
        "mips-linux-musleabi",
    ],
)
def test_other_architectures(target: str, tmp_path: Path) -> None:
    cache = {"PATH": os.defpath, "HOME": str(tmp_path), "ZIG_GLOBAL_CACHE_DIR": str(tmp_path)}
    zig = [sys.executable, "-m", "ziglang", "cc", "-target", target, "-shared", "-nostdlib", "-fPIC"]
    (tmp_path / "a.c").write_text("int a(void) { return 1; }")
    linker = ["-Wl,-soname,liba.so", "-Wl,-rpath,$ORIGIN/x:/y"]
    subprocess.run(
        [*zig, *linker, "-o", "liba.so", "a.c"], cwd=tmp_path, env=cache, check=True, capture_output=True
    )
    data = (tmp_path / "liba.so").read_bytes()
    found = read_dynamic(data)
    assert shown(found) == by_pyelftools(data)
    assert (found.soname, found.runpath) == (b"liba.so", b"$ORIGIN/x:/y")


PROGRAM = Path("/bin/ls").read_bytes()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 4096), st.binary(min_size=1, max_size=16), st.booleans())
def test_broken_files(place: int, piece: bytes, cut: bool) -> None:
    data = PROGRAM[:place] if cut else PROGRAM[:place] + piece + PROGRAM[place + len(piece) :]
    try:
        read_dynamic(data)
    except InvalidInput:
        return
