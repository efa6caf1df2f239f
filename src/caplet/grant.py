# SPDX-License-Identifier: Apache-2.0
"""Give files of an image their capabilities, as setcap(8) gives them to files on disk."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.change import ByName, Change, Edit, Manner, capability, change, locate, replaced_revision_3
from caplet.image.elf import read_elf
from caplet.image.interpreters import Runs, runs
from caplet.image.node import S_ISUID
from caplet.image.program import BINPRM_BUF_SIZE, find_program, image_argv, shebang
from caplet.image.topdown import shown
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caplet.image.entry import Entry
    from caplet.image.image import Image, Index
    from caplet.image.node import Node
    from caplet.image.topdown import TopDown

HEAD = 1 << 16
"""Bytes of a program in which its ELF headers and PT_INTERP lie: linkers put them first."""

LOADER_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", "LD_AUDIT")
"""What the dynamic loader ignores for a program that gains capabilities (ld.so(8), "Secure-execution mode")."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one file is to get."""

    caps: FileCaps
    path: bytes | None = None
    """Absolute path in the image; None: the program that the image's entrypoint starts."""

    @classmethod
    def parse(cls, text: str) -> Grant:
        """`[PATH=]CAPS`: the path is absolute, which tells it from capabilities.

        Both may hold `=`. The path ends at the first `=` after which capabilities follow: `/a=b=cap_net_raw=ep` is the
        file `/a=b`.
        """
        if not text.startswith("/"):
            return cls(_without_path(text))
        words = text.split("=")
        if len(words) == 1:
            raise InvalidInput(
                f"no capabilities given for {text}",
                f"write {text}=cap_net_bind_service+ep, the path before the capabilities",
            )
        first_error: InvalidInput | None = None
        for end in range(1, len(words)):
            try:
                caps = image_caps("=".join(words[end:]))
            except InvalidInput as error:
                first_error = first_error or error
            else:
                return cls(caps, os.fsencode("=".join(words[:end])))
        assert first_error is not None
        raise InvalidInput(f"{text}: {first_error.message}", first_error.hint)


def _without_path(text: str) -> FileCaps:
    try:
        return image_caps(text)
    except InvalidInput:
        if "/" in text or _has_caps_behind(text):
            raise InvalidInput(
                f"{text}: a path in the image begins with /", f"write /{text.lstrip('./')}"
            ) from None
        raise


def _has_caps_behind(text: str) -> bool:
    """Whether it is `NAME=CAPS`, with a path that lacks its slash."""
    with contextlib.suppress(InvalidInput):
        image_caps(text.partition("=")[2])
        return True
    return False


def image_caps(text: str) -> FileCaps:
    """Capabilities for a file of an image: no root user id, which is revision 3 of the attribute."""
    caps = FileCaps.parse(text)
    if caps.rootid is not None:
        raise InvalidInput(
            f"{text}: a root user id has no place in an image",
            "such an attribute is void on other machines, and keeps a program from starting on an idmapped mount",
        )
    return caps


def grant(
    subject: Image | Index,
    grants: Sequence[Grant],
    manner: Manner | None = None,
    *,
    interpreters: bool = False,
) -> Change:
    """The image or index in which each file has just the capabilities of its grant.

    `interpreters` allows a grant without a path where the entrypoint is a script, an interpreter or a wrapper.
    """
    if not grants:
        raise InvalidInput("nothing to grant", "name capabilities: /usr/bin/app=cap_net_bind_service+ep")
    return change(subject, _Grants(tuple(grants), interpreters), manner or Manner("grant"))


@dataclass(frozen=True, slots=True)
class _Grants:
    grants: tuple[Grant, ...]
    interpreters: bool

    def wanted(self, image: Image) -> Callable[[Entry], bool]:
        paths = [one.path for one in self.grants if one.path is not None]
        if len(paths) < len(self.grants):
            words = (*image.config.entrypoint, *image.config.cmd)
            paths += [os.fsencode(word) for word in words[:1]]
        return ByName(paths)

    def edits(self, image: Image, files: TopDown) -> Iterator[Edit]:
        for one in self.grants:
            edit = self._at_path(image, files, one) if one.path else self._at_entrypoint(image, files, one)
            node = files.lookup(edit.path)
            assert node is not None
            yield replace(edit, notes=(*edit.notes, *_notes(image, files, edit.path, node, one.caps)))

    def _at_path(self, image: Image, files: TopDown, one: Grant) -> Edit:
        assert one.path is not None
        found = locate(image, files, one.path)
        return Edit(found.path, one.caps.encode(), one.path if found.path != one.path else b"")

    def _at_entrypoint(self, image: Image, files: TopDown, one: Grant) -> Edit:
        config = image.config
        program = find_program(files, image_argv(config), config.env, config.working_dir or "/")
        if program.problem is not None:
            raise InvalidInput(f"the image's program does not start: {program.problem.message}")
        path = program.file.path
        if not self.interpreters:
            _refuse_interpreter(program.argv[0], [link.path for link in program.chain])
        return Edit(path, one.caps.encode())


def _refuse_interpreter(name: str, chain: Sequence[bytes]) -> None:
    """Nobody who leaves the path out means the shell."""
    path = chain[-1]
    allow = f"name the program that needs them: /usr/bin/app=...; or say --allow-interpreter to mean {shown(path)}"
    if len(chain) > 1:
        raise InvalidInput(
            f"the image's entrypoint {name} is a script: the capabilities would go to {shown(path)}, and to all it runs",
            allow,
        )
    found = runs(path)
    if found is Runs.SCRIPTS:
        raise InvalidInput(
            f"the image's entrypoint is {shown(path)}, which runs scripts: every one would get the capabilities",
            allow,
        )
    if found is Runs.PROGRAMS:
        raise InvalidInput(
            f"the image's entrypoint is {shown(path)}, which starts another program: they would be lost there",
            allow,
        )


def _notes(image: Image, files: TopDown, path: bytes, node: Node, caps: FileCaps) -> Iterator[str]:
    """What an expert would mention of this file."""
    head = files.read(node, HEAD)
    if shebang(head[:BINPRM_BUF_SIZE]) is not None:
        yield "is a script: the kernel takes the capabilities of its interpreter, and ignores these"
    elif not node.mode & 0o111:
        yield f"is not executable (mode {node.mode:04o})"
    if runs(path) is Runs.SCRIPTS:
        yield "runs scripts: every script that it runs gets these capabilities"
    elif runs(path) is Runs.PROGRAMS:
        yield "starts another program, which keeps them only if its own file has them too"
    if node.mode & S_ISUID:
        yield f"is set-user-ID (owner {node.uid}) as well"
    yield from replaced_revision_3(capability(node))
    if caps.permitted and _is_dynamic(head):
        for name in _loader_variables(image):
            yield f"is dynamically linked: with capabilities it ignores {name}, which the image sets"
    if caps.effective and caps.permitted:
        names = ",".join(caps.permitted.names()) if len(caps.permitted) <= MAX_NAMED else "each of them"
        yield f"will start only where {names} is allowed: by the Pod's capabilities.add, or the engine's default set"


MAX_NAMED = 4


def _is_dynamic(head: bytes) -> bool:
    try:
        return read_elf(io.BytesIO(head)).interpreter is not None
    except InvalidInput:
        return False


def _loader_variables(image: Image) -> list[str]:
    names = [variable.partition("=")[0] for variable in image.config.env]
    return [name for name in LOADER_VARIABLES if name in names]
