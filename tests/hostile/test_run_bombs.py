# SPDX-License-Identifier: Apache-2.0
"""Images that would fill the machine when a container is made of them: refused in one line, in bounded memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import BLOCK, GNU, file, header, pax, tar
from tests.hostile.case import Blob, write_image
from tests.hostile.test_bombs import GIB, GZIP, ZSTD, packed, plain, zeros_gzip, zeros_zstd
from tests.hostile.watched import watched
from tests.layouts import Layout
from tests.run.test_unpack import extract

from caplet.image.layer import Entry, TarWriter
from caplet.programs.shipped import path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

TIB = 1 << 40
MEGABYTES = 256

POD = "kind: Pod\nspec: {containers: [{name: a, command: [/app]}]}\n"


def app() -> bytes:
    return file("app", path("probe").read_bytes())


def pax_sparse(name: str, size: int) -> bytes:
    """PAX 1.0: a map of no pieces before no content."""
    records = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": name,
        "GNU.sparse.realsize": str(size),
    }
    return pax(records) + header(name, size=BLOCK) + b"0\n".ljust(BLOCK, b"\0")


def gnu_sparse(name: str, size: int) -> bytes:
    """Old GNU: type S, the map and the real size in the header; one empty piece at the end."""
    real = b"\x80" + size.to_bytes(11, "big")
    place = b"\x80" + size.to_bytes(11, "big") + b"%011o\0" % 0
    return header(name, flag=b"S", magic=GNU, at={386: place, 483: real})


# fmt: off
BOMBS: dict[str, tuple[Callable[[], Blob], str, int]] = {
    "pax-sparse-file-of-a-tebibyte": (lambda: plain(tar(app(), pax_sparse("big", TIB))), "the largest is /big, 1,099,511,627,776 bytes", MEGABYTES),
    "gnu-sparse-file-of-a-tebibyte": (lambda: plain(tar(app(), gnu_sparse("big", TIB))), "unhandled tar header type", MEGABYTES),
    "a-hundred-sparse-files": (lambda: plain(tar(app(), *(pax_sparse(f"f{n}", 64 * GIB) for n in range(100)))), "the largest is /f0, 68,719,476,736 bytes", MEGABYTES),
    "sparse-program": (lambda: plain(tar(pax_sparse("app", TIB))), "the largest is /app", MEGABYTES),
    "gzip-of-4-gib": (lambda: Blob(zeros_gzip(4 * GIB), GZIP), "1000:1", MEGABYTES),
    "zstd-of-64-gib": (lambda: Blob(zeros_zstd(64 * GIB, 7), ZSTD), "1000:1", MEGABYTES),
    "a-tebibyte-that-is-not-there": (lambda: packed(tar(app(), header("big", size=TIB))), "ends", MEGABYTES),
}
# fmt: on


@pytest.mark.parametrize("name", BOMBS)
def test_a_container_of_a_bomb_is_refused(name: str, tmp_path: Path) -> None:
    make, says, megabytes = BOMBS[name]
    layout = Layout(str(tmp_path / "image"))
    write_image(layout, [make()], "latest")
    (tmp_path / "pod.yaml").write_text(POD)
    before = mounts()
    found = watched(
        str(tmp_path),
        "run",
        str(tmp_path / "pod.yaml"),
        "--image",
        f"oci:{layout.path}",
        "--runtime",
        "embedded",
    )
    assert (found.code, found.out) == (125, ""), found
    assert says in found.err
    assert len(found.err.splitlines()) <= 2
    assert found.megabytes <= megabytes
    assert mounts() == before


def mounts() -> int:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return len(file.readlines())


def test_a_sparse_file_takes_no_memory(tmp_path: Path) -> None:
    """256 MiB of hole on a tmpfs of 8 MiB."""
    from caplet.run import linux

    size = 256 << 20

    def send(fd: int) -> None:
        with open(fd, "wb", closefd=False) as pipe:
            writer = TarWriter(pipe.write)
            pieces = [b"begin".ljust(1 << 20, b"\0"), *([bytes(1 << 20)] * 254), b"end".rjust(1 << 20, b"\0")]
            writer.add(Entry(b"big", size=size), pieces)
            writer.close()

    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            linux.unshare(linux.CLONE_NEWNS)
            linux.make_private("/")
            linux.mount("small", str(tmp_path), "tmpfs", 0, "size=8m")
            said = extract(send, str(tmp_path))
            found = os.stat(tmp_path / "big")
            with open(tmp_path / "big", "rb") as file:
                first = file.read(5)
                file.seek(-3, os.SEEK_END)
                last = file.read()
            good = (said, found.st_size, first, last) == ("", size, b"begin", b"end")
            code = 0 if good and found.st_blocks * 512 <= 4 << 20 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
