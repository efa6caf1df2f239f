# SPDX-License-Identifier: Apache-2.0
"""Where manifests come from: files, directories, standard input, kustomize. The one place here that does I/O.

As `kubectl -f` and `-k`, except that directories are looked into to the bottom. An error in one file does not keep the
others from being read: what is wrong is told after the last document.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, BinaryIO

from caplet.errors import InvalidInput, ManyInvalid, Unavailable
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
KUSTOMIZE_SECONDS = 120
"""kustomize may fetch bases over the network."""
MAX_SAID = 4096
"""Bytes of what kustomize says about its failure."""

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
        try:
            yield from _kustomized(kustomize)
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


def _kustomized(directory: str) -> Iterator[Document]:
    """What `kubectl kustomize` or `kustomize build` prints for a directory."""
    command = _kustomize_command(directory)
    said = " ".join([os.path.basename(command[0]), *command[1:-1]])
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        late = threading.Event()

        def end_late() -> None:
            late.set()
            _end(process)

        timer = threading.Timer(KUSTOMIZE_SECONDS, end_late)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout as output:
                yield from stream(_blocks(output), f"{directory} ({said})")  # type: ignore[arg-type]
            failed = process.wait() != 0
        finally:
            timer.cancel()
            _end(process)
            process.wait()
        if late.is_set():
            raise InvalidInput(f"{directory}: {said} took more than {KUSTOMIZE_SECONDS} seconds")
        if failed:
            errors.seek(0)
            text = errors.read(MAX_SAID).decode("utf-8", "replace").split()
            raise InvalidInput(f"{directory}: {said}: {' '.join(text) or 'failed without a word'}")


def _kustomize_command(directory: str) -> list[str]:
    if not os.path.isdir(directory):
        raise InvalidInput(f"{directory}: not a directory", "-k takes the one with the kustomization.yaml")
    path = os.path.join(".", directory) if directory.startswith("-") else directory
    if kubectl := shutil.which("kubectl"):
        return [kubectl, "kustomize", path]
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build", path]
    raise Unavailable(
        "-k needs kubectl or kustomize, and neither is here",
        f"install one, or elsewhere: kustomize build {directory} | caplet ... -f -",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """With what it started: kustomize runs git and plugins."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
