# SPDX-License-Identifier: Apache-2.0
"""The quick way through usual headers says what the general way says, of headers right and wrong."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.image.tarreader import TarReader

if TYPE_CHECKING:
    from caplet.image.entry import Entry

BLOCK = 512


class General(TarReader):
    """Without the quick way."""

    def _usual(self, block: bytes) -> Entry | None:
        del block
        return None


def _archive(form: int, names: list[str], sizes: list[int]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, size in zip(names, sizes, strict=True):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = size, 0o4755, 1_600_000_000
            if name.endswith("/"):
                info.type, info.size = tarfile.DIRTYPE, 0
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


def _said(reader: TarReader) -> list[object]:
    """Everything that the reader tells, up to its complaint."""
    said: list[object] = []
    try:
        said.extend(
            (entry, reader.header_at, reader.starts_at, b"".join(reader.content())) for entry in reader
        )
    except InvalidInput as error:
        said.append((error.message, error.hint))
    return said


def _signed(header: bytes) -> bytes:
    """With the checksum that belongs to it."""
    total = sum(header[:148]) + 8 * 0x20 + sum(header[156:BLOCK])
    return header[:148] + b"%06o\0 " % total + header[156:]


NAMES = ["etc/", "etc/hosts", "x" * 99, "y" * 100, "deep/" * 30 + "file", "etc/ünï"]
SIZES = [0, 7, 512, 513, 0, 1500]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("chunk", [1, 100, 512, 700, 1 << 20])
def test_good_archives(form: int, chunk: int) -> None:
    data = _archive(form, NAMES, SIZES)
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    said = _said(TarReader(pieces))
    assert len(said) == len(NAMES)
    assert said == _said(General(pieces))


@given(
    st.lists(st.tuples(st.integers(0, BLOCK - 1), st.binary(min_size=1, max_size=12)), max_size=4),
    st.booleans(),
    st.integers(0, 2),
)
@example([(124, b"00000000008")], True, 1)  # not octal
@example([(124, b"0000000_010")], True, 1)  # what int() takes
@example([(124, b"\x80")], True, 1)  # base-256
@example([(135, b" ")], True, 1)
@example([(156, b"0"), (157, b"x")], True, 1)
@example([(0, b"/"), (1, bytes(11))], True, 1)
@example([(0, bytes(12))], True, 1)
@example([(345, b"prefix")], True, 1)
@example([(508, b"tar\0")], True, 1)
@example([(148, b"77777777")], False, 1)
@example([(148, bytes(8))], False, 1)
@example([(0, b"\xff" * 12), (265, b"\xff" * 12)], True, 1)
def test_mutated_headers(changes: list[tuple[int, bytes]], signed: bool, which: int) -> None:
    """The same header before, so that what the quick way remembers is there; then the changed one, then another."""
    data = _archive(tarfile.USTAR_FORMAT, ["a", "b", "c"], [0, 0, 0])
    header = bytearray(data[which * BLOCK : (which + 1) * BLOCK])
    for at, value in changes:
        fitting = value[: BLOCK - at]
        header[at : at + len(fitting)] = fitting
    changed = _signed(bytes(header)) if signed else bytes(header)
    archive = data[: which * BLOCK] + changed + data[(which + 1) * BLOCK :]
    assert _said(TarReader([archive])) == _said(General([archive]))
