# SPDX-License-Identifier: Apache-2.0
"""Archives that two tar readers see differently: sizes that disagree, half extensions, sparse maps, odd numbers, early ends.

The engines read with Go's archive/tar, so that is right here which it reads, and what it refuses no engine unpacks.
"""

from __future__ import annotations

from typing import Any

from tests.hostile.blocks import (
    BIND,
    CAPABILITY,
    END,
    GNU,
    RAW,
    V7,
    base256,
    directory,
    file,
    hardlink,
    header,
    long_name,
    octal,
    padded,
    pax,
    record,
    symlink,
    tar,
)
from tests.hostile.case import Case, Refused, Seen, stack

PING, WEB = "cap_net_raw=ep", "cap_net_bind_service=ep"
X = {"/x": PING}
INNER = file("smuggled", cap=BIND)
"""An entry that only a reader which takes the other size comes to see."""
CHECKSUM = Refused("checksum")


def raw(
    name: str, archive: bytes, expected: Refused | Seen | dict[str, str], divergent: tuple[str, ...] = ()
) -> Case:
    return stack(name, archive, expected, divergent)


def gnu_sparse(
    name: str, size: int, pieces: list[tuple[int, int]], stored: bytes, more: bytes = b"\0", **fields: Any
) -> bytes:
    """Old GNU's type S: the map lies in the header, real size at 483, "more follows" at 482."""
    slots = b"".join(octal(offset, 12) + octal(length, 12) for offset, length in pieces)
    at = {386: slots.ljust(96, b"\0") + more + octal(size, 12)}
    return header(name, flag=b"S", magic=GNU, size=len(stored), at=at, **fields) + padded(stored)


def pax_sparse(records: bytes | dict[str, str], data: bytes, **fields: Any) -> bytes:
    listed = records if isinstance(records, bytes) else b"".join(record(*one) for one in records.items())
    return (
        pax(listed + record(CAPABILITY, RAW))
        + header("GNUSparseFile.0/x", size=len(data), **fields)
        + padded(data)
    )


FOUR = [(0, 1), (512, 1), (1024, 1), (1536, 1)]
V1 = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "x"}
V01 = {"GNU.sparse.name": "x", "GNU.sparse.size": "10", "GNU.sparse.numblocks": "1"}

