# SPDX-License-Identifier: Apache-2.0
"""The tar writer, judged by the reader, by tarfile and by GNU tar; the reader, cut off at every byte."""

from __future__ import annotations

import io
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.layouts import directory, file, hardlink, symlink, tar

from caplet.errors import InvalidInput
from caplet.image.layer import Entry, Kind, TarReader, TarWriter
from caplet.image.pax import TEXTS, format_record, format_time, parse_records, parse_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

names = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and name.strip(b"/"))
keys = st.binary(min_size=1, max_size=20).filter(lambda key: not {0, 0x3D} & set(key))
numbers = st.integers(0, 1 << 40)
CONTENT = (Kind.FILE,)


@st.composite
def entries(draw: st.DrawFn) -> tuple[Entry, bytes]:
    """An entry and its content, as a reader gives it back: no trailing slash, no fields that its kind has not."""
    kind = draw(st.sampled_from([kind for kind in Kind if kind not in (Kind.OTHER, Kind.GLOBAL)]))
    content = draw(st.binary(max_size=1100)) if kind is Kind.FILE else b""
    link = kind in (Kind.HARDLINK, Kind.SYMLINK)
    device = kind in (Kind.CHAR, Kind.BLOCK)
    name = draw(names).rstrip(b"/")
    entry = Entry(
        name + b"/" if kind is Kind.DIRECTORY else name,
        kind,
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(numbers),
        gid=draw(numbers),
        size=len(content),
        mtime=draw(st.integers(-(1 << 62), 1 << 62)),
        linkname=draw(names) if link else b"",
        xattrs=draw(st.dictionaries(keys, st.binary(max_size=60), max_size=3)),
        uname=draw(st.sampled_from((b"", b"root", b"\xff", b"x" * 40))),
        gname=draw(st.sampled_from((b"", b"root"))),
        devmajor=draw(st.integers(0, 1 << 30)) if device else 0,
        devminor=draw(st.integers(0, 1 << 30)) if device else 0,
    )
    return entry, content


def written(*parts: tuple[Entry, bytes]) -> bytes:
    out = bytearray()
    writer = TarWriter(out.extend)
    for entry, content in parts:
        writer.add(entry, [content])
    writer.close()
    return bytes(out)


def read(archive: bytes, step: int = 1000) -> list[tuple[Entry, bytes]]:
    reader = TarReader(archive[start : start + step] for start in range(0, len(archive), step))
    return [(entry, b"".join(reader.content())) for entry in reader]


@given(st.lists(entries(), max_size=4), st.integers(1, 3000))
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read(parts: list[tuple[Entry, bytes]], step: int) -> None:
    assert read(written(*parts), step) == parts


@given(st.lists(entries(), max_size=3))
@settings(max_examples=60, deadline=None)
def test_tarfile_reads_what_is_written(parts: list[tuple[Entry, bytes]]) -> None:
    archive = io.BytesIO(written(*parts))
    with tarfile.open(fileobj=archive, errors="surrogateescape") as opened:
        members = opened.getmembers()
        contents = [b"" if not member.isreg() else opened.extractfile(member).read() for member in members]  # type: ignore[union-attr]
    assert contents == [content for _, content in parts]
    for member, (entry, _) in zip(members, parts, strict=True):
        assert member.name.encode("utf-8", "surrogateescape") == entry.name.rstrip(b"/")
        assert (member.mode, member.uid, member.gid) == (entry.mode, entry.uid, entry.gid)
        assert member.linkname.encode("utf-8", "surrogateescape") == entry.linkname


def test_gnu_tar_reads_attributes_and_long_names(tmp_path: Path, tool: Callable[[str], str]) -> None:
    name = b"d/" + b"n" * 200
    archive = written(
        (Entry(b"d/", Kind.DIRECTORY, 0o755), b""),
        (Entry(name, size=3, mode=0o4755, xattrs={b"user.x": b"\n\0\xff"}), b"abc"),
    )
    (tmp_path / "a.tar").write_bytes(archive)
    said = subprocess.run(
        (tool("tar"), "--xattrs", "-tvvf", tmp_path / "a.tar"), capture_output=True, check=True
    ).stdout
    assert b"-rwsr-xr-x* 0/0               3" in said
    assert name in said
    assert b"x: 3 user.x" in said


def test_same_entries_same_bytes_whatever_the_order_of_the_attributes() -> None:
    one = Entry(b"f", xattrs={b"a": b"1", b"b": b"2"})
    two = Entry(b"f", xattrs={b"b": b"2", b"a": b"1"})
    assert written((one, b"")) == written((two, b""))


@pytest.mark.parametrize("content", [b"ab", b"abcd"], ids=["short", "long"])
def test_content_of_another_size_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="3 bytes in its header"):
        written((Entry(b"f", size=3), content))


def test_a_long_name_never_looks_like_a_directory() -> None:
    block = written((Entry(b"a" * 99 + b"/" + b"b" * 200), b""))[1024:1536]
    assert block[:100].rstrip(b"\0") == b"a" * 99


def test_every_cut_of_an_archive_gives_a_result_or_a_refusal() -> None:
    """At each byte: entries so far and a clean end where one may be (between entries, or in padding), else a refusal."""
    archive = tar(
        [
            directory("d"),
            file("d/f", b"content" * 100, xattrs={"security.capability": b"\0" * 20}),
            symlink("l", "x" * 150),
            hardlink("h", "d/f"),
        ]
    )
    whole = read(archive)
    ends = 0
    for size in range(len(archive.rstrip(b"\0"))):
        try:
            part = read(archive[:size])
        except InvalidInput as error:
            assert "ends inside" in error.message  # noqa: PT017
            continue
        ends += 1
        assert part == whole[: len(part)]
    assert ends < 1500  # the padding of headers and of the content


@given(st.binary(max_size=200))
def test_pax_records_are_read_or_refused(data: bytes) -> None:
    try:
        records = parse_records(data)
    except InvalidInput:
        return
    assert all(key for key in records)


@given(
    st.dictionaries(
        keys.filter(lambda key: not key.startswith(b"GNU.sparse.") and key not in TEXTS),
        st.binary(max_size=2000),
    )
)
def test_pax_records_read_back(records: dict[bytes, bytes]) -> None:
    assert parse_records(b"".join(format_record(*pair) for pair in records.items())) == records


@given(st.integers(-(1 << 70), 1 << 70))
def test_times_read_back(nanoseconds: int) -> None:
    if abs(nanoseconds) < (1 << 63) * 10**9:
        assert parse_time(format_time(nanoseconds)) == nanoseconds


def test_a_capability_record_has_the_length_that_the_format_says() -> None:
    """pax(1), "pax Extended Header": key 32 bytes, value 20, and the digits of the length itself: 57."""
    assert len(format_record(b"SCHILY.xattr.security.capability", bytes(20))) == 57
