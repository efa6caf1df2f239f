# SPDX-License-Identifier: Apache-2.0
"""/etc/ld.so.cache: library names to paths, written by ldconfig(8), read by glibc's loader.

glibc 2.36 sysdeps/generic/dl-cache.h: `struct cache_file_new` ("glibc-ld.so.cache1.1"), by itself (ldconfig 2.32 and later)
or behind the old format's entries ("ld.so-1.7.0"), and `struct file_entry_new`. elf/dl-cache.c, search_cache(): an entry
counts where its flags are those of the loader's own ABI.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.dynamic import Dynamic

MAX_CACHE = 16 << 20
"""Bytes that are read: a desktop with thousands of libraries has some 300 kB."""
MAX_LIBS = 200_000
"""Entries: what fits in MAX_CACHE with names of some length."""
MAX_NAME = 4096

_OLD_MAGIC = b"ld.so-1.7.0"
_NEW_MAGIC = b"glibc-ld.so.cache1.1"
_OLD_HEADER, _OLD_ENTRY = 16, 12
_NEW_HEADER = 48
_ENTRY = "iIIIQ"
_ENTRY_SIZE = 24

_ELF_LIBC6 = 0x0003
_ABI = {3: 0x0000, 62: 0x0300, 22: 0x0400, 21: 0x0500, 183: 0x0A00, 243: 0x1000, 258: 0x1200}
"""e_machine -> the ABI part of flags (FLAG_X8664_LIB64, ...). 32-bit ARM has two, told apart by e_flags."""
_ARM, _ARM_ABIS = 40, (0x0000, 0x0900, 0x0B00)


def read_cache(data: bytes, program: Dynamic) -> dict[bytes, tuple[bytes, ...]]:
    """Name -> the paths that it has for programs like this one; empty where the file is none of its kind."""
    start = _new_header(data, program.order)
    if start is None:
        return {}
    found: dict[bytes, tuple[bytes, ...]] = {}
    for flags, name, path in _entries(data, start, program.order):
        if _fits(flags, program):
            found[name] = (*found.get(name, ()), path)
    return found


def _new_header(data: bytes, order: str) -> int | None:
    """Where the new format begins."""
    if data.startswith(_NEW_MAGIC):
        return 0
    if not data.startswith(_OLD_MAGIC) or len(data) < _OLD_HEADER:
        return None
    (count,) = struct.unpack_from(order + "I", data, 12)
    start = _OLD_HEADER + count * _OLD_ENTRY
    start += -start % 8
    return start if data[start : start + len(_NEW_MAGIC)] == _NEW_MAGIC else None


def _entries(data: bytes, start: int, order: str) -> Iterator[tuple[int, bytes, bytes]]:
    if len(data) < start + _NEW_HEADER:
        return
    (count,) = struct.unpack_from(order + "I", data, start + len(_NEW_MAGIC))
    form = struct.Struct(order + _ENTRY)
    for index in range(min(count, MAX_LIBS)):
        offset = start + _NEW_HEADER + index * _ENTRY_SIZE
        if offset + _ENTRY_SIZE > len(data):
            return
        flags, key, value, _version, _hwcap = form.unpack_from(data, offset)
        name, path = _string(data, start + key), _string(data, start + value)
        if name and path:
            yield flags, name, path


def _string(data: bytes, offset: int) -> bytes:
    end = data.find(b"\0", offset, offset + MAX_NAME)
    return data[offset:end] if end >= 0 else b""


def _fits(flags: int, program: Dynamic) -> bool:
    if flags & 0xFF != _ELF_LIBC6:
        return False
    abi = flags & 0xFF00
    if program.machine == _ARM:
        return abi in _ARM_ABIS
    if program.machine == 62 and program.bits == 32:
        return abi == 0x0800
    known = _ABI.get(program.machine)
    return known is None or abi == known
