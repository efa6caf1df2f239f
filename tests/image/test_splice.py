# SPDX-License-Identifier: Apache-2.0
"""One attribute of some entries changes; every other byte of the archive is the one it was."""

from __future__ import annotations

import io
import random
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.image.stacks import Maker
from tests.layouts import CAPS, ELF, Item, attribute, directory, file, hardlink, symlink, tar

from caplet.errors import InvalidInput
from caplet.image.splice import MAX_HEADERS, splice
from caplet.image.tarreader import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = b"security.capability"
BIND = bytes.fromhex("0100000200040000000000000000000000000000")
OTHER = bytes.fromhex("0000000200200000000000000000000000000000")


def pieces(data: bytes, step: int) -> Iterator[bytes]:
    for start in range(0, len(data), step):
        yield data[start : start + step]


def spliced(archive: bytes, changes: Mapping[int, bytes | None], step: int = 1000) -> bytes:
    out = bytearray()
    splice(pieces(archive, step), changes, NAME, out.extend)
    return bytes(out)


def members(archive: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive), errors="surrogateescape") as opened:
        return opened.getmembers()


def without_padding(archive: bytes) -> bytes:
    return archive.rstrip(b"\0")


ITEMS = (
    directory("usr", mode=0o1777),
    file("usr/app", ELF, 0o4755, mtime=5, pax={"mtime": "1600000000.123456789"}, xattrs={"user.a": b"1"}),
    file("usr/" + "n" * 300, b"long"),
    hardlink("usr/b", "usr/app"),
    symlink("c", "usr/app"),
    file("plain", b"x" * 1000, uname="root", gname="wheel"),
)


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT], ids=["pax", "gnu"])
@pytest.mark.parametrize("number", range(len(ITEMS)))
@pytest.mark.parametrize("step", [1, 511, 512, 4096, 1 << 20])
def test_setting_and_taking_away_gives_the_archive_back(form: int, number: int, step: int) -> None:
    archive = tar(ITEMS, form) + b"what follows the end"
    changed = spliced(archive, {number: BIND}, step)
    assert changed != archive
    assert spliced(changed, {number: None}, step) == archive


def test_only_the_record_changes() -> None:
    archive = tar(ITEMS)
    before, after = members(archive), members(spliced(archive, {1: BIND, 3: BIND}))
    assert [attribute(one) for one in after] == [None, BIND, None, BIND, None, None]
    for old, new in zip(before, after, strict=True):
        expected = dict(old.pax_headers)
        if new.name in {"usr/app", "usr/b"}:
            expected[CAPS] = BIND.decode("latin-1")
        assert new.pax_headers == expected, new.name
        assert new.tobuf() == old.tobuf() or expected != old.pax_headers, new.name


def test_a_value_is_replaced_where_it_stands() -> None:
    """Neither the other records nor their order change, and the archive keeps its length."""
    archive = tar([file("a", xattrs={"user.a": b"1", "security.capability": BIND, "user.b": b"2"})])
    changed = spliced(archive, {0: OTHER})
    assert len(changed) == len(archive)
    assert changed.replace(OTHER, BIND)[512:] == archive[512:]
    assert list(members(changed)[0].pax_headers) == list(members(archive)[0].pax_headers)


@pytest.mark.parametrize("size", range(400, 520))
def test_a_record_that_needs_another_block(size: int) -> None:
    archive = tar([file("a", b"content", xattrs={"user.a": b"x" * size}), file("b", b"next")])
    changed = spliced(archive, {0: BIND})
    assert [attribute(one) for one in members(changed)] == [BIND, None]
    assert spliced(changed, {0: None}) == archive


def test_an_earlier_extended_header_does_not_come_to_count() -> None:
    """Of two PAX headers before an entry the last one counts: emptied, it must stay."""
    first = tar([file("a", xattrs={"user.old": b"1"})])[:1024]
    archive = first + tar([file("a", xattrs={"security.capability": BIND})])
    (entry,) = TarReader([spliced(archive, {0: None})])
    assert entry.xattrs == {}


def test_random_archives_keep_every_other_header() -> None:
    for seed in range(400):
        for archive in Maker(random.Random(seed), hostile=0).stack():
            count = len(members(archive))
            if not count:
                continue
            number = random.Random(seed).randrange(count)
            before, after = members(archive), members(spliced(archive, {number: OTHER}, 700))
            raws = [[one.tobuf(tarfile.PAX_FORMAT) for one in listed] for listed in (before, after)]
            for each in raws:
                each.pop(number)
            assert raws[0] == raws[1], seed
            assert attribute(after[number]) == OTHER, seed


def test_headers_without_end_are_refused() -> None:
    extension = tar([Item("a", xattrs={"user.a": b"x" * 60_000})])
    group = extension[: extension.index(b"ustar", 513) - 257]
    endless = (group for _ in range(MAX_HEADERS // len(group) + 100))
    with pytest.raises(InvalidInput, match="headers of one entry exceed"):
        splice(endless, {0: BIND}, NAME, lambda _: None)


def test_an_entry_that_is_not_there() -> None:
    with pytest.raises(InvalidInput, match="the layer changed while it was read"):
        spliced(tar(ITEMS), {len(ITEMS): BIND})


def test_a_truncated_archive_is_refused() -> None:
    archive = tar(ITEMS)
    for end in (100, 700, 1300, 2000):
        with pytest.raises(InvalidInput):
            spliced(archive[:end], {5: BIND})
