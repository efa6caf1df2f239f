# SPDX-License-Identifier: Apache-2.0
"""Images that make a careless grant break something else: what to grant there, and which names of the file must have it."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.layouts import (
    ELF,
    NET_BIND_SERVICE,
    Item,
    directory,
    file,
    hardlink,
    opaque,
    symlink,
    tar,
    whiteout,
)

NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
REVISION_3 = bytes.fromhex("010000030004000000000000000000000000000000000100")

Layer = bytes | Sequence[Item]


@dataclass(frozen=True, slots=True)
class Case:
    """One image and one grant."""

    layers: Sequence[Layer] | Callable[[str], Sequence[Layer]]
    """Or a function of a work directory that makes them."""
    path: str
    names: Sequence[str]
    """Below the root, without a leading slash: what must have the capability afterwards."""
    compression: str = "gzip"
    image: Mapping[str, Any] = field(default_factory=dict)

    def made(self, work: str) -> Sequence[Layer]:
        return self.layers(work) if callable(self.layers) else self.layers


USR = (directory("usr"), directory("usr/bin"))
APP = file("usr/bin/app", ELF + b"app", uname="root", gname="root")
MERGED = (
    *USR,
    symlink("bin", "usr/bin"),
    symlink("sbin", "usr/bin"),
    APP,
    file("usr/bin/other", b"#!/bin/sh\n"),
)


def sparse(work: str) -> Sequence[Layer]:
    """A file with holes, as GNU tar stores it; the old form, type flag S, is refused by containerd."""
    with open(f"{work}/holes", "wb") as out:
        out.write(ELF)
        out.seek(700_000)
        out.write(b"end")
        out.truncate(1 << 20)
    options = ("--format=pax", "--sparse", "--sparse-version=1.0", "--mode=0755", "--owner=0", "--group=0")
    command = ("tar", "-C", work, *options, "--mtime=@1600000000", "-cf", "-", "holes")
    return [USR, subprocess.run(command, check=True, capture_output=True).stdout]


DEEP = "/".join(["d" * 120, "e" * 120, "f" * 120])

CASES: Mapping[str, Case] = {
    "from-scratch": Case([[file("app", ELF)]], "/app", ["app"]),
    "usr-merge": Case([MERGED, [directory("etc"), file("etc/x")]], "/bin/app", ["usr/bin/app"]),
    "usr-merge-replaced-in-upper-layer": Case(
        [MERGED, [*USR, file("usr/bin/app", ELF + b"new")]], "/bin/app", ["usr/bin/app"]
    ),
    "final-link": Case(
        [
            [*USR, directory("opt"), file("opt/app-1.2", ELF), symlink("usr/bin/app", "../../opt/app-1.2")],
            [directory("tmp", 0o1777)],
        ],
        "/usr/bin/app",
        ["opt/app-1.2"],
    ),
    "absolute-links-across-layers": Case(
        [
            [*USR, APP],
            [directory("alt"), symlink("alt/app", "/usr/bin/app"), symlink("usr/bin/run", "/alt/app")],
        ],
        "/usr/bin/run",
        ["usr/bin/app"],
    ),
    "hard-links": Case(
        [
            [
                *USR,
                directory("z"),
                APP,
                hardlink("usr/bin/b", "usr/bin/app"),
                hardlink("z/c", "usr/bin/b"),
                hardlink("a", "z/c"),
            ]
        ],
        "/usr/bin/b",
        ["a", "usr/bin/app", "usr/bin/b", "z/c"],
    ),
    "hard-link-removed-above": Case(
        [
            [*USR, APP, hardlink("usr/bin/b", "usr/bin/app"), hardlink("usr/bin/c", "usr/bin/app")],
            [*USR, whiteout("usr/bin/app")],
        ],
        "/usr/bin/c",
        ["usr/bin/b", "usr/bin/c"],
    ),
    "hard-link-replaced-above": Case(
        [[*USR, APP, hardlink("usr/bin/b", "usr/bin/app")], [*USR, file("usr/bin/b", b"other")]],
        "/usr/bin/app",
        ["usr/bin/app"],
    ),
    "replaced-later-without": Case(
        [[*USR, file("usr/bin/app", ELF, xattrs={"security.capability": NET_RAW})], [*USR, APP]],
        "/usr/bin/app",
        ["usr/bin/app"],
    ),
    "opaque-directory": Case(
        [
            [*USR, APP, file("usr/bin/gone")],
            [directory("usr"), directory("usr/bin", 0o711), opaque("usr/bin"), file("usr/bin/app", ELF)],
        ],
        "/usr/bin/app",
        ["usr/bin/app"],
    ),
    "whiteout-then-again": Case(
        [[*USR, APP], [*USR, whiteout("usr/bin/app")], [*USR, file("usr/bin/app", ELF + b"2")], [file("x")]],
        "/usr/bin/app",
        ["usr/bin/app"],
    ),
    "parents-with-everything": Case(
        [
            [
                directory("srv", 0o1777, uid=7, gid=8, pax={"mtime": "1600000000.123456789"}),
                directory("srv/a", 0o2750, uid=1000, gid=1000, xattrs={"user.note": b"\xff\x00\n"}),
                directory("srv/a/b", 0o700, uid=65534, gid=65534, mtime=1),
                file("srv/a/b/app", ELF, 0o750, uid=1000, gid=5),
            ],
            [directory("usr")],
        ],
        "/srv/a/b/app",
        ["srv/a/b/app"],
    ),
    "parents-changed-above": Case(
        [
            [*USR, APP],
            [directory("usr", 0o711, uid=3), directory("usr/bin", 0o1711, gid=4, mtime=77)],
            [file("usr/bin/new", b"1")],
        ],
        "/usr/bin/app",
        ["usr/bin/app"],
    ),
    "parents-without-entries": Case(
        [[file("opt/app/bin/app", ELF)], [file("opt/app/x")]], "/opt/app/bin/app", ["opt/app/bin/app"]
    ),
    "set-id-and-sub-second": Case(
        [[*USR, file("usr/bin/su", ELF, 0o6755, uid=1000, gid=1001, pax={"mtime": "1600000000.000000001"})]],
        "/usr/bin/su",
        ["usr/bin/su"],
    ),
    "other-attributes": Case(
        [
            [
                file(
                    "app",
                    ELF,
                    xattrs={"user.a": b"\x00\xff", "user.b": b"text=1\n2", "trusted.overlay.opaque": b"y"},
                )
            ]
        ],
        "/app",
        ["app"],
    ),
    "another-capability": Case(
        [[file("app", ELF, xattrs={"security.capability": NET_RAW})]], "/app", ["app"]
    ),
    "revision-3": Case([[file("app", ELF, xattrs={"security.capability": REVISION_3})]], "/app", ["app"]),
    "long-names": Case([[directory("x"), file(f"x/{DEEP}/app", ELF)]], f"/x/{DEEP}/app", [f"x/{DEEP}/app"]),
    "odd-names": Case(
        [[directory("d\udcff\u00e9 \n"), file("d\udcff\u00e9 \n/a=b", ELF), file("d\udcff\u00e9 \n/a")]],
        "/d\udcff\u00e9 \n/a=b",
        ["d\udcff\u00e9 \n/a=b"],
    ),
    "sparse-pax": Case(sparse, "/holes", ["holes"]),
    "gnu-format": Case(
        [tar([*MERGED, file("usr/bin/" + "n" * 120, ELF)], tarfile.GNU_FORMAT)],
        "/bin/" + "n" * 120,
        ["usr/bin/" + "n" * 120],
    ),
    "dot-slash-names-and-root": Case(
        [
            [
                directory("./", 0o711, mtime=9),
                directory("./usr"),
                directory("./usr/bin"),
                file("./usr/bin/app", ELF),
            ]
        ],
        "/usr/bin/app",
        ["usr/bin/app"],
    ),
    "large-numbers": Case(
        [[file("app", ELF, uid=3_000_000, gid=4_000_000_000, mtime=1 << 32)]], "/app", ["app"]
    ),
    "empty-and-whole-blocks": Case([[file("empty"), file("app", b"x" * 1024)]], "/app", ["app"]),
    "zstd-layers": Case([MERGED, [file("y")]], "/bin/app", ["usr/bin/app"], "zstd"),
    "plain-layers": Case([MERGED, [file("y")]], "/bin/app", ["usr/bin/app"], "none"),
    "several-entries-of-one-name": Case(
        [[file("app", b"old"), file("b", ELF), file("app", ELF)]], "/app", ["app"]
    ),
}

BIND = NET_BIND_SERVICE
