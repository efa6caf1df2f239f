# SPDX-License-Identifier: Apache-2.0
"""The head of an ELF program: for which platform it is, and whether it can run without a dynamic loader.

ELF: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html. What makes a program loadable is the kernel's
`load_elf_binary()` (fs/binfmt_elf.c): which types, which sizes, and that PT_INTERP names the loader that is run.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.descriptor import Platform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

ET_EXEC, ET_DYN = 2, 3
OTHER_TYPES = {0: "an ELF file of no type", 1: "an object file (.o)", 4: "a core dump"}

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED = 0, 1

PHDRS_MAX = 65536
"""Bytes of program headers: load_elf_phdrs() refuses more."""
PATH_MAX = 4096
"""linux/limits.h: load_elf_binary() refuses a longer PT_INTERP."""
DYNAMIC_MAX = 1 << 20
"""Bytes of the dynamic section that are looked at: 65,536 entries; real programs have some dozens."""

EM_NAMES = {3: "386", 8: "mips", 21: "ppc64", 22: "s390x", 40: "arm", 62: "amd64", 183: "arm64", 243: "riscv64", 258: "loong64"}  # fmt: skip
"""e_machine (linux/elf-em.h), named as the image specification names architectures: Go's GOARCH."""

ARCHITECTURES = {
    ("386", 32, True): "386",
    ("amd64", 64, True): "amd64",
    ("arm", 32, True): "arm",
    ("arm64", 64, True): "arm64",
    ("loong64", 64, True): "loong64",
    ("mips", 32, False): "mips",
    ("mips", 32, True): "mipsle",
    ("mips", 64, False): "mips64",
    ("mips", 64, True): "mips64le",
    ("ppc64", 64, False): "ppc64",
    ("ppc64", 64, True): "ppc64le",
    ("riscv64", 64, True): "riscv64",
    ("s390x", 64, False): "s390x",
}
"""(machine, bits, little-endian) -> architecture: the Linux ports of `go tool dist list`."""

OTHER_SYSTEMS = {2: "NetBSD", 6: "Solaris", 9: "FreeBSD", 12: "OpenBSD"}
"""e_ident[EI_OSABI] of systems that mark their programs. Linux programs say 0 (System V) or 3 (GNU)."""

OTHER_FORMATS = {
    b"#!": "a script: its interpreter would be missing in the image",
    b"MZ": "a Windows program",
    b"\xcf\xfa\xed\xfe": "a macOS program",
    b"\xfe\xed\xfa\xcf": "a macOS program",
    b"\xca\xfe\xba\xbe": "a macOS program for several architectures, or a Java class",
    b"\x1f\x8b": "a gzip archive",
    b"PK\x03\x04": "a zip archive",
    b"!<arch>": "a static library (.a)",
}
"""What people hand over by mistake, by its first bytes."""


@dataclass(frozen=True, slots=True)
class Elf:
    """An executable ELF file."""

    platform: Platform
    interpreter: bytes | None
    """PT_INTERP: the dynamic loader that the kernel runs first, e.g. b"/lib64/ld-linux-x86-64.so.2"."""
    needs_libraries: bool
    """The dynamic section has a DT_NEEDED entry."""

    @property
    def static(self) -> bool:
        """It runs in an otherwise empty file system; static-pie programs do too."""
        return self.interpreter is None and not self.needs_libraries


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    size: int


def read_elf(file: BinaryIO) -> Elf:
    """The head of the program in `file` (seekable); InvalidInput when Linux could not execute it as ELF."""
    ident = _read(file, 0, 64)
    if ident[:4] != b"\x7fELF":
        raise InvalidInput(
            _not_elf(ident), "build it for Linux: GOOS=linux, --target=x86_64-unknown-linux-musl, ..."
        )
    bits, order = _class_and_order(ident)
    machine = _architecture(ident, bits, order)
    segments = tuple(_segments(file, ident, bits, order))
    return Elf(
        Platform("linux", machine),
        _interpreter(file, segments),
        _needs_libraries(file, segments, bits, order),
    )


def _not_elf(head: bytes) -> str:
    if not head:
        return "not a program: empty"
    for magic, name in OTHER_FORMATS.items():
        if head.startswith(magic):
            return f"not a Linux program, but {name}"
    return f"not an ELF program: begins with {head[:4]!r}"


def _class_and_order(ident: bytes) -> tuple[int, str]:
    if len(ident) < 20:
        raise InvalidInput(f"ELF header cut off after {len(ident)} bytes")
    bits = {1: 32, 2: 64}.get(ident[4])
    order = {1: "<", 2: ">"}.get(ident[5])
    if bits is None or order is None or ident[6] != 1:
        raise InvalidInput(f"ELF header with an unknown class, byte order or version: {ident[4:7]!r}")
    if len(ident) < _header_size(bits):
        raise InvalidInput(f"ELF header cut off after {len(ident)} bytes")
    return bits, order


