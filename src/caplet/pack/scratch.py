# SPDX-License-Identifier: Apache-2.0
"""The image itself: a layer of system files, a layer of programs, and a configuration that says how to start them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from caplet.errors import InvalidInput
from caplet.image.compression import Compression
from caplet.image.config import source_date
from caplet.image.image import Image, Index, new_image, new_index
from caplet.image.newlayer import LayerWriter, NewLayer
from caplet.image.tarwriter import TarWriter
from caplet.kernel.filecaps import XATTR_NAME
from caplet.pack.binary import Binary, open_program
from caplet.pack.filesystem import File, write_files
from caplet.pack.process import Process, must_be_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

    from caplet.image.descriptor import Platform
    from caplet.kernel.filecaps import FileCaps

EPOCH = "1970-01-01T00:00:00Z"
"""The time of everything where SOURCE_DATE_EPOCH is not set: never now, never the file's."""


@dataclass(frozen=True, slots=True)
class Content:
    """What goes into the image beside the programs, and how layers are stored."""

    files: Mapping[bytes, bytes] = field(default_factory=dict)
    """Absolute path -> content: certificates, time zones."""
    compression: Compression = Compression.STORED
    spool: str | None = None
    """The directory for layers until they are written; best on the file system of the destination."""


@dataclass(frozen=True, slots=True)
class _Program:
    binary: Binary
    file: BinaryIO
    platform: Platform


def pack(
    binaries: Sequence[Binary],
    process: Process | None = None,
    content: Content | None = None,
    platform: Platform | None = None,
) -> Image | Index:
    """An image of these programs; an index, where they are for several platforms.

    The first program is the entrypoint. Capabilities given for a path hold for it on every platform. `platform` adds
    what an ELF header cannot say: linux/arm/v7.
    """
    process, content = process or Process(), content or Content()
    if not binaries:
        raise InvalidInput("no program to pack")
    caps = _caps_by_path(binaries)
    with contextlib.ExitStack() as stack:
        by_platform: dict[Platform, list[_Program]] = {}
        for binary in binaries:
            file, elf = open_program(binary.file)
            stack.callback(file.close)
            target = _refined(binary, elf.platform, platform)
            by_platform.setdefault(target, []).append(_Program(binary, file, target))
        _must_match(by_platform)
        system = _system_layer(process, content)
        images = [
            _image(target, programs, caps, system, process, content)
            for target, programs in sorted(by_platform.items(), key=lambda item: str(item[0]))
        ]
    return images[0] if len(images) == 1 else new_index(images)


def _caps_by_path(binaries: Sequence[Binary]) -> dict[bytes, FileCaps]:
    caps: dict[bytes, FileCaps] = {}
    for binary in binaries:
        if binary.caps is not None and caps.setdefault(binary.path, binary.caps) != binary.caps:
            raise InvalidInput(
                f"{os.fsdecode(binary.path)} is given {caps[binary.path]} and {binary.caps}",
                "the capabilities of a path hold for all its platforms: give them once",
            )
    return caps


def _refined(binary: Binary, found: Platform, wanted: Platform | None) -> Platform:
    if wanted is None:
        return found
    if (wanted.os, wanted.architecture) != (found.os, found.architecture):
        raise InvalidInput(f"{binary.file} is a program for {found}, not for {wanted}")
    return wanted


def _must_match(by_platform: Mapping[Platform, Sequence[_Program]]) -> None:
    """Each path once a platform, and each platform with the same paths."""
    for target, programs in by_platform.items():
        taken: dict[bytes, str] = {}
        for program in programs:
            path, file = program.binary.path, program.binary.file
            if path in taken:
                raise InvalidInput(
                    f"{taken[path]} and {file} are both {os.fsdecode(path)} for {target}",
                    "give one another path: FILE:/PATH",
                )
            taken[path] = file
    paths = {target: {one.binary.path for one in programs} for target, programs in by_platform.items()}
    every = set[bytes]().union(*paths.values())
    for target, own in paths.items():
        if lacking := every - own:
            raise InvalidInput(
                f"no program for {target} is {os.fsdecode(min(lacking))}",
                "give the program of each platform the same path: server-amd64:/server server-arm64:/server",
            )


def _system_layer(process: Process, content: Content) -> NewLayer:
    files = {b"/etc/passwd": process.user.passwd(), b"/etc/group": process.user.group(), **content.files}
    directories = [os.fsencode(process.working_dir)] if process.working_dir else []
    return _layer({path: File(data) for path, data in files.items()}, content, directories)


def _image(
    platform: Platform,
    programs: Sequence[_Program],
    caps: Mapping[bytes, FileCaps],
    system: NewLayer,
    process: Process,
    content: Content,
) -> Image:
    files = {}
    for program in programs:
        path = program.binary.path
        if path in content.files or path in (b"/etc/passwd", b"/etc/group"):
            raise InvalidInput(
                f"{os.fsdecode(path)} is a system file of the image", "give the program another path"
            )
        xattrs = {XATTR_NAME: caps[path].encode()} if path in caps else {}
        files[path] = File(program.file.fileno(), mode=0o755, xattrs=xattrs)
    entrypoint = process.entrypoint[0] if process.entrypoint else os.fsdecode(programs[0].binary.path)
    must_be_text(entrypoint)
    if os.fsencode(entrypoint) not in files:
        raise InvalidInput(f"the entrypoint {entrypoint} is not packed", _packed(entrypoint, sorted(files)))
    config = _config(
        platform,
        process.to_json(entrypoint),
        [
            f"caplet pack: user {process.user}, {len(content.files)} more system files",
            "caplet pack: " + " ".join(_described(path, caps) for path in sorted(files)),
        ],
    )
    return new_image(config, (system, _layer(files, content)))


def _packed(entrypoint: str, paths: Sequence[bytes]) -> str:
    """What to write for an entrypoint that is none: one option a word, and the whole path."""
    first, *rest = entrypoint.split() or [""]
    for path in map(os.fsdecode, paths):
        if first in (path, os.path.basename(path)):
            return " ".join(["write", f"--entrypoint {path}", *(f"--entrypoint {word}" for word in rest)])
    return f"packed: {', '.join(map(os.fsdecode, paths))}"


def _config(platform: Platform, process: dict[str, Any], steps: Sequence[str]) -> dict[str, Any]:
    """The configuration but for `rootfs`. Each step made one layer."""
    created = source_date() or EPOCH
    config: dict[str, Any] = {"created": created, "architecture": platform.architecture, "os": platform.os}
    if platform.variant:
        config["variant"] = platform.variant
    return {
        **config,
        "config": process,
        "history": [{"created": created, "created_by": step} for step in steps],
    }


def _described(path: bytes, caps: Mapping[bytes, FileCaps]) -> str:
    name = path.decode("utf-8", "backslashreplace")
    return f"{name}={caps[path]}" if path in caps else name


def _layer(files: Mapping[bytes, File], content: Content, directories: Sequence[bytes] = ()) -> NewLayer:
    with LayerWriter(content.compression, directory=content.spool) as out:
        tar = TarWriter(out.write)
        write_files(tar, files, _seconds(), directories)
        tar.close()
        return out.finish()


def _seconds() -> int:
    stamp = source_date() or EPOCH
    return int(datetime.fromisoformat(stamp).timestamp())
