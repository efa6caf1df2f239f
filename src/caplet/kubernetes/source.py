# SPDX-License-Identifier: Apache-2.0
"""Where manifests come from: files, directories, standard input, kustomize. With `kustomize` the one place here with I/O.

As `kubectl -f` and `-k`, except that directories are looked into to the bottom. An error in one file does not keep the
others from being read: what is wrong is told after the last document.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING, BinaryIO

from caplet.errors import InvalidInput, ManyInvalid
from caplet.kubernetes.document import Document, stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

EXTENSIONS = (".json", ".yaml", ".yml")
"""Which files of a directory are manifests: cli-runtime pkg/resource/builder.go FileExtensions."""
MAX_FILES = 100_000
"""Of all directories together."""
BLOCK = 1 << 20
"""Bytes that are read at once."""
MAX_PROBLEMS = 1000
"""After so many broken files no further one is read."""

STDIN = "stdin"
"""What messages call standard input."""


def manifests(paths: Iterable[str], kustomize: str | None = None) -> Iterator[Document]:
    """The documents of files, directories and `-`, in this order, then those that kustomize makes of a directory.

    Raises InvalidInput or ManyInvalid after the last one, and Unavailable where neither kubectl nor kustomize is there.
    """
    problems: list[InvalidInput] = []
    for path in paths:
        for name in _files(path, problems):
            yield from _documents(name, problems)
    if kustomize is not None:
        from caplet.kubernetes.kustomize import kustomized

        try:
            yield from kustomized(kustomize)
        except InvalidInput as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ManyInvalid(tuple(problems))


def _files(path: str, problems: list[InvalidInput]) -> Iterator[str]:
    if path == "-" or not os.path.isdir(path):
        yield path
        return
    count = 0
    for name in _walk(path, problems):
        count += 1
        if count > MAX_FILES:
            problems.append(InvalidInput(f"{path}: more than {MAX_FILES:,} manifests"))
            return
        yield name
    if not count:
        problems.append(
            InvalidInput(f"{path}: no manifest in this directory", f"files end in {', '.join(EXTENSIONS)}")
        )


def _walk(top: str, problems: list[InvalidInput]) -> Iterator[str]:
    """In kubectl's order: by name, a directory where its name stands. Links to directories are not followed."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        try:
            mode = os.lstat(path).st_mode
            if path != top and os.path.exists(os.path.join(path, "oci-layout")):
                continue  # an image: its JSON is no manifest
            if stat.S_ISDIR(mode) or path == top:
                waiting += sorted((os.path.join(path, name) for name in os.listdir(path)), reverse=True)
            elif path.endswith(EXTENSIONS) and stat.S_ISREG(os.stat(path).st_mode):
                yield path
        except OSError as error:
            problems.append(InvalidInput(f"{path}: {error.strerror}"))


def _documents(path: str, problems: list[InvalidInput]) -> Iterator[Document]:
    if len(problems) >= MAX_PROBLEMS:
        return
    try:
        if path == "-":
            yield from stream(_blocks(sys.stdin.buffer), STDIN)
        else:
            with open(path, "rb") as file:
                yield from stream(_blocks(file), path)
    except OSError as error:
        problems.append(InvalidInput(f"{path}: {error.strerror}", _what_it_may_be(path)))
    except InvalidInput as error:
        problems.append(error)


def _what_it_may_be(path: str) -> str:
    if re.match(r"https?://", path):
        return f"nothing is downloaded: curl -L {path} | caplet ... -f -"
    if re.match(r"(oci|oci-archive|docker-archive|docker|docker-daemon):", path):
        return f"that is an image: --image NAME={path}"
    return ""


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block