def _header_size(bits: int) -> int:
    return 64 if bits == 64 else 52


def _architecture(ident: bytes, bits: int, order: str) -> str:
    kind, number = struct.unpack_from(order + "HH", ident, 16)
    if kind not in (ET_EXEC, ET_DYN):
        raise InvalidInput(f"not a program, but {OTHER_TYPES.get(kind, f'an ELF file of type {kind}')}")
    if ident[7] in OTHER_SYSTEMS:
        raise InvalidInput(f"a program for {OTHER_SYSTEMS[ident[7]]}, not for Linux")
    name = EM_NAMES.get(number)
    if name is None:
        raise InvalidInput(f"a program for an unknown machine (e_machine {number})")
    found = ARCHITECTURES.get((name, bits, order == "<"))
    if found is None:
        endian = "little" if order == "<" else "big"
        raise InvalidInput(
            f"a program for {name} with {bits} bits, {endian}-endian: no Linux platform has that name"
        )
    entry = struct.unpack_from(order + ("Q" if bits == 64 else "I"), ident, 24)[0]
    if kind == ET_DYN and entry == 0:
        raise InvalidInput("not a program, but a shared library (.so): it has no entry point")
    return found


def names_no_loader(head: bytes) -> bool:
    """Whether the program headers, as far as they are in a program's first bytes, have no PT_INTERP: the kernel alone starts it."""
    try:
        bits, order = _class_and_order(head)
        return all(segment.type != PT_INTERP for segment in _segments(io.BytesIO(head), head, bits, order))
    except (InvalidInput, struct.error):
        return False


def _segments(file: BinaryIO, ident: bytes, bits: int, order: str) -> Iterator[_Segment]:
    if bits == 64:
        (table,) = struct.unpack_from(order + "Q", ident, 32)
        entry_size, count = struct.unpack_from(order + "HH", ident, 54)
        form, expected = struct.Struct(order + "IIQQQQ"), 56
    else:
        (table,) = struct.unpack_from(order + "I", ident, 28)
        entry_size, count = struct.unpack_from(order + "HH", ident, 42)
        form, expected = struct.Struct(order + "IIIII"), 32
    if entry_size != expected or not 0 < count * expected <= PHDRS_MAX:
        raise InvalidInput(f"ELF program headers: {count} of {entry_size} bytes, not of {expected}")
    data = _read_exactly(file, table, count * expected, "program headers")
    for index in range(count):
        fields = form.unpack_from(data, index * expected)
        if bits == 64:
            kind, _flags, offset, _vaddr, _paddr, size = fields
        else:
            kind, offset, _vaddr, _paddr, size = fields
        yield _Segment(kind, offset, size)


def _interpreter(file: BinaryIO, segments: tuple[_Segment, ...]) -> bytes | None:
    """The first PT_INTERP counts; load_elf_binary() wants 2 to PATH_MAX bytes and a NUL at the end."""
    for segment in segments:
        if segment.type == PT_INTERP:
            if not 2 <= segment.size <= PATH_MAX:
                raise InvalidInput(f"ELF PT_INTERP of {segment.size} bytes")
            path = _read_exactly(file, segment.offset, segment.size, "PT_INTERP")
            if path[-1] != 0:
                raise InvalidInput("ELF PT_INTERP does not end with a NUL")
            return path[: path.index(0)]
    return None


def _needs_libraries(file: BinaryIO, segments: tuple[_Segment, ...], bits: int, order: str) -> bool:
    form = struct.Struct(order + ("QQ" if bits == 64 else "II"))
    for segment in segments:
        if segment.type != PT_DYNAMIC:
            continue
        data = _read(file, segment.offset, min(segment.size, DYNAMIC_MAX))
        for tag, _value in form.iter_unpack(data[: len(data) // form.size * form.size]):
            if tag == DT_NULL:
                break
            if tag == DT_NEEDED:
                return True
    return False


def _read_exactly(file: BinaryIO, offset: int, size: int, what: str) -> bytes:
    data = _read(file, offset, size)
    if len(data) != size:
        raise InvalidInput(f"ELF {what} at offset {offset} lie beyond the end of the file")
    return data


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    if offset > (1 << 63) - 1 - size:  # beyond any file, and more than seek(2) takes
        return b""
    file.seek(offset, os.SEEK_SET)
    return file.read(size)
