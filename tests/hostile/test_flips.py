# SPDX-License-Identifier: Apache-2.0
"""Every bit matters: images with a byte changed, or cut anywhere, through the command line.

Never a traceback or a hang; and never another answer than the image's own: a change that no digest covers and no reader
looks at (a comment, padding, a time of the outer archive) gives the same answer, every other is refused.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import RAW, file, tar
from tests.hostile.case import write_image
from tests.hostile.dockerarchives import BOTH, GOOD, IN_BLOBS, archived, listed
from tests.hostile.test_scan import assert_refusal, is_safe, scan
from tests.layouts import Layout, compress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]

SEED = 7
ANSWER = "/x cap_net_raw=ep\n"
FLIPS = 400
"""Of an archive: a tenth of its bytes, those that are not zero more often."""

ARCHIVES = {
    "docker-archive": archived(GOOD),
    "docker-archive-with-layout": archived([*BOTH, listed(IN_BLOBS)]),
    "oci-archive": archived(BOTH),
}


def flipped(data: bytes, count: int, chance: random.Random) -> Iterator[bytes]:
    busy = [at for at, byte in enumerate(data) if byte]
    for number in range(count):
        at = chance.choice(busy) if number % 3 else chance.randrange(len(data))
        changed = bytearray(data)
        changed[at] ^= chance.choice((1, 2, 4, 8, 16, 32, 64, 128, 255))
        yield bytes(changed)


def cut(data: bytes) -> Iterator[bytes]:
    """At every multiple of 128, beside each block, and close to both ends."""
    ends = {*range(0, len(data), 128), *range(8), len(data) - 1}
    ends |= {at + beside for at in range(512, len(data), 512) for beside in (-1, 1)}
    for end in sorted(ends):
        yield data[:end]


def assert_right(code: int, out: str, err: str) -> bool:
    """The image's own answer, or a refusal; whether it was refused."""
    assert is_safe(out + err)
    if code == 0:
        assert out == ANSWER
        return False
    assert_refusal(code, out, err)
    return True


def scheme(name: str) -> str:
    return "oci-archive" if name == "oci-archive" else "docker-archive"


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_with_a_byte_changed(name: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "image.tar"
    refused = 0
    for data in flipped(ARCHIVES[name], FLIPS, random.Random(SEED)):
        path.write_bytes(data)
        refused += assert_right(*scan(capsys, f"{scheme(name)}:{path}"))
    assert refused > FLIPS // 3


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_cut_short(name: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "image.tar"
    for data in cut(ARCHIVES[name]):
        path.write_bytes(data)
        assert_right(*scan(capsys, f"{scheme(name)}:{path}"))


@pytest.fixture(params=["", "gzip", "zstd"])
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Layout:
    """A layout whose blobs are small enough to change every byte."""
    made = Layout(str(tmp_path / "image"))
    made.image([tar(file("x", bytes(range(256)), cap=RAW))], compression=request.param)
    return made


def blobs(layout: Layout) -> list[str]:
    manifest = layout.resolve()
    parts = [manifest, layout.manifest()["config"], *layout.manifest()["layers"]]
    return [layout.blob_path(part["digest"]) for part in parts]


def test_every_byte_of_every_blob_is_covered(layout: Layout, capsys: Capture) -> None:
    """A changed bit anywhere in a manifest, a configuration or a layer, its padding included, is refused."""
    chance = random.Random(SEED)
    for path in blobs(layout):
        with open(path, "rb") as source:
            data = source.read()
        places = range(len(data)) if len(data) < 700 else sorted(chance.sample(range(len(data)), 300))
        for at in (*places, len(data) - 1):
            changed = bytearray(data)
            changed[at] ^= 1 << chance.randrange(8)
            with open(path, "wb") as out:
                out.write(changed)
            assert_refusal(*scan(capsys, f"oci:{layout.path}"))
        with open(path, "wb") as out:
            out.write(data)
    assert scan(capsys, f"oci:{layout.path}")[:2] == (0, ANSWER)


def test_every_blob_cut_short_is_refused(layout: Layout, capsys: Capture) -> None:
    for path in blobs(layout):
        size = os.path.getsize(path)
        for end in sorted({0, 1, size // 2, size - 512, size - 1} & set(range(size))):
            shutil.copy(path, f"{path}.whole")
            os.truncate(path, end)
            assert_refusal(*scan(capsys, f"oci:{layout.path}"))
            os.replace(f"{path}.whole", path)


@pytest.mark.parametrize("name", ["index.json", "oci-layout"])
def test_the_layouts_own_files_changed(name: str, tmp_path: Path, capsys: Capture) -> None:
    """No digest covers these; what they say must still be one thing."""
    made = Layout(str(tmp_path))
    write_image(made, [tar(file("x", cap=RAW))], "latest")
    path = os.path.join(made.path, name)
    with open(path, "rb") as source:
        data = source.read()
    chance = random.Random(SEED)
    texts = [*flipped(data, 300, chance), *(data[:end] for end in range(len(data)))]
    for text in texts:
        with open(path, "wb") as out:
            out.write(text)
        assert_right(*scan(capsys, f"oci:{made.path}"))


def test_a_changed_layer_under_a_new_digest(tmp_path: Path, capsys: Capture) -> None:
    """Whoever can change a layer can describe it truly: then the reader is all that stands between. Never a traceback."""
    chance = random.Random(SEED)
    made = Layout(str(tmp_path))
    archive = tar(file("d/x", b"#!/bin/sh\n", cap=RAW), file("l", b"y" * 600, mode=0o4755))
    for data in flipped(archive, FLIPS, chance):
        write_image(made, [data], "latest")
        code, out, err = scan(capsys, f"oci:{made.path}")
        assert is_safe(out + err)
        if code:
            assert_refusal(code, out, err)


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_a_changed_compressed_layer_under_a_new_digest(
    compression: str, tmp_path: Path, capsys: Capture
) -> None:
    """The checksums of gzip and zstd, or else the diff_id, find every change of the content."""
    chance = random.Random(SEED)
    archive = tar(file("x", bytes(chance.randbytes(2000)), cap=RAW))
    made = Layout(str(tmp_path))
    made.image([archive], compression=compression)
    manifest = made.manifest()
    for data in flipped(compress(archive, compression)[1], FLIPS, chance):
        layer = made.blob(manifest["layers"][0]["mediaType"], data)
        changed = manifest | {"layers": [layer]}
        made.tag(made.blob(manifest["mediaType"], json.dumps(changed).encode()), "latest")
        assert_right(*scan(capsys, f"oci:{made.path}"))
        os.unlink(made.blob_path(layer["digest"]))
