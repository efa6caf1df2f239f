# SPDX-License-Identifier: Apache-2.0
"""Guesses for hints: a name along PATH, the program behind a wrapper or a script."""

from __future__ import annotations

import pytest

from caplet.image.config import ImageConfig
from caplet.image.meant import behind, named
from caplet.image.rootfs import File, Rootfs

ELF = b"\x7fELF" + bytes(60)
PROGRAMS = (
    "/usr/sbin/nginx",
    "/usr/bin/env",
    "/usr/bin/tini",
    "/usr/bin/gosu",
    "/usr/bin/python3",
    "/bin/sh",
    "/srv/app",
)
FILES: dict[str | bytes, File | bytes] = {
    **{path: File(ELF, 0o755) for path in PROGRAMS},
    "/entry.sh": File(b"#!/bin/sh\n", 0o755),
    "/srv/x.py": File(b"#!/usr/bin/python3\n", 0o755),
}
ROOTFS = Rootfs.of(FILES)


def config(working_dir: str = "/") -> ImageConfig:
    return ImageConfig.parse(
        b'{"architecture":"amd64","os":"linux","config":{"WorkingDir":"%s"},"rootfs":{"type":"layers","diff_ids":[]}}'
        % working_dir.encode()
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"nginx", b"/usr/sbin/nginx"),
        (b"usr/sbin/nginx", b"/usr/sbin/nginx"),
        (b"./srv/app", b"/srv/app"),
        (b"entry.sh", b"/entry.sh"),
        (b"app", None),
        (b"gone", None),
    ],
)
def test_a_name_without_its_slash(name: bytes, path: bytes | None) -> None:
    assert named(ROOTFS, config(), name) == path


BEHIND: dict[str, tuple[list[str], bytes | None]] = {
    "a script": (["/entry.sh", "nginx", "-g", "daemon off;"], b"/usr/sbin/nginx"),
    "an init": (["/usr/bin/tini", "-g", "--", "nginx"], b"/usr/sbin/nginx"),
    "wrapper behind wrapper": (["tini", "--", "gosu", "nobody", "nginx"], b"/usr/sbin/nginx"),
    "env with a variable": (["/usr/bin/env", "A=nginx", "/srv/app"], b"/srv/app"),
    "a command line": (["/bin/sh", "-c", "set -e; exec nginx -v"], b"/usr/sbin/nginx"),
    "an unpaired quote": (["/bin/sh", "-c", "nginx -m 'don"], b"/usr/sbin/nginx"),
    "a relative path": (["/usr/bin/env", "./app"], b"/srv/app"),
    "an interpreter": (["/usr/bin/env", "python3", "/srv/x.py"], None),
    "a script's script": (["/entry.sh", "/srv/x.py"], None),
    "nothing": (["/entry.sh"], None),
}


@pytest.mark.parametrize(("argv", "path"), BEHIND.values(), ids=list(BEHIND))
def test_what_a_wrapper_starts(argv: list[str], path: bytes | None) -> None:
    assert behind(ROOTFS, config("/srv"), argv) == path
