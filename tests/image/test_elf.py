# SPDX-License-Identifier: Apache-2.0
"""The ELF head reader against pyelftools, the toolchain's output for every platform, the kernel, and broken files."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment
from hypothesis import given, settings
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.image.elf import Elf, names_no_loader, read_elf
from caplet.programs import shipped

if TYPE_CHECKING:
    from collections.abc import Callable


def read(data: bytes) -> Elf:
    return read_elf(io.BytesIO(data))


def static_program(architecture: str = "amd64") -> bytes:
    return shipped.path("probe", architecture).read_bytes()


@pytest.mark.parametrize("architecture", shipped.ARCHITECTURES)
def test_the_shipped_programs_are_static(architecture: str) -> None:
    elf = read(static_program(architecture))
    assert (str(elf.platform), elf.interpreter, elf.static) == (f"linux/{architecture}", None, True)


PLATFORMS = {
    "x86-linux-musl": "linux/386",
    "x86_64-linux-musl": "linux/amd64",
    "arm-linux-musleabihf": "linux/arm",
    "aarch64-linux-musl": "linux/arm64",
    "loongarch64-linux-musl": "linux/loong64",
    "mips-linux-musleabi": "linux/mips",
    "mipsel-linux-musleabi": "linux/mipsle",
    "mips64-linux-muslabi64": "linux/mips64",
    "mips64el-linux-muslabi64": "linux/mips64le",
    "powerpc64-linux-musl": "linux/ppc64",
    "powerpc64le-linux-musl": "linux/ppc64le",
    "riscv64-linux-musl": "linux/riscv64",
    "s390x-linux-musl": "linux/s390x",
}
OTHERS = {
    "aarch64-macos-none": "a macOS program",
    "aarch64_be-linux-musl": "arm64 with 64 bits, big-endian",
    "riscv32-linux-musl": "riscv64 with 32 bits",
    "x86_64-linux-muslx32": "amd64 with 32 bits",
    "sparc64-linux-gnu": "unknown machine",
}
ENTRY_POINTS = """
void _start(void) { for (;;); }
int main(void) { return 0; }
"""


def zig(target: str, directory: Path, *flags: str, source: str = ENTRY_POINTS) -> bytes:
    """What the compiler makes of `source` for one target."""
    (directory / "program.c").write_text(source)
    argv = [sys.executable, "-m", "ziglang", "cc", "-target", target, *flags, "-o", "program", "program.c"]
    cache = str(directory)
    environment = {
        "PATH": os.defpath,
        "HOME": cache,
        "ZIG_GLOBAL_CACHE_DIR": cache,
        "ZIG_LOCAL_CACHE_DIR": cache,
    }
    subprocess.run(argv, check=True, env=environment, cwd=directory, capture_output=True)
    return (directory / "program").read_bytes()


@pytest.mark.parametrize(("target", "platform"), PLATFORMS.items(), ids=list(PLATFORMS))
def test_the_platform_is_the_compilers_target(target: str, platform: str, tmp_path: Path) -> None:
    elf = read(zig(target, tmp_path, "-nostdlib", "-ffreestanding"))
    assert (str(elf.platform), elf.static) == (platform, True)


@pytest.mark.parametrize(("target", "why"), OTHERS.items(), ids=list(OTHERS))
def test_a_program_for_another_system_is_refused_by_name(target: str, why: str, tmp_path: Path) -> None:
    program = zig(target, tmp_path, "-nostdlib", "-ffreestanding")
    with pytest.raises(InvalidInput, match=why):
        read(program)


EXIT_42 = """
void _start(void)
{
#ifdef __x86_64__
    __asm__ volatile("syscall" : : "a"(231), "D"(42));
#else
    register long number __asm__("x8") = 94, status __asm__("x0") = 42;
    __asm__ volatile("svc #0" : : "r"(number), "r"(status));
#endif
    for (;;);
}
"""


@pytest.mark.parametrize(
    "flags", [["-static"], ["-fPIE", "-pie"]], ids=["position-dependent", "position-independent"]
)
def test_a_static_program_runs_where_there_is_nothing_else(flags: list[str], tmp_path: Path) -> None:
    target = f"{os.uname().machine}-linux-none"
    elf = read(zig(target, tmp_path, "-nostdlib", "-ffreestanding", *flags, source=EXIT_42))
    assert (elf.interpreter, elf.static) == (None, True)
    assert runs_in_an_empty_root(tmp_path / "program") in (True, None)


@pytest.mark.parametrize("name", ["cat", "true", "env"])
def test_a_program_that_names_a_loader_does_not(
    name: str, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    program = tmp_path / "program"
    shutil.copy(tool(name), program)
    elf = read(program.read_bytes())
    assert not elf.static
    assert elf.interpreter is not None
    assert elf.interpreter.startswith(b"/")
    assert runs_in_an_empty_root(program) in (False, None)


def runs_in_an_empty_root(program: Path) -> bool | None:
    """Whether execve(2) finds all it needs where there is nothing but the program. None: not root."""
    if os.geteuid() != 0:
        return None
    child = os.fork()
    if child == 0:
        try:
            os.chroot(program.parent)
            os.execv(f"/{program.name}", ["program"])
        except FileNotFoundError:  # ENOENT: the interpreter
            os._exit(1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (1, 42)
    return code == 42


NO_PROGRAMS = {"-shared": r"shared library \(.so\)", "-c": r"object file \(.o\)"}


@pytest.mark.parametrize(("flag", "why"), NO_PROGRAMS.items(), ids=list(NO_PROGRAMS))
def test_a_library_and_an_object_file_are_no_programs(flag: str, why: str, tmp_path: Path) -> None:
    data = zig("x86_64-linux-none", tmp_path, "-nostdlib", flag, source="int f(void) { return 1; }")
    with pytest.raises(InvalidInput, match=why):
        read(data)


def machine_programs() -> list[Path]:
    """Real programs and libraries of this machine, whatever it is."""
    places = ("/bin", "/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
    files = [Path(entry.path) for place in places if os.path.isdir(place) for entry in os.scandir(place)]
    return sorted(file for file in files if file.is_file())[::7]


def test_it_agrees_with_pyelftools_about_this_machine() -> None:
    seen = 0
    for path in machine_programs():
        with path.open("rb") as file:
            try:
                other = ELFFile(file)
            except ELFError:
                with pytest.raises(InvalidInput):
                    read_elf(file)
                continue
            try:
                elf = read_elf(file)
            except InvalidInput:
                assert other.header["e_type"] == "ET_REL" or other.header["e_entry"] == 0, path
                continue
            segments = list(other.iter_segments())
            interpreters = [s.get_interp_name().encode() for s in segments if isinstance(s, InterpSegment)]
            needed = [t for s in segments if isinstance(s, DynamicSegment) for t in s.iter_tags("DT_NEEDED")]
            assert elf.interpreter == (interpreters[0] if interpreters else None), path
            assert elf.needs_libraries is bool(needed), path
            seen += 1
    assert seen > 20


BROKEN = {
    "empty": (b"", "empty"),
    "text": (b"hello", "begins with b'hell'"),
    "script": (b"#!/bin/sh\n", "a script"),
    "Windows": (b"MZ\x90\x00", "a Windows program"),
    "Mach-O": (b"\xcf\xfa\xed\xfe" + bytes(60), "a macOS program"),
    "gzip": (b"\x1f\x8b\x08", "a gzip archive"),
    "magic alone": (b"\x7fELF", "cut off after 4 bytes"),
    "unknown class": (b"\x7fELF\x03\x01\x01" + bytes(57), "unknown class"),
    "32-bit header in 40 bytes": (b"\x7fELF\x01\x01\x01" + bytes(33), "cut off after 40 bytes"),
}


@pytest.mark.parametrize(("data", "why"), BROKEN.values(), ids=list(BROKEN))
def test_what_is_not_elf_is_named(data: bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read(data)


def patched(offset: int, form: str, *values: int) -> bytes:
    data = bytearray(static_program())
    struct.pack_into("<" + form, data, offset, *values)
    return bytes(data)


PATCHED = {
    "e_phnum 0": (patched(56, "H", 0), "0 of 56 bytes"),
    "e_phnum 65535": (patched(56, "H", 65535), "65535 of 56 bytes"),
    "e_phentsize 32": (patched(54, "H", 32), "of 32 bytes, not of 56"),
    "e_phoff beyond the end": (patched(32, "Q", 1 << 20), "beyond the end"),
    "e_phoff beyond any file": (patched(32, "Q", (1 << 64) - 1), "beyond the end"),
    "e_type core": (patched(16, "H", 4), "a core dump"),
    "EI_OSABI FreeBSD": (patched(7, "B", 9), "a program for FreeBSD"),
    "PT_INTERP of 1 byte": (patched(64, "IIQQQQ", 3, 4, 0, 0, 0, 1), "PT_INTERP of 1 bytes"),
    "PT_INTERP of 4097 bytes": (patched(64, "IIQQQQ", 3, 4, 0, 0, 0, 4097), "PT_INTERP of 4097 bytes"),
    "PT_INTERP without a NUL": (patched(64, "IIQQQQ", 3, 4, 0, 0, 0, 4), "does not end with a NUL"),
    "PT_INTERP beyond the end": (patched(64, "IIQQQQ", 3, 4, 1 << 40, 0, 0, 4), "beyond the end"),
}


@pytest.mark.parametrize(("data", "why"), PATCHED.values(), ids=list(PATCHED))
def test_a_broken_head_is_refused_by_us_and_by_the_kernel(data: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=why):
        read(data)
    if "FreeBSD" in why:  # the kernel does not look at EI_OSABI
        return
    assert exec_errno(data, tmp_path) in (errno.ENOEXEC, errno.EINVAL, errno.EIO)


def exec_errno(data: bytes, directory: Path) -> int:
    program = directory / "program"
    program.write_bytes(data)
    program.chmod(0o755)
    try:
        subprocess.run([str(program)], check=False, capture_output=True)
    except OSError as error:
        return error.errno or 0
    return 0


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_program_is_read_or_refused(data: st.DataObject) -> None:
    """Truncated anywhere, any bytes of the first 512 changed: an Elf or InvalidInput, nothing else."""
    program = bytearray(static_program(data.draw(st.sampled_from(shipped.ARCHITECTURES))))
    for offset, byte in data.draw(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=4)):
        program[offset] = byte
    cut = data.draw(st.integers(0, len(program)))
    with contextlib.suppress(InvalidInput):
        read(bytes(program[:cut]))


def test_a_program_without_a_loader_is_told_by_its_first_page() -> None:
    with open("/bin/true", "rb") as file:
        dynamic = file.read(4096)
    with open(shipped.path("http"), "rb") as file:
        static = file.read(4096)
    assert not names_no_loader(dynamic)
    assert names_no_loader(static)
    assert not names_no_loader(static[:70])
    assert not names_no_loader(b"#!/bin/sh")
