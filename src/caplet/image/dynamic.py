# SPDX-License-Identifier: Apache-2.0
"""The dynamic section of an ELF file: which libraries it needs, and where it wants them looked for.

gABI chapter 5, "Dynamic Section"; elf(5). Addresses in it are virtual: the program headers (PT_LOAD) say where in the file
they are. Of a hostile file all sizes are wrong and all tables endless, so each is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.elf import DT_NEEDED, DT_NULL, PATH_MAX, PHDRS_MAX, PT_DYNAMIC, PT_INTERP, PT_LOAD

if TYPE_CHECKING:
    from collections.abc import Iterator

DT_STRTAB, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_FLAGS_1 = 5, 14, 15, 29, 0x6FFFFFFB
DF_1_NODEFLIB = 0x800
"""`-z nodefaultlib`: look neither in the default directories nor in what the cache has of them."""

MAX_ENTRIES = 4096
"""Entries of the dynamic section that are looked at; a program that needs hundreds of libraries has as many."""
MAX_NEEDED = 1024
"""Libraries that one file may need; large desktop programs need some hundred."""
MAX_STRING = 64 << 10
"""Bytes of a run path; the loaders have no bound, execve's PATH_MAX per directory gives an idea."""


@dataclass(frozen=True, slots=True)
class Dynamic:
    """What the dynamic loader reads of a program or a library."""

    bits: int
    order: str
    """`<` or `>`, as for struct."""
    machine: int
    """e_machine."""
    interpreter: bytes | None
    """PT_INTERP."""
    needed: tuple[bytes, ...] = ()
    soname: bytes | None = None
    rpath: bytes | None = None
    """DT_RPATH; a file that has a DT_RUNPATH has none that counts (glibc elf/get-dynamic-info.h; musl decode_dyn)."""
    runpath: bytes | None = None
    nodeflib: bool = False

    def same_machine(self, other: Dynamic) -> bool:
        return (self.bits, self.order, self.machine) == (other.bits, other.order, other.machine)


@dataclass(frozen=True, slots=True)
class _Segment:
    type: int
    offset: int
    address: int
    size: int


def read_dynamic(data: bytes) -> Dynamic:
    """Of the whole file; InvalidInput where it is no ELF file that a loader would take."""
    if data[:4] != b"\x7fELF" or len(data) < 52:
        raise InvalidInput(f"not an ELF file: begins with {data[:4]!r}")
    bits = {1: 32, 2: 64}.get(data[4])
    order = {1: "<", 2: ">"}.get(data[5])
    if bits is None or order is None or (bits == 64 and len(data) < 64):
        raise InvalidInput(f"ELF header with an unknown class or byte order: {data[4:6]!r}")
    (machine,) = struct.unpack_from(order + "H", data, 18)
    segments = tuple(_segments(data, bits, order))
    entries = list(_entries(data, segments, bits, order))
    strings = _Strings(data, segments, next((value for tag, value in entries if tag == DT_STRTAB), None))
    texts: dict[int, bytes] = {}
    for tag, value in entries:
        if tag in (DT_SONAME, DT_RPATH, DT_RUNPATH):
            texts[tag] = strings.at(value)  # the last of one tag counts
    needed = [strings.at(value) for tag, value in entries if tag == DT_NEEDED]
    if len(needed) > MAX_NEEDED:
        raise InvalidInput(f"ELF file that needs {len(needed)} libraries; {MAX_NEEDED} are looked at")
    runpath = texts.get(DT_RUNPATH)
    flags = next((value for tag, value in reversed(entries) if tag == DT_FLAGS_1), 0)
    return Dynamic(
        bits=bits,
        order=order,
        machine=machine,
        interpreter=_interpreter(data, segments),
        needed=tuple(needed),
        soname=texts.get(DT_SONAME),
        rpath=texts.get(DT_RPATH) if runpath is None else None,
        runpath=runpath,
        nodeflib=bool(flags & DF_1_NODEFLIB),
    )


def _segments(data: bytes, bits: int, order: str) -> Iterator[_Segment]:
    if bits == 64:
        (table,) = struct.unpack_from(order + "Q", data, 32)
        size, count = struct.unpack_from(order + "HH", data, 54)
        form = struct.Struct(order + "IIQQQQ")
    else:
        (table,) = struct.unpack_from(order + "I", data, 28)
        size, count = struct.unpack_from(order + "HH", data, 42)
        form = struct.Struct(order + "IIIII")
    expected = 56 if bits == 64 else 32
    if size != expected or not 0 < count * expected <= PHDRS_MAX:
        raise InvalidInput(f"ELF program headers: {count} of {size} bytes, not of {expected}")
    if table + count * expected > len(data):
        raise InvalidInput(f"ELF program headers at offset {table} lie beyond the end of the file")
    for index in range(count):
        fields = form.unpack_from(data, table + index * expected)
        if bits == 64:
            kind, _flags, offset, address, _physical, size = fields
        else:
            kind, offset, address, _physical, size = fields
        yield _Segment(kind, offset, address, size)


def _entries(data: bytes, segments: tuple[_Segment, ...], bits: int, order: str) -> Iterator[tuple[int, int]]:
    """The (tag, value) pairs before DT_NULL."""
    form = struct.Struct(order + ("QQ" if bits == 64 else "II"))
    segment = next((one for one in segments if one.type == PT_DYNAMIC), None)
    if segment is None or segment.offset >= len(data):
        return
    end = min(len(data), segment.offset + segment.size, segment.offset + MAX_ENTRIES * form.size)
    for offset in range(segment.offset, end - form.size + 1, form.size):
        tag, value = form.unpack_from(data, offset)
        if tag == DT_NULL:
            return
        yield tag, value


@dataclass(frozen=True, slots=True)
class _Strings:
    """The string table, by its address in memory."""

    data: bytes
    segments: tuple[_Segment, ...]
    address: int | None

    def at(self, index: int) -> bytes:
        if self.address is None:
            raise InvalidInput("ELF dynamic section without a string table")
        address = self.address + index
        for segment in self.segments:
            if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.size:
                start = segment.offset + address - segment.address
                end = self.data.find(b"\0", start, start + MAX_STRING)
                if start < len(self.data) and end >= 0:
                    return self.data[start:end]
        raise InvalidInput(f"ELF string at address {address:#x} lies outside the file")


def _interpreter(data: bytes, segments: tuple[_Segment, ...]) -> bytes | None:
    segment = next((one for one in segments if one.type == PT_INTERP), None)
    if segment is None:
        return None
    path = data[segment.offset : segment.offset + segment.size] if segment.size <= PATH_MAX else b""
    if b"\0" not in path:
        raise InvalidInput("ELF PT_INTERP does not end with a NUL")
    return path[: path.index(0)]
