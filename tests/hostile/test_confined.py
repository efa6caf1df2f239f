# SPDX-License-Identifier: Apache-2.0
"""caplet needs nothing of the machine: it works as nobody, without capabilities, on a read-only root, without /proc.

A scan is read-only by construction; a grant writes below its output and nowhere else.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import RAW, file, tar
from tests.layouts import Layout
from tests.reach import closed_directory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOBODY = 65534
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 4096, 16384, 1 << 18
CLONE_NEWNS = 0x20000
LAST_CAP = 63
LOADED = "import caplet.cli.main, caplet.scan, caplet.grant, sys; from caplet.cli.main import run; sys.exit(run(sys.argv[1:]))"

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root", "reachable")]


PYTHON = os.path.realpath(sys.base_prefix)
CLOSED = closed_directory(PYTHON)
"""Where the interpreter lies below a directory of root's own: that one."""


def confined(work: Path, writable: str | None) -> Callable[[], None]:
    """What a child does before it becomes caplet: its own mounts, an empty bounding set, another user."""
    held = os.fsencode(work / "python")
    os.makedirs(held, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)

    def check(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def confine() -> None:
        check(libc.unshare(CLONE_NEWNS))
        check(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None))
        if CLOSED is not None:
            check(libc.mount(os.fsencode(PYTHON), held, None, MS_BIND | MS_REC, None))
            check(libc.mount(b"opened", os.fsencode(CLOSED), b"tmpfs", 0, b"mode=755"))
            os.makedirs(PYTHON)
            check(libc.mount(held, os.fsencode(PYTHON), None, MS_BIND | MS_REC, None))
        if writable is not None:
            path = os.fsencode(writable)
            check(libc.mount(path, path, None, MS_BIND, None))
        check(libc.mount(b"/", b"/", None, MS_BIND | MS_REC, None))
        check(libc.chroot(b"/"))
        check(libc.mount(b"/", b"/", None, MS_BIND | MS_REMOUNT | MS_RDONLY, None))
        check(libc.mount(b"nothing", b"/proc", b"tmpfs", MS_RDONLY, None))
        for number in range(LAST_CAP + 1):
            libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))

    return confine


def caplet(work: Path, *arguments: str, writable: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        (sys.executable, "-c", LOADED, *arguments),
        preexec_fn=confined(work, writable),
        env=environment,
        cwd=work,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def image(tmp_path: Path) -> str:
    for directory in (tmp_path, *tmp_path.parents):
        if str(directory) == "/tmp":
            break
        os.chmod(directory, 0o755)
    layout = Layout(str(tmp_path / "image"))
    layout.image([tar(file("x", cap=RAW))])
    return f"oci:{layout.path}"


def test_a_scan_needs_nothing(image: str, tmp_path: Path) -> None:
    done = caplet(tmp_path, "scan", image)
    assert (done.returncode, done.stdout, done.stderr) == (0, "/x cap_net_raw=ep\n", "")


def test_a_refusal_needs_nothing(image: str, tmp_path: Path) -> None:
    done = caplet(tmp_path, "scan", f"{image}:other")
    assert done.returncode == 2
    assert done.stderr.startswith("caplet: ")
    assert "Traceback" not in done.stderr


def test_a_grant_needs_its_output_alone(image: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    os.chown(out, NOBODY, NOBODY)
    done = caplet(
        tmp_path, "grant", image, "-o", f"oci:{out}/image:tag", "/x=cap_net_admin+ep", writable=str(out)
    )
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    again = caplet(tmp_path, "scan", f"oci:{out}/image:tag")
    assert again.stdout == "/x cap_net_admin=ep\n"
