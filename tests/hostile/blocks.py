# SPDX-License-Identifier: Apache-2.0
"""Tar archives made byte by byte, so that they can be wrong in any way: POSIX pax(1), "ustar Interchange Format".

>>> len(tar(file("a", b"x")))
2048
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 512
END = bytes(2 * BLOCK)
USTAR = b"ustar\x0000"
GNU = b"ustar  \0"
V7 = b"\0" * 8

CAPABILITY = "SCHILY.xattr.security.capability"
NET_RAW, NET_BIND_SERVICE, SYS_ADMIN = 1 << 13, 1 << 10, 1 << 21


def caps(permitted: int, inheritable: int = 0, magic: int = 0x02000001, rootid: int | None = None) -> bytes:
    """security.capability, as include/uapi/linux/capability.h has it; revision 2 with the effective bit by default."""
    words = [magic, permitted & 0xFFFFFFFF, inheritable & 0xFFFFFFFF, permitted >> 32, inheritable >> 32]
    return struct.pack("<5I", *words) + (b"" if rootid is None else struct.pack("<I", rootid))


RAW = caps(NET_RAW)
"""cap_net_raw=ep"""
BIND = caps(NET_BIND_SERVICE)
"""cap_net_bind_service=ep"""


def raw(text: str | bytes) -> bytes:
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text


def octal(value: int, width: int) -> bytes:
    return b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """GNU's binary number: the first bit is set, the rest is two's complement."""
    data = bytearray((value & ((1 << 8 * width) - 1)).to_bytes(width, "big"))
    data[0] |= 0x80
    return bytes(data)


def number(value: int | bytes, width: int) -> bytes:
    """A field: bytes as they are, a number in octal, or in base 256 where it does not fit."""
    if isinstance(value, bytes):
        return value.ljust(width, b"\0")[:width]
    fits = 0 <= value < 8 ** (width - 1)
    return octal(value, width) if fits else base256(value, width)


def header(
    name: str | bytes,
    *,
    flag: bytes = b"0",
    size: int | bytes = 0,
    mode: int | bytes = 0o755,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 1_600_000_000,
    link: str | bytes = b"",
    magic: bytes = USTAR,
    uname: bytes = b"",
    gname: bytes = b"",
    major: int | bytes = 0,
    minor: int | bytes = 0,
    prefix: str | bytes = b"",
    at: Mapping[int, bytes] | None = None,
    checksum: bytes | None = None,
    signed: bool = False,
) -> bytes:
    """One header block. `at` puts bytes at offsets before the checksum is made; `checksum` replaces it."""
    block = bytearray(
        b"".join(
            (
                raw(name).ljust(100, b"\0")[:100],
                number(mode, 8),
                number(uid, 8),
                number(gid, 8),
                number(size, 12),
                number(mtime, 12),
                b" " * 8,
                flag,
                raw(link).ljust(100, b"\0")[:100],
                magic,
                uname.ljust(32, b"\0"),
                gname.ljust(32, b"\0"),
                number(major, 8) if magic != V7 else bytes(8),
                number(minor, 8) if magic != V7 else bytes(8),
                raw(prefix).ljust(155, b"\0"),
                bytes(12),
            )
        )
    )
    for offset, data in (at or {}).items():
        block[offset : offset + len(data)] = data
    total = sum(byte - 256 if signed and byte >= 128 else byte for byte in block)
    block[148:156] = checksum if checksum is not None else b"%06o\0 " % total
    assert len(block) == BLOCK
    return bytes(block)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def record(key: str | bytes, value: str | bytes) -> bytes:
    """A PAX record, whose length counts itself."""
    body = b" %b=%b\n" % (raw(key), raw(value))
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def pax(records: Mapping[str, str | bytes] | bytes, flag: bytes = b"x", **fields: Any) -> bytes:
    """An extended header with its data."""
    data = (
        records
        if isinstance(records, bytes)
        else b"".join(record(key, value) for key, value in records.items())
    )
    return header("PaxHeaders/x", flag=flag, size=fields.pop("size", len(data)), **fields) + padded(data)


def long_name(name: str | bytes, flag: bytes = b"L", end: bytes = b"\0") -> bytes:
    """GNU's long name (`L`) or long link target (`K`) of the next entry."""
    data = raw(name) + end
    return header("././@LongLink", flag=flag, size=len(data), magic=GNU) + padded(data)


def entry(
    name: str | bytes,
    data: bytes = b"",
    cap: bytes | None = None,
    xattrs: Mapping[str, bytes] | None = None,
    **fields: Any,
) -> bytes:
    """An entry with its content, in PAX format where it has attributes or a long name."""
    records: dict[str, str | bytes] = {f"SCHILY.xattr.{key}": value for key, value in (xattrs or {}).items()}
    if cap is not None:
        records[CAPABILITY] = cap
    if len(raw(name)) > 100:
        records["path"] = name
    fields.setdefault("size", len(data))
    return (pax(records) if records else b"") + header(name, **fields) + padded(data)


def file(name: str | bytes, data: bytes = b"program", cap: bytes | None = None, **fields: Any) -> bytes:
    return entry(name, data, cap, **fields)


def directory(name: str | bytes, mode: int = 0o755, **fields: Any) -> bytes:
    return entry(name, flag=b"5", mode=mode, **fields)


def symlink(name: str | bytes, target: str | bytes, **fields: Any) -> bytes:
    more = pax({"linkpath": target}) if len(raw(target)) > 100 else b""
    return more + entry(name, flag=b"2", link=target, mode=0o777, **fields)


def hardlink(name: str | bytes, target: str | bytes, cap: bytes | None = None, **fields: Any) -> bytes:
    return entry(name, cap=cap, flag=b"1", link=target, **fields)


def whiteout(name: str) -> bytes:
    """`usr/x` -> the entry usr/.wh.x"""
    head, _, tail = name.rpartition("/")
    return file(f"{head}/.wh.{tail}" if head else f".wh.{tail}", b"")


def opaque(name: str) -> bytes:
    return file(f"{name}/.wh..wh..opq" if name else ".wh..wh..opq", b"")


def tar(*entries: bytes) -> bytes:
    """An archive that ends properly."""
    return b"".join(entries) + END
