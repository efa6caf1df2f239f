# SPDX-License-Identifier: Apache-2.0
"""A program to pack: `FILE[:PATH][=CAPS]`, as `./server`, `./server:/usr/bin/server=NET_BIND_SERVICE`."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.elf import Elf, read_elf
from caplet.image.imagecaps import are_caps, image_caps

if TYPE_CHECKING:
    from typing import BinaryIO

    from caplet.kernel.filecaps import FileCaps

PATH_MAX = 4096
"""linux/limits.h, with the NUL at the end."""
NAME_MAX = 255
WHITEOUT = b".wh."
"""Names that begin so delete files when a layer is applied (image-spec layer.md, "Whiteouts")."""


@dataclass(frozen=True, slots=True)
class Binary:
    """What one argument of `caplet pack` says."""

    file: str
    """On this machine."""
    path: bytes
    """Absolute, in the image."""
    caps: FileCaps | None = None

    @classmethod
    def parse(cls, text: str) -> Binary:
        """`FILE[:PATH][=CAPS]`; without a PATH the file goes to `/` under its own name.

        The PATH is absolute, so it begins at the last `:/`. Capabilities may hold `=` themselves (`cap_net_raw=ep`): they
        begin after the first `=` that is followed by valid ones.
        """
        place, caps = _split_caps(text)
        file, colon, rest = place.rpartition(":/")
        if not colon:
            file, rest = place, os.path.basename(os.path.normpath(place))
        if not file:
            raise InvalidInput(
                f"{text!r} names no file", "write FILE[:PATH][=CAPS], as ./server=NET_BIND_SERVICE"
            )
        name = os.path.basename(file)
        if not rest.strip("./"):
            if colon:
                raise InvalidInput(
                    f"/{rest} is a directory of the image: the path is that of the file",
                    f"write {file}:/{name}",
                )
            raise InvalidInput(f"{file} is a directory", "name the program in it")
        if colon and rest.endswith("/"):
            raise InvalidInput(
                f"/{rest} is a directory of the image: the path is that of the file",
                f"write {file}:/{rest}{name}",
            )
        return cls(file, image_path("/" + rest), caps)


def _split_caps(text: str) -> tuple[str, FileCaps | None]:
    wrong: InvalidInput | None = None
    before, _, behind = text.partition("=")
    caps, _, path = behind.partition(":/")
    if behind.startswith("/"):
        raise InvalidInput(f"{text}: a path in the image stands behind a colon", f"write {before}:{behind}")
    if path and are_caps(caps):
        raise InvalidInput(
            f"{text}: the path stands before the capabilities", f"write {before}:/{path}={caps}"
        )
    at = text.find("=")
    while at >= 0:
        try:
            return text[:at], image_caps(text[at + 1 :])
        except InvalidInput as error:
            wrong = wrong or error
        at = text.find("=", at + 1)
    if wrong is not None:
        raise wrong
    return text, None


def image_path(text: str) -> bytes:
    """An absolute path that can be a file's in a layer; InvalidInput says what is wrong with it."""
    path = os.fsencode(text)
    if not text.startswith("/"):
        raise InvalidInput(f"{text}: a path in the image begins with /", f"write /{text}")
    parts = path[1:].split(b"/")
    if any(part in (b"", b".", b"..") for part in parts):
        raise InvalidInput(f"{text}: not a plain path", "write it without empty, . and .. parts")
    if b"\0" in path or len(path) >= PATH_MAX or any(len(part) > NAME_MAX for part in parts):
        raise InvalidInput(f"{text[:64]}: no file can have this path")
    if any(part.startswith(WHITEOUT) for part in parts):
        raise InvalidInput(f"{text}: in a layer, a name that begins with .wh. deletes a file")
    return path


def open_program(file: str) -> tuple[BinaryIO, Elf]:
    """The file, open, with its ELF head. InvalidInput: it is no static Linux program."""
    try:
        # O_NONBLOCK: opening a FIFO would wait for its writer.
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_file(file) from None
    try:
        _must_be_file(file, os.fstat(descriptor).st_mode)
        program = os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
    try:
        _must_not_be_script(program)
        return program, _static(read_elf(program))
    except InvalidInput as error:
        program.close()
        raise InvalidInput(f"{file}: {error.message}", error.hint) from None
    except BaseException:
        program.close()
        raise


def _no_file(file: str) -> InvalidInput:
    """What was probably meant by a name that no file has."""
    message = f"{file}: no such file"
    before, colon, behind = file.rpartition(":")
    if colon and os.path.exists(before):
        if are_caps(behind):
            return InvalidInput(message, f"an equals sign stands before capabilities: {before}={behind}")
        path = os.path.normpath(f"/{behind}")
        if path == "/":
            return InvalidInput(message, f"write {before}, or {before}:/PATH")
        return InvalidInput(message, f"a path in the image begins with /: {before}:{path}")
    if are_caps(file):
        return InvalidInput(
            message,
            f"several capabilities are joined by commas: --caps ...,{file}, or FILE=...,{file}",
        )
    if file.endswith(CERTIFICATES):
        return InvalidInput(message, f"a bundle stands behind an equals sign: --ca-certificates={file}")
    return InvalidInput(message, "write FILE[:PATH][=CAPS], as ./server:/usr/bin/server=NET_BIND_SERVICE")


CERTIFICATES = (".pem", ".crt", ".cer")
"""How files of certificates end."""


def _must_not_be_script(program: BinaryIO) -> None:
    if program.read(2) == b"#!":
        raise InvalidInput(
            "it is a script: its interpreter would be missing in the image",
            "add it to an image that has the interpreter; capabilities are for a compiled program, as `caplet grant` "
            "gives them, since execve(2) ignores those of a script",
        )


def _must_be_file(file: str, mode: int) -> None:
    if stat.S_ISDIR(mode):
        place = f"; a path in the image stands behind a colon: FILE:{file}" if file.startswith("/") else ""
        raise InvalidInput(f"{file} is a directory", f"name the program in it{place}")
    if not stat.S_ISREG(mode):
        raise InvalidInput(f"{file} is not a regular file")


def _static(elf: Elf) -> Elf:
    if elf.interpreter is not None:
        loader = os.fsdecode(elf.interpreter)
        raise InvalidInput(
            f"it is dynamically linked: the image would lack its loader, {loader}",
            "link it statically (Go: CGO_ENABLED=0; Rust: --target x86_64-unknown-linux-musl; C: -static), or build an "
            "image on a base that has its libraries, and then: caplet grant oci:IMAGE -o oci:OUT /PATH=CAPS",
        )
    if not elf.static:
        raise InvalidInput("not a program, but a library: it needs other libraries and has no loader")
    return elf
