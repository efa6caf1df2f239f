# SPDX-License-Identifier: Apache-2.0
"""The 512-byte header block of tar: its fields, its numbers, its checksum, as Go's archive/tar reads them.

containerd, Docker, Podman and the other engines are written in Go, so its package decides what a layer says
(Go 1.27, src/archive/tar/format.go and strconv.go). ustar layout, offsets in decimal:

    0 name 100 | 100 mode 8 | 108 uid 8 | 116 gid 8 | 124 size 12 | 136 mtime 12 | 148 checksum 8 | 156 typeflag 1
    157 linkname 100 | 257 magic 6 | 263 version 2 | 265 uname 32 | 297 gname 32 | 329 devmajor 8 | 337 devminor 8
    345 prefix 155      GNU has atime 12, ctime 12 at 345, a sparse map at 386; star has a shorter prefix and "tar" at 508
"""

from __future__ import annotations

from zlib import adler32

from caplet.errors import InvalidInput

BLOCK = 512
ZEROS = bytes(BLOCK)

V7 = 1
USTAR = 2
GNU = 3
STAR = 4

MAX_INT64 = (1 << 63) - 1


def parse_octal(field: bytes) -> int:
    """An octal number between spaces or NULs; nothing at all is 0 (parser.parseOctal)."""
    digits = field.strip(b" \0").split(b"\0", 1)[0]
    if not digits:
        return 0
    if not digits.isdigit():  # int() would take signs, spaces and underscores
        raise InvalidInput(f"tar header: {field!r} is not an octal number")
    try:
        value = int(digits, 8)
    except ValueError:
        raise InvalidInput(f"tar header: {field!r} is not an octal number") from None
    return value - (1 << 64) if value > MAX_INT64 else value


def parse_number(field: bytes) -> int:
    """An octal or a base-256 number, which may be negative (parser.parseNumeric)."""
    if not field[0] & 0x80:
        return parse_octal(field)
    bits = 8 * len(field) - 1  # the first bit says base-256, the next one is the sign
    value = int.from_bytes(field, "big") & ((1 << bits) - 1)
    if value >> (bits - 1):
        value -= 1 << bits
    if not -MAX_INT64 - 1 <= value <= MAX_INT64:
        raise InvalidInput(f"tar header: the number {field.hex()} does not fit 64 bits")
    return value


def parse_text(field: bytes) -> bytes:
    """Up to the first NUL, or the whole field."""
    return field.split(b"\0", 1)[0]


def checksum_holds(block: bytes) -> bool:
    """Whether the stored checksum is the sum of the bytes, unsigned or (as Sun's tar had it) signed."""
    field = block[148:156]
    try:
        stored = parse_octal(field)
    except InvalidInput:
        return False
    # 256 bytes of at most 255 sum up to less than 65521: Adler-32's low half is their plain sum plus 1.
    total = (adler32(block) & 0xFFFF) - 1 if block.count(0) >= BLOCK // 2 else sum(block)
    total += 8 * 0x20 - sum(field)  # the field itself counts as spaces
    if stored == total:
        return True
    negative = sum(byte >= 0x80 for byte in block) - sum(byte >= 0x80 for byte in field)
    return stored == total - 256 * negative


def format_of(block: bytes) -> int:
    """Which format the magic claims (block.getFormat)."""
    magic = block[257:263]
    if magic == b"ustar\0":
        return STAR if block[508:512] == b"tar\0" else USTAR
    return GNU if block[257:265] == b"ustar  \0" else V7
