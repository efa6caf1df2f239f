# SPDX-License-Identifier: Apache-2.0
"""Names that move the cursor, reverse the line, end it, or are no text at all; and names that are too long for Linux."""

from __future__ import annotations

from tests.hostile.blocks import CAPABILITY, RAW, directory, file, header, long_name, pax, symlink, tar
from tests.hostile.case import Case, Refused, stack

PING = "cap_net_raw=ep"
LONG = "/".join("abcdefghijklmnopqrstuvwxyz"[step % 26] * 200 for step in range(20))
"""4019 bytes."""


def one(name: str, stored: str | bytes, shown: str) -> Case:
    return stack(name, tar(file(stored, cap=RAW)), {shown: PING})


# fmt: off
CASES: tuple[Case, ...] = (
    one("newline", "a\nb", "/a\\x0ab"),
    one("a-line-of-its-own", "a\n/usr/bin/ping", "/a\\x0a/usr/bin/ping"),
    one("carriage-return", "a\rb", "/a\\x0db"),
    one("escape-sequence", "\x1b[2J\x1b[31mred", "/\\x1b[2J\\x1b[31mred"),
    one("backspaces", "evil\b\b\b\bgood", "/evil\\x08\\x08\\x08\\x08good"),
    one("tab-and-bell", "a\t\ab", "/a\\x09\\x07b"),
    one("delete", "a\x7fb", "/a\\x7fb"),
    one("c1-control", "a\u009b31mb", "/a\\x9b31mb"),
    one("right-to-left", "a\u202egpj.exe", "/a\\u202egpj.exe"),
    one("isolate", "a\u2066b\u2069", "/a\\u2066b\\u2069"),
    one("zero-width", "a\u200bb\ufeff", "/a\\u200bb\\ufeff"),
    one("line-separator", "a\u2028b", "/a\\u2028b"),
    one("latin-1", b"caf\xe9", "/caf\\xe9"),
    one("bytes-that-are-no-utf-8", b"\xff\xfe\x80", "/\\xff\\xfe\\x80"),
    one("surrogate-in-utf-8", b"\xed\xa0\x80", "/\\xed\\xa0\\x80"),
    one("overlong-slash", b"\xc0\xaf", "/\\xc0\\xaf"),
    one("utf-8", "grüße/日本", "/grüße/日本"),
    one("not-assigned", "\U0010ffff", "/\\U0010ffff"),
    one("quotes-and-dollars", "$(id)`id`'\"", "/$(id)`id`'\""),
    one("looks-like-output", "x cap_sys_admin=ep", "/x cap_sys_admin=ep"),
    one("nul-in-the-header", b"a\0b", "/a"),
    stack("nul-in-the-path-record", tar(pax({"path": b"a\0b", CAPABILITY: RAW}), header("x")), Refused("NUL")),
    stack("nul-in-the-long-name", tar(long_name(b"a\0b"), file("x", cap=RAW)), {"/a": PING}),
    stack("controls-in-a-refusal", tar(file("\x1b[2J\u202ex", cap=b"bad")), Refused("\\x1b[2J\\u202ex")),
    stack("controls-in-a-divergence", tar(file("\x1b[2J", cap=RAW), file("\x1b[2J", cap=RAW)), {"/\\x1b[2J": PING}, ("docker", "podman", "skopeo")),
    stack("controls-in-a-link", [tar(symlink("l", "\x1b[2J\u202e")), tar(file("l/x", cap=RAW))], {"/l/x": PING}, ("umoci", "vfs")),
    stack("component-of-255", tar(file("n" * 255, cap=RAW)), {"/" + "n" * 255: PING}),
    stack("component-of-256", tar(file("n" * 256, cap=RAW)), Refused("too long")),
    stack("directory-of-256", tar(file("n" * 256 + "/x", cap=RAW)), Refused("too long")),
    stack("path-of-4019", tar(file(LONG, cap=RAW)), {f"/{LONG}": PING}, apart="there the path of its own directory counts as well"),
    stack("path-of-2000", tar(file(LONG[:2000], cap=RAW)), {"/" + LONG[:2000]: PING}),
    stack("path-of-4096", tar(file(LONG + "/" + "z" * 75, cap=RAW)), {f"/{LONG}/" + "z" * 75: PING}, apart="there the path of its own directory counts as well"),
    stack("path-of-4097", tar(file(LONG + "/" + "z" * 76, cap=RAW)), Refused("too long")),
    stack("long-but-clean", tar(file("./" * 4000 + "x", cap=RAW)), {"/x": PING}),
    stack("four-hundred-directories", tar(directory("/".join("d" * 400)), file("/".join("d" * 400) + "/x", cap=RAW)), {"/" + "/".join("d" * 400) + "/x": PING}),
)
# fmt: on
