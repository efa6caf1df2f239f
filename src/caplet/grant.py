# SPDX-License-Identifier: Apache-2.0
"""Give files of an image their capabilities, as setcap(8) gives them to files on disk."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image import meant
from caplet.image.change import ByName, Change, Edit, Manner, capability, change, locate, replaced_revision_3
from caplet.image.elf import read_elf
from caplet.image.imagecaps import are_caps, image_caps
from caplet.image.interpreters import Runs, runs
from caplet.image.node import S_ISUID
from caplet.image.program import BINPRM_BUF_SIZE, find_program, image_argv, shebang
from caplet.image.topdown import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from caplet.image.config import ImageConfig
    from caplet.image.entry import Entry
    from caplet.image.image import Image, Index
    from caplet.image.node import Node
    from caplet.image.program import Program
    from caplet.image.topdown import TopDown
    from caplet.kernel.filecaps import FileCaps

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
    spelled: str = field(default="", compare=False)
    """The capabilities as they were written, for messages."""

    @classmethod
    def parse(cls, text: str) -> Grant:
        """`[PATH=]CAPS`.

        Both may hold `=`. The path ends at the first `=` after which capabilities follow: `/a=b=cap_net_raw=ep` is the
        file `/a=b`. A path without its slash is taken as it is, and refused when the image can tell which one is meant.
        """
        if not text.startswith("/") and are_caps(text):
            return cls(image_caps(text), None, text)
        at = text.find("=")
        while at >= 0:
            if are_caps(text[at + 1 :]):
                if at == 0:
                    raise InvalidInput(f"{text} names no file", f"write /usr/bin/app{text}, or {text[1:]}")
                return cls(image_caps(text[at + 1 :]), os.fsencode(text[:at]), text[at + 1 :])
            at = text.find("=", at + 1)
        raise _no_grant(text)


def _no_grant(text: str) -> InvalidInput:
    """What is wrong with an argument that is not [PATH=]CAPS."""
    before, colon, behind = text.rpartition(":")
    if colon and are_caps(behind):
        return InvalidInput(f"{text}: an equals sign stands before capabilities", f"write {before}={behind}")
    path, equals, caps = text.partition("=")
    if equals and (path.startswith("/") or not re.fullmatch(r"[eip+-]*", caps)):
        error = _error_of(caps)
        return InvalidInput(f"{text}: {error.message}", error.hint)
    if text.startswith("/"):
        return InvalidInput(
            f"no capabilities given for {text}",
            f"write {text}=cap_net_bind_service+ep, the path before the capabilities",
        )
    error = _error_of(text)
    return InvalidInput(error.message, error.hint or "write [PATH=]CAPS, as /usr/bin/app=NET_BIND_SERVICE")


def _error_of(text: str) -> InvalidInput:
    try:
        image_caps(text)
    except InvalidInput as error:
        return error
    raise AssertionError(text)


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
            yield replace(edit, notes=(*edit.notes, *_notes(image, files, edit, node, one)))

    def _at_path(self, image: Image, files: TopDown, one: Grant) -> Edit:
        assert one.path is not None
        found = locate(image, files, one.path, f"={one.spelled}" if one.spelled else "")
        return Edit(found.path, one.caps.encode(), one.path if found.path != one.path else b"")

    def _at_entrypoint(self, image: Image, files: TopDown, one: Grant) -> Edit:
        config = image.config
        if not (*config.entrypoint, *config.cmd):
            raise InvalidInput(
                "the image names no program: it has neither ENTRYPOINT nor CMD",
                f"name the file: /usr/bin/app={one.spelled or one.caps}",
            )
        program = find_program(files, image_argv(config), config.env, config.working_dir or "/")
        if program.problem is not None:
            raise InvalidInput(
                f"the image's program does not start: {program.problem.message}",
                f"name the file that is to have them: /usr/bin/app={one.spelled or one.caps}",
            )
        if not self.interpreters:
            _refuse_interpreter(files, config, program, one)
        return Edit(program.file.path, one.caps.encode())


def _refuse_interpreter(files: TopDown, config: ImageConfig, program: Program, one: Grant) -> None:
    """Nobody who leaves the path out means the shell."""
    path = program.file.path
    why = _not_meant(program)
    if not why:
        return
    behind = meant.behind(files, config, program.argv)
    if behind is not None:
        hint = f"name the program: {shown(behind)}={one.spelled or one.caps}"
    else:
        hint = f"name a compiled program that does what needs them: /usr/bin/app={one.spelled or one.caps}"
        if runs(path) is Runs.SCRIPTS and not _is_env(path):
            hint += f"; --allow-interpreter means {shown(path)} itself"
    raise InvalidInput(why, hint)


def _not_meant(program: Program) -> str:
    """Why the file that the kernel loads is not the program that needs capabilities; empty where it may be."""
    name, path = program.argv[0], program.file.path
    if len(program.chain) > 1:
        return f"the image's entrypoint {name} is a script: the capabilities would go to {shown(path)}, and to all it runs"
    found = runs(path)
    if found is Runs.PROGRAMS or _is_env(path):
        return (
            f"the image's entrypoint is {shown(path)}, which starts another program: they would be lost there"
        )
    if found is Runs.SCRIPTS:
        return f"the image's entrypoint is {shown(path)}, which runs scripts: every one would get the capabilities"
    return ""


def _is_env(path: bytes) -> bool:
    """env(1) runs the interpreter of `#!/usr/bin/env python3`, and any other program as well."""
    return _base(path) == b"env"


def _notes(image: Image, files: TopDown, edit: Edit, node: Node, one: Grant) -> Iterator[str]:
    """What an expert would mention of this file."""
    path, caps = edit.path, one.caps
    head = files.read(node, HEAD)
    line = shebang(head[:BINPRM_BUF_SIZE])
    if line is not None:
        yield (
            f"is a script: execve(2) ignores its capabilities, and takes those of its interpreter {shown(line[0])}; "
            "grant a compiled program that does what needs them instead"
        )
        return
    if not node.mode & 0o111:
        yield f"is not executable (mode {node.mode:04o}): nobody can start it"
        return
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
        yield f"will start only where {_are_allowed(caps)}: by the Pod's capabilities.add, or the engine's default set"
    if one.path is not None:
        yield from _behind_another(image.config, files, edit, caps)


MAX_NAMED = 4


def _are_allowed(caps: FileCaps) -> str:
    """`NET_RAW is allowed`, `NET_ADMIN and NET_RAW are allowed`."""
    *first, last = caps.permitted.names()
    if len(first) >= MAX_NAMED:
        return f"all {len(caps.permitted)} of them are allowed"
    return f"{', '.join(first)} and {last} are allowed" if first else f"{last} is allowed"


def _behind_another(config: ImageConfig, files: TopDown, edit: Edit, caps: FileCaps) -> Iterator[str]:
    """For a program that the image does not start itself.

    Under no_new_privs execve(2) gives no more than the caller had (security/commoncap.c, cap_bprm_creds_from_file).
    The container's first program is not concerned: runc and crun set its permitted set before they execute it.
    """
    argv = (*config.entrypoint, *config.cmd)
    if not (argv and caps.permitted) or runs(edit.path) is Runs.SCRIPTS:
        return
    first = _base(os.fsencode(argv[0]))
    if first in {_base(path) for path in (edit.path, edit.asked, *files.names(edit.path))}:
        return
    yield (
        f"gains nothing when a program without capabilities starts it, as the image's entrypoint {argv[0]} may, "
        "and the Pod has allowPrivilegeEscalation: false (no_new_privs)"
    )


def _base(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _is_dynamic(head: bytes) -> bool:
    try:
        return read_elf(io.BytesIO(head)).interpreter is not None
    except InvalidInput:
        return False


def _loader_variables(image: Image) -> list[str]:
    names = [variable.partition("=")[0] for variable in image.config.env]
    return [name for name in LOADER_VARIABLES if name in names]
