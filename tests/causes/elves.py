# SPDX-License-Identifier: Apache-2.0
"""ELF files that say which libraries they need, and no more."""

from __future__ import annotations

import struct

LOADER = "/lib64/ld-linux-x86-64.so.2"
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NULL, DT_NEEDED, DT_STRTAB, DT_RUNPATH = 0, 1, 5, 29
EM_X86_64 = 62


def dynamic(*needed: str, runpath: str = "", interpreter: str = LOADER) -> bytes:
    """A program; a library where `interpreter` is empty."""
    strings, places = b"\0", {}
    for text in (*needed, runpath):
        places[text] = len(strings)
        strings += text.encode() + b"\0"
    interp = interpreter.encode() + b"\0" if interpreter else b""
    headers = 2 + bool(interp)
    start = 64 + 56 * headers
    entries = [(DT_NEEDED, places[name]) for name in needed]
    if runpath:
        entries.append((DT_RUNPATH, places[runpath]))
    table = start + len(interp)
    size = 16 * (len(entries) + 2)
    entries += [(DT_STRTAB, table + size), (DT_NULL, 0)]
    body = interp + b"".join(struct.pack("<QQ", *entry) for entry in entries) + strings
    whole = start + len(body)
    segments = [
        (PT_LOAD, 5, 0, 0, 0, whole, whole, 4096),
        (PT_DYNAMIC, 4, table, table, table, size, size, 8),
    ]
    if interp:
        segments.append((PT_INTERP, 4, start, start, start, len(interp), len(interp), 1))
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 3, EM_X86_64, 1, 0, 64, 0, 0, 64, 56, headers, 0, 0, 0)
    return header + b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments) + body


def library() -> bytes:
    return dynamic(interpreter="")


def glibc_loader() -> bytes:
    """By what tells glibc's loader from others."""
    return library() + b"/etc/ld.so.cache\0"