# fmt: off
CASES: tuple[Case, ...] = (
    # Sizes
    raw("pax-size-over-header", tar(pax({"size": str(len(INNER))}), header("a", size=0), INNER, file("x", cap=RAW)), X),
    raw("pax-size-zero", tar(pax({"size": "0"}), header("a", size=len(INNER)), INNER), {"/smuggled": WEB}),
    raw("pax-size-smaller", tar(pax({"size": "512"}), header("a", size=512 + len(INNER)), bytes(512), INNER), {"/smuggled": WEB}),
    raw("pax-size-negative", tar(pax({"size": "-1"}), header("a")), Refused("size of -1")),
    raw("pax-size-huge", tar(pax({"size": "9223372036854775807"}), header("a")), Refused("ends inside")),
    raw("pax-size-beyond-64-bits", tar(pax({"size": "9223372036854775808"}), header("a")), Refused("64 bits")),
    raw("pax-size-no-number", tar(pax({"size": "0x10"}), header("a")), Refused("not a number")),
    raw("pax-size-with-spaces", tar(pax({"size": " 0 "}), header("a")), Refused("not a number")),
    raw("pax-size-with-plus", tar(pax({"size": "+0"}), header("a"), file("x", cap=RAW)), X),
    raw("pax-size-with-zeros", tar(pax({"size": "0" * 40}), header("a"), file("x", cap=RAW)), X),
    raw("pax-size-empty", tar(pax({"size": ""}), header("a", size=len(INNER)), INNER, file("x", cap=RAW)), X),
    raw("pax-size-twice", tar(pax(record("size", "0") + record("size", str(len(INNER)))), header("a"), INNER, file("x", cap=RAW)), X),
    raw("pax-size-of-global", tar(pax({"size": "0"}, flag=b"g"), header("a", size=len(INNER)), INNER, file("x", cap=RAW)), X, ("umoci",)),
    raw("size-of-a-link", tar(header("l", flag=b"2", link="t", size=len(INNER)), INNER), {"/smuggled": WEB}),
    raw("size-of-a-hard-link", tar(file("a", cap=RAW), pax({CAPABILITY: RAW}), header("x", flag=b"1", link="a", size=len(INNER)), INNER), {"/a": PING, "/smuggled": WEB, "/x": PING}),
    raw("size-of-a-directory", tar(header("d", flag=b"5", size=len(INNER)), INNER), {"/smuggled": WEB}),
    raw("size-of-a-device", tar(header("c", flag=b"3", size=len(INNER), major=1, minor=3), INNER), {"/smuggled": WEB}),
    raw("size-of-a-fifo", tar(header("p", flag=b"6", size=len(INNER)), INNER), {"/smuggled": WEB}),
    raw("size-in-base-256", tar(header("a", size=base256(len(INNER), 12)), INNER, file("x", cap=RAW)), X),
    raw("size-negative-in-base-256", tar(header("a", size=base256(-512, 12))), Refused("size of -512")),
    raw("size-beyond-64-bits", tar(header("a", size=b"\x80\x01" + bytes(10))), Refused("64 bits")),
    raw("size-with-spaces", tar(header("a", size=b" %o " % len(INNER)), INNER, file("x", cap=RAW)), X),
    raw("size-without-end", tar(header("a", size=b"%012o" % len(INNER)), INNER, file("x", cap=RAW)), X),
    raw("size-with-text-behind", tar(header("a", size=b"0\0zzzzzzzzzz"), file("x", cap=RAW)), X),
    raw("size-no-octal", tar(header("a", size=b"00000000009\0")), Refused("octal")),
    raw("size-with-sign", tar(header("a", size=b"-0000000001\0")), Refused("octal")),
    raw("size-with-underscore", tar(header("a", size=b"0000000_000\0")), Refused("octal")),
    raw("size-empty", tar(header("a", size=b""), file("x", cap=RAW)), X),
    raw("pax-header-size-lies", tar(pax(record(CAPABILITY, RAW), size=10), header("x")), Refused("PAX header")),
    # Other numbers
    raw("uid-beyond-32-bits", tar(pax({"uid": str(2**32 + 5), CAPABILITY: RAW}), header("x", mode=0o4755)), {"/x": f"{PING} setuid=5 mode=4755"}),
    raw("uid-of-minus-one", tar(pax({"uid": "-1", "gid": "-1"}), header("x", mode=0o6755)), {"/x": "setuid=0 setgid=0 mode=6755"}),
    raw("uid-in-base-256", tar(header("x", uid=base256(70000, 8), mode=0o4755)), {"/x": "setuid=70000 mode=4755"}),
    raw("mode-with-type-bits", tar(header("x", mode=0o104755)), {"/x": "setuid=0 mode=4755"}),
    raw("mode-negative", tar(header("x", mode=base256(-1, 8))), {"/x": "setuid=0 setgid=0 mode=7777"}),
    raw("mode-beyond", tar(header("x", mode=base256(0o40004755, 8))), {"/x": "setuid=0 mode=4755"}),
    raw("time-of-fractions", tar(pax({"mtime": "1.0000000009999", CAPABILITY: RAW}), header("x")), X),
    raw("time-before-1970", tar(pax({"mtime": "-1.5", CAPABILITY: RAW}), header("x")), X),
    raw("time-no-number", tar(pax({"mtime": "yesterday", CAPABILITY: RAW}), header("x")), Refused("not a number")),
    raw("time-of-the-far-future", tar(pax({"mtime": "9223372036854775807", CAPABILITY: RAW}), header("x")), X),
    raw("access-time-no-number", tar(pax({"atime": "1e9", CAPABILITY: RAW}), header("x")), Refused("not a number")),
    raw("device-no-octal", tar(header("x", at={329: b"zzzzzzz\0"}), file("y", cap=RAW)), Refused("octal")),
    raw("device-numbers-of-v7", tar(header("x", magic=V7, at={329: b"zzzzzzz\0"}), file("y", cap=RAW)), {"/y": PING}),
    # Names
    raw("pax-path", tar(pax({"path": "x", CAPABILITY: RAW}), header("innocent")), X),
    raw("pax-path-empty", tar(pax({"path": "", CAPABILITY: RAW}), header("x")), X),
    raw("pax-path-twice", tar(pax(record("path", "a") + record("path", "x") + record(CAPABILITY, RAW)), header("b")), X),
    raw("pax-path-and-long-name", tar(pax({"path": "a", CAPABILITY: RAW}), long_name("x"), header("b", magic=GNU)), X),
    raw("long-name-and-pax-path", tar(long_name("x"), pax({"path": "a", CAPABILITY: RAW}), header("b")), X),
    raw("long-name-twice", tar(long_name("a"), long_name("x"), file("b", cap=RAW)), X),
    raw("long-name-without-nul", tar(long_name("x", end=b""), file("b", cap=RAW)), X),
    raw("long-name-of-nothing", tar(long_name("", end=b"\0"), file("x", cap=RAW)), X),
    raw("long-name-at-the-end", tar(long_name("x")), {}),
    raw("long-name-before-global", tar(long_name("a"), pax({"comment": "c"}, flag=b"g"), file("x", cap=RAW)), X, ("umoci",)),
    raw("long-link", tar(file("a", cap=RAW), long_name("a", b"K"), hardlink("x", "b", RAW)), {"/a": PING, **X}),
    raw("long-link-of-a-file", tar(long_name("a", b"K"), file("x", cap=RAW)), X),
    raw("prefix", tar(file("x", cap=RAW, prefix="usr/bin")), {"/usr/bin/x": PING}),
    raw("prefix-of-gnu", tar(header("x", mode=0o4755, magic=GNU, prefix="usr/bin")), {"/usr/bin/x": "setuid=0 mode=4755"}),
    raw("prefix-of-gnu-times", tar(header("x", mode=0o4755, magic=GNU, at={345: octal(1, 12), 357: octal(1, 12)})), {"/x": "setuid=0 mode=4755"}),
    raw("prefix-of-gnu-binary", tar(header("x", mode=0o4755, magic=GNU, prefix=b"\xff\xfe/b")), {"/x": "setuid=0 mode=4755"}),
    raw("prefix-of-v7", tar(header("x", mode=0o4755, magic=V7, prefix="usr/bin")), {"/x": "setuid=0 mode=4755"}),
    raw("prefix-of-star", tar(header("x", mode=0o4755, prefix="usr/bin", at={476: octal(1, 12), 488: octal(1, 12), 508: b"tar\0"})), {"/usr/bin/x": "setuid=0 mode=4755"}),
    raw("magic-without-version", tar(header("x", mode=0o4755, magic=b"ustar\0xx", prefix="d")), {"/d/x": "setuid=0 mode=4755"}),
    raw("magic-upper-case", tar(header("x", mode=0o4755, magic=b"USTAR\x0000", prefix="d")), {"/x": "setuid=0 mode=4755"}),
    raw("name-full-without-nul", tar(file("x" * 100, cap=RAW)), {"/" + "x" * 100: PING}),
    raw("old-type-with-slash", tar(header("d/", flag=b"\0", mode=0o755, size=len(INNER)), INNER, file("d/x", cap=RAW)), {"/d/x": PING, "/smuggled": WEB}),
    raw("old-type-with-slash-in-pax", tar(pax({"path": "d/"}), header("d", flag=b"\0"), file("d/x", cap=RAW)), {"/d/x": PING}),
    # PAX records
    raw("record-length-of-zero", tar(pax(b"0 a=b\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-length-short", tar(pax(b"4 a=b\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-length-long", tar(pax(b"99 a=b\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-length-negative", tar(pax(b"-6 a=b\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-length-with-plus", tar(pax(b"+7 a=b\n" + record(CAPABILITY, RAW)), header("x")), X),
    raw("record-length-with-zeros", tar(pax(b"008 a=b\n" + record(CAPABILITY, RAW)), header("x")), X),
    raw("record-length-of-a-million-digits", tar(pax(b"9" * 1_000_000 + b" a=b\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-without-equals", tar(pax(b"6 abc\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-without-key", tar(pax(b"6 =bc\n"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-without-newline", tar(pax(b"6 a=bc"), file("x", cap=RAW)), Refused("PAX header")),
    raw("record-with-nul-in-key", tar(pax(record(b"a\0b", b"c")), file("x", cap=RAW)), Refused("NUL")),
    raw("record-inside-a-value", tar(pax(record("comment", record("path", "evil") + record(CAPABILITY, BIND)) + record(CAPABILITY, RAW)), header("x")), X),
    raw("record-with-nul-padding", tar(pax(record(CAPABILITY, RAW) + bytes(20)), header("x")), Refused("PAX header")),
    raw("records-of-nothing", tar(pax(b""), file("x", cap=RAW)), X),
    raw("header-of-1-mib", tar(pax(record(CAPABILITY, RAW) + record("comment", b"c" * ((1 << 20) - 57 - 17))), header("x")), X ),
    raw("header-over-1-mib", tar(pax(record(CAPABILITY, RAW) + record("comment", b"c" * (1 << 20))), header("x")), Refused("extended header")),
    raw("pax-at-the-end", tar(file("x", cap=RAW), pax({"comment": "c"})), X),
    raw("solaris-extended-header", tar(pax({"path": "a", CAPABILITY: RAW}, flag=b"X"), file("x", cap=RAW)), Refused("type flag")),
    raw("global-header-with-bad-values", tar(pax({"size": "abc", "uid": "-", "mtime": "x"}, flag=b"g"), file("x", cap=RAW)), X, ("umoci",)),
    raw("global-header-with-bad-records", tar(pax(b"99 a=b\n", flag=b"g"), file("x", cap=RAW)), Refused("PAX header")),
    raw("global-header-named-as-a-whiteout", tar(file("x", cap=RAW), pax({"path": ".wh.x"}, flag=b"g")), {}, ("docker", "podman", "umoci")),
    raw("global-header-below-a-file", tar(file("x", cap=RAW), pax({"path": "x/y"}, flag=b"g")), Refused("not a directory")),
    # Types
    raw("type-of-contiguous-file", tar(header("a", flag=b"7"), file("x", cap=RAW)), Refused("type flag")),
    raw("type-unknown", tar(header("a", flag=b"Z"), file("x", cap=RAW)), Refused("type flag")),
    raw("type-of-volume", tar(header("label", flag=b"V"), file("x", cap=RAW)), Refused("type flag")),
    raw("type-of-continuation", tar(header("a", flag=b"M"), file("x", cap=RAW)), Refused("type flag")),
    raw("type-of-dumpdir", tar(header("a", flag=b"D", size=4, magic=GNU), padded(b"Yx\0\0"), file("x", cap=RAW)), Refused("type flag")),
    # Checksums and ends
    raw("checksum-wrong", tar(header("x", checksum=b"000000\0 ")), CHECKSUM),
    raw("checksum-empty", tar(header("x", checksum=b"\0" * 8)), CHECKSUM),
    raw("checksum-signed", tar(header(b"\xe9", mode=0o4755, signed=True)), {"/\\xe9": "setuid=0 mode=4755"}),
    raw("checksum-of-spaces", tar(header("x", checksum=b" " * 8)), CHECKSUM),
    raw("no-end", file("x", cap=RAW), X),
    raw("one-block-of-end", file("x", cap=RAW) + bytes(512), X),
    raw("half-a-block-of-end", file("x", cap=RAW) + bytes(100), Refused("ends inside a header")),
    raw("end-then-more", tar(file("x", cap=RAW)) + INNER, X),
    raw("one-block-then-more", file("x", cap=RAW) + bytes(512) + INNER + END, Refused("one block of zeros")),
    raw("one-block-then-rubbish", file("x", cap=RAW) + bytes(512) + b"\xff" * 512, CHECKSUM),
    raw("one-block-then-half", file("x", cap=RAW) + bytes(512) + bytes(100), Refused("ends inside a header")),
    raw("end-then-rubbish", tar(file("x", cap=RAW)) + b"\xff" * 1000, X),
    raw("nothing", b"", {}),
    raw("end-only", END, {}),
    raw("one-byte", b"\0", Refused("ends inside a header")),
    raw("cut-in-the-content", file("a", b"y" * 1000)[:1200], Refused("ends inside")),
    raw("cut-in-the-padding", file("x", cap=RAW)[:-1], X),
    raw("cut-before-the-padding", file("x", b"z", cap=RAW)[:-511], X),
    raw("cut-in-the-header", file("x", cap=RAW) + file("a")[:300], Refused("ends inside a header")),
    raw("cut-in-the-pax-data", pax({CAPABILITY: RAW})[:540], Refused("ends inside")),
    raw("cut-behind-the-pax-data", pax({CAPABILITY: RAW}), {}),
    raw("text", b"this is no archive" * 100, CHECKSUM),
    # Sparse files: containerd reads the old GNU form and then refuses its type (createTarFile, "unhandled tar header type")
    raw("sparse-gnu", tar(gnu_sparse("x", 100_000, [(0, 5), (99_000, 5)], b"helloworld", mode=0o4755), file("y", cap=RAW)), Refused("type flag")),
    raw("sparse-gnu-continued", tar(gnu_sparse("x", 4096, FOUR, b"hello", b"\1", mode=0o4755)[:512] + (octal(2048, 12) + octal(1, 12)).ljust(512, b"\0") + padded(b"hello"), file("y", cap=RAW)), Refused("type flag")),
    raw("sparse-gnu-overlapping", tar(gnu_sparse("x", 100, [(0, 10), (5, 10)], b"x" * 20)), Refused("sparse map")),
    raw("sparse-gnu-backwards", tar(gnu_sparse("x", 100, [(50, 10), (0, 10)], b"x" * 20)), Refused("sparse map")),
    raw("sparse-gnu-outside", tar(gnu_sparse("x", 10, [(5, 10)], b"x" * 10)), Refused("sparse map")),
    raw("sparse-gnu-stores-less", tar(gnu_sparse("x", 100, [(0, 50)], b"x" * 10)), Refused("sparse")),
    raw("sparse-gnu-of-8-gib", tar(gnu_sparse("x", (1 << 33) - 1, [(1 << 20, 5)], b"hello", mode=0o4755)), Refused("type flag")),
    raw("sparse-in-ustar", tar(header("x", flag=b"S")), Refused("sparse")),
    raw("sparse-0.0", tar(pax_sparse(record("GNU.sparse.size", "10") + record("GNU.sparse.numblocks", "1") + record("GNU.sparse.offset", "5") + record("GNU.sparse.numbytes", "5"), b"hello")), {"/GNUSparseFile.0/x": PING}),
    raw("sparse-0.0-out-of-order", tar(pax_sparse(record("GNU.sparse.size", "10") + record("GNU.sparse.numblocks", "1") + record("GNU.sparse.numbytes", "5") + record("GNU.sparse.offset", "5"), b"hello")), Refused("PAX header")),
    raw("sparse-0.1", tar(pax_sparse({**V01, "GNU.sparse.map": "5,5"}, b"hello")), X),
    raw("sparse-0.1-count-wrong", tar(pax_sparse({**V01, "GNU.sparse.map": "5,5,8,1"}, b"hello")), Refused("sparse map")),
    raw("sparse-0.1-no-number", tar(pax_sparse({**V01, "GNU.sparse.map": "5,x"}, b"hello")), Refused("not a number")),
    raw("sparse-1.0", tar(pax_sparse({**V1, "GNU.sparse.realsize": "10"}, b"1\n5\n5\n".ljust(512, b"\0") + b"hello")), X),
    raw("sparse-1.0-map-too-short", tar(pax_sparse({**V1, "GNU.sparse.realsize": "10"}, b"9\n5\n5\n".ljust(512, b"\0") + b"hello")), Refused("sparse map")),
    raw("sparse-1.0-map-of-a-billion", tar(pax_sparse({**V1, "GNU.sparse.realsize": "10"}, b"999999999\n".ljust(512, b"\0") + b"hello")), Refused("sparse map")),
    raw("sparse-1.0-name-climbs", tar(pax_sparse({**V1, "GNU.sparse.name": "../../x", "GNU.sparse.realsize": "5"}, b"1\n0\n5\n".ljust(512, b"\0") + b"hello")), X, ("docker",)),
    raw("sparse-1.0-name-beats-path", tar(pax_sparse({"path": "a", **V1, "GNU.sparse.realsize": "5"}, b"1\n0\n5\n".ljust(512, b"\0") + b"hello")), X),
    raw("sparse-of-a-directory", tar(pax({**V1, "GNU.sparse.realsize": "0"}), header("d", flag=b"5")), Refused("sparse")),
    raw("sparse-of-unknown-version", tar(pax({"GNU.sparse.major": "2", "GNU.sparse.minor": "0", CAPABILITY: RAW}), header("x")), X),
    raw("sparse-size-negative", tar(pax_sparse({**V1, "GNU.sparse.realsize": "-1"}, b"0\n".ljust(512, b"\0"))), Refused("sparse")),
    # Lists of files
    raw("many-formats", tar(header("a", magic=V7), header("b", magic=GNU), header("c"), directory("d"), symlink("e", "a"), file("x", cap=RAW)), X),
)
# fmt: on
