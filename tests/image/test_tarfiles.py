# SPDX-License-Identifier: Apache-2.0
"""The files of an image archive are found by name and offset as tarfile finds them, large ones without reading them."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from caplet.errors import ImageError
from caplet.image import tarfiles
from caplet.image.tarfiles import SEEK_FROM, TarFiles

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["a", "./b", "dir/c", "dir//d", "e/../f", "x" * 150, "dir/" + "y" * 120, "blobs/sha256/" + "0" * 64]
SIZES = [0, 1, 511, 512, 513, 100_000, SEEK_FROM - 1, SEEK_FROM, SEEK_FROM + 1]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(SIZES)), max_size=6),
    form=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_as_tarfile_reads_it(tmp_path: Path, members: list[tuple[str, int]], form: int) -> None:
    path = str(tmp_path / "archive.tar")
    content = os.urandom(max(SIZES))
    with tarfile.open(path, "w", format=form) as archive:
        for name, size in members:
            info = tarfile.TarInfo(name)
            info.size = size
            archive.addfile(info, io.BytesIO(content))
    files = TarFiles(path)
    with tarfile.open(path) as archive:
        last = {os.path.normpath(one.name): one for one in archive}
        for name, member in last.items():
            found = files.find(name)
            assert found is not None
            assert found.size == member.size
            stream = archive.extractfile(member)
            assert stream is not None
            assert b"".join(found.read(at, 1 << 18) for at in range(0, found.size, 1 << 18)) == stream.read()


def archive_of(path: Path, links: list[tuple[str, str, bytes]]) -> TarFiles:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("real")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"data"))
        for name, target, kind in links:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
    return TarFiles(str(path))


def test_links(tmp_path: Path) -> None:
    files = archive_of(
        tmp_path / "a.tar",
        [
            ("dir/up", "../real", tarfile.SYMTYPE),
            ("dir/twice", "up", tarfile.SYMTYPE),
            ("hard", "real", tarfile.LNKTYPE),
            ("out", "../../etc/passwd", tarfile.SYMTYPE),
            ("absolute", "/real", tarfile.SYMTYPE),
            ("fifo", "", tarfile.FIFOTYPE),
        ],
    )
    for name in ("dir/up", "dir/twice", "hard"):
        found = files.find(name)
        assert found is not None
        assert found.read(0, 9) == b"data"
    for name in ("out", "absolute", "fifo", "none"):
        assert files.find(name) is None


def test_links_in_a_circle(tmp_path: Path) -> None:
    files = archive_of(tmp_path / "a.tar", [("x", "y", tarfile.SYMTYPE), ("y", "x", tarfile.SYMTYPE)])
    with pytest.raises(ImageError, match="leads nowhere"):
        files.find("x")


def test_members_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarfiles, "MAX_MEMBERS", 3)
    with pytest.raises(ImageError, match="more than 3 members"):
        archive_of(tmp_path / "a.tar", [(f"l{number}", "real", tarfile.SYMTYPE) for number in range(3)])


def test_large_content_is_not_read(tmp_path: Path) -> None:
    """A member of 40 GiB, all hole: read, it would take half a minute."""
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("huge")
    info.size = 40 << 30
    header = info.tobuf(tarfile.GNU_FORMAT)
    with open(path, "wb") as out:
        out.write(header)
        out.truncate(len(header) + info.size)
        out.seek(0, os.SEEK_END)
        end = tarfile.TarInfo("end")
        out.write(end.tobuf() + bytes(1024))
    assert "end" in TarFiles(str(path))
