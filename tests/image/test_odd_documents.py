# SPDX-License-Identifier: Apache-2.0
"""Every field of every document takes every odd value: the image is read and changed, or refused in one line."""

from __future__ import annotations

import copy
import json
import os
import random
from typing import TYPE_CHECKING, Any

import pytest
from tests.layouts import Layout, encode, file, tar

from caplet.errors import CapletError
from caplet.image.config import History
from caplet.image.copy import write_image
from caplet.image.image import Image, Index, open_image
from caplet.image.newlayer import LayerWriter
from caplet.image.validate import validate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ODD: list[Any] = [
    None, True, 0, -1, 1.5, 1 << 62, "", "x", "\u202e\0", [], {}, [None], [[]], [{}], {"": None}, "sha256:" + "0" * 64,
]  # fmt: skip
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a document."""
    yield path
    if isinstance(value, dict | list):
        for key, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(below, (*path, key))


def edited(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return None if new is GONE else new
    changed = copy.deepcopy(value)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if new is GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new
    return changed


def rich(layout: Layout) -> dict[str, Any]:
    """An index of one image with every optional field."""
    layout.image(
        [tar([file("app", b"program")])],
        None,
        config={"User": "1", "Env": ["A=b"], "Entrypoint": ["/app"], "Cmd": ["x"], "WorkingDir": "/", "Labels": {"a": "b"}},
        manifest={"annotations": {"a": "b"}},
        more={"variant": "v1", "os.version": "1", "os.features": ["x"]},
    )  # fmt: skip
    descriptor = layout.image([tar([file("app", b"program")])], "image", manifest={"annotations": {"a": "b"}})
    platform = {
        "architecture": "amd64",
        "os": "linux",
        "os.version": "1",
        "os.features": ["x"],
        "variant": "v1",
    }
    entry = {**descriptor, "platform": platform, "annotations": {"a": "b"}, "urls": ["https://a"]}
    layout.index([entry], "index")
    return entry


def use(path: str, tag: str, out: str) -> None:
    """Open, read, change, write and read again."""
    image = open_image(f"oci:{path}:{tag}")
    with LayerWriter() as writer:
        writer.write(tar([file("added")]))
        layer = writer.finish()

    def grant(one: Image) -> Image:
        for layers in one.layers:
            for _ in layers.chunks():
                pass
        return one.append(layer, History("a test"))

    changed = image.map(grant) if isinstance(image, Index) else grant(image)
    write_image(changed, out)
    assert open_image(out).digest == changed.digest
    validate(open_image(out))


def put(layout: Layout, kind: str, document: Any) -> None:
    """Write the document in the place of the one of that kind, with right digests up to index.json."""
    manifest = layout.manifest("image")
    if kind == "config":
        manifest["config"] = layout.blob(manifest["config"]["mediaType"], encode(document))
    if kind == "manifest":
        manifest = document
    descriptor = layout.blob("application/vnd.oci.image.manifest.v1+json", encode(manifest))
    if kind == "index":
        layout.tag(layout.blob("application/vnd.oci.image.index.v1+json", encode(document)), "image")
    elif kind == "index.json":
        with open(os.path.join(layout.path, "index.json"), "w", encoding="utf-8") as out:
            json.dump(document, out)
    else:
        layout.tag(descriptor, "image")


@pytest.mark.parametrize("kind", ["config", "manifest", "index", "index.json"])
def test_every_field(tmp_path: Path, kind: str) -> None:
    layout = Layout(str(tmp_path / "layout"))
    rich(layout)
    document = {
        "config": layout.config("image"),
        "manifest": layout.manifest("image"),
        "index": json.loads(layout.read(layout.resolve("index"))),
        "index.json": {
            "schemaVersion": 2,
            "x": {"a": 1},
            "manifests": [layout.resolve("image") | {"y": {"b": [2]}}],
        },
    }[kind]
    with open(os.path.join(layout.path, "index.json"), "rb") as source:
        index = source.read()
    cases = [(place, new) for place in places(document) for new in (*ODD, GONE)]
    messages: list[str] = []
    sample = random.Random(kind).sample(cases, min(160, len(cases)))
    for number, (place, new) in enumerate(sample):
        with open(os.path.join(layout.path, "index.json"), "wb") as out:
            out.write(index)
        put(layout, kind, edited(document, place, new))
        output = f"{tmp_path}/out{number}"
        try:
            use(layout.path, "image", f"oci:{output}")
        except CapletError as error:
            messages.append(error.message)
            written = os.path.lexists(output)
        else:
            written = False
        assert not written, (place, new)
    assert not [one for one in messages if "\n" in one]
    assert 5 < len(messages) < len(sample) - 5, "some are refused, some are not"


@pytest.mark.parametrize("scheme", ["oci-archive", "docker-archive"])
def test_archives_with_wrong_bytes(tmp_path: Path, scheme: str) -> None:
    """Bits flipped, pieces cut out, doubled or swapped anywhere in an archive."""
    layout = Layout(str(tmp_path / "layout"))
    layout.image([tar([file("app", b"program")])])
    path = f"{tmp_path}/image.tar"
    write_image(open_image(f"oci:{layout.path}"), f"{scheme}:{path}:a:b")
    with open(path, "rb") as source:
        whole = source.read()
    chance = random.Random(scheme)
    expected = [b"".join(layer.chunks()) for layer in _image(f"{scheme}:{path}").layers]
    for _ in range(300):
        with open(path, "wb") as out:
            out.write(mutated(whole, chance))
        try:
            found = [b"".join(layer.chunks()) for layer in _image(f"{scheme}:{path}").layers]
        except CapletError:
            continue
        assert found == expected, "what is read is what its digest says"


def _image(reference: str) -> Image:
    image = open_image(reference)
    assert isinstance(image, Image)
    return image


def mutated(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5])):
        at, length = chance.randrange(len(out)), chance.choice([1, 4, 60, 512, 3000])
        match chance.randrange(5):
            case 0:
                out[at] ^= 1 << chance.randrange(8)
            case 1:
                del out[at : at + length]
            case 2:
                out[at:at] = out[at : at + length]
            case 3:
                out[at : at + length] = bytes(len(out[at : at + length]))
            case _:
                out[at : at + length] = chance.randbytes(length)
        if not out:
            break
    return bytes(out)
