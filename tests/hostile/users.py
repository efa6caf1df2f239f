# SPDX-License-Identifier: Apache-2.0
"""USER in every odd spelling. A scan reads any image whatever it says; who it means is `resolve_user`'s answer.

The answers are those of `ctr containers create`, which fills in the container's specification (containerd pkg/oci,
spec_opts.go, WithUser), without the supplementary groups.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.hostile.blocks import RAW, file, symlink, tar
from tests.hostile.case import Case, stack

PASSWD = b"""root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:
app:x:1000:1001::/:
app:x:2000:2001::/:
1234:x:77:78::/:
twice:x:5:6::/:
nogid:x:9
spaces :x:10:11::/:
huge:x:4294967296:4294967296::/:
minus:x:-1:-1::/:
"""
GROUP = b"""root:x:0:
app:x:1001:app
web:x:33:app,daemon
5678:x:88:
nogid:x:
"""
ROOT = tar(file("etc/passwd", PASSWD, mode=0o644), file("etc/group", GROUP, mode=0o644), file("x", cap=RAW))
EMPTY = tar(file("x", cap=RAW))
X = {"/x": "cap_net_raw=ep"}


@dataclass(frozen=True, slots=True)
class UserCase:
    """Who a USER is: (uid, gid), or a part of why nobody."""

    user: str
    expected: tuple[int, int] | str
    layer: bytes = ROOT


USERS: dict[str, UserCase] = {
    "empty": UserCase("", (0, 0)),
    "number": UserCase("1000", (1000, 1001)),
    "number-without-entry": UserCase("4000", (4000, 0)),
    "name": UserCase("app", (1000, 1001)),
    "name-unknown": UserCase("nobody", "not in the image's /etc/passwd"),
    "name-that-is-a-number": UserCase("1234", (1234, 0)),
    "number-and-group": UserCase("1000:5", (1000, 5)),
    "name-and-group": UserCase("app:web", (1000, 33)),
    "name-and-number": UserCase("daemon:7", (1, 7)),
    "group-unknown": UserCase("app:nobody", "not in the image's /etc/group"),
    "group-that-is-a-number": UserCase("app:5678", (1000, 5678)),
    "group-only": UserCase(":33", (0, 33)),
    "user-with-colon": UserCase("app:", (1000, 0)),
    "three-parts": UserCase("app:web:x", "colon"),
    "leading-zeros": UserCase("0001000", (1000, 1001)),
    "plus": UserCase("+1000", (1000, 1001)),
    "minus": UserCase("-1", "out of range"),
    "hexadecimal": UserCase("0x10", "not in the image's /etc/passwd"),
    "largest": UserCase("2147483647", (2147483647, 0)),
    "too-large": UserCase("2147483648", "out of range"),
    "too-large-for-32-bits": UserCase("4294967296", "out of range"),
    "too-large-for-64-bits": UserCase("99999999999999999999", "out of range"),
    "space": UserCase(" app", "not in the image's /etc/passwd"),
    "entry-without-gid": UserCase("nogid", (9, 0)),
    "no-files": UserCase("app", "no /etc/passwd", EMPTY),
    "no-files-number": UserCase("1000", (1000, 0), EMPTY),
    "files-behind-links": UserCase(
        "app",
        (1000, 1001),
        tar(file("usr/passwd", PASSWD), symlink("etc/passwd", "../usr/passwd"), file("x", cap=RAW)),
    ),
    "file-a-link-out": UserCase(
        "root", "passwd", tar(symlink("etc/passwd", "../../../../etc/passwd"), file("x", cap=RAW))
    ),
}

ODD: dict[str, str] = {name: case.user for name, case in USERS.items()} | {
    "controls": "\x1b[2J\u202e",
    "newline": "root\n",
    "long": "u" * 100_000,
    "slashes": "../../etc/passwd",
    "template": "${USER}",
}

CASES: tuple[Case, ...] = tuple(
    stack(f"user-{name}", USERS[name].layer if name in USERS else ROOT, X, config={"User": user})
    for name, user in ODD.items()
)
