# SPDX-License-Identifier: Apache-2.0
"""An image as an explanation needs it: its configuration, and its files, each looked up once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.elf import names_no_loader
from caplet.image.node import CAPABILITY
from caplet.image.program import find_program
from caplet.image.rootfs import MAX_LINKS, NotFound, Resolved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.image.config import ImageConfig
    from caplet.image.descriptor import Digest
    from caplet.image.node import Directory, Node
    from caplet.image.passwd import User
    from caplet.image.program import Files, Program
    from caplet.image.secure import Secure

MAX_REMEMBERED = 1 << 20
"""Bytes of one file that are kept: passwd, group, scripts and heads of programs, not the programs."""

HEAD = 4096
"""Bytes of a program that are looked at first: its program headers stand behind the ELF header."""


@dataclass(frozen=True, slots=True, eq=False)
class ImageFacts:
    """What an image says, and how to look into it."""

    config: ImageConfig
    files: Files
    reference: str = ""
    """As it was named; empty for one in memory."""
    digest: Digest | None = None
    """Of its manifest."""
    programs: dict[tuple[object, ...], Program] = field(default_factory=dict)
    """By arguments, PATH and directory: looked up once for all containers of the image."""
    secures: dict[tuple[object, ...], Secure | InvalidInput] = field(default_factory=dict)
    accounts: dict[str, User | InvalidInput] = field(default_factory=dict)
    """By the text of USER."""

    def program(self, argv: tuple[str, ...], env: tuple[str, ...], cwd: str) -> Program:
        """`find_program`, remembered."""
        path = next((one for one in reversed(env) if one.startswith("PATH=")), "")
        key = (argv[0], path, cwd)
        found = self.programs.get(key)
        if found is None:
            found = self.programs[key] = find_program(self.files, argv, env, cwd)
        return replace(found, argv=argv)

    def secure(self, path: bytes, env: tuple[str, ...], cwd: str) -> Secure:
        """`lost_when_secure`, remembered. Raises InvalidInput of a file that is no ELF program."""
        key = (path, tuple(one for one in env if one.startswith("LD_")), cwd)
        found = self.secures.get(key)
        if found is None:
            found = self.secures[key] = self._secure(path, env, cwd)
        if isinstance(found, InvalidInput):
            raise found
        return found

    def _secure(self, path: bytes, env: tuple[str, ...], cwd: str) -> Secure | InvalidInput:
        from caplet.image.secure import Secure, lost_when_secure  # takes its time to load

        try:
            head = self.files.read(self.files.resolve(path).node, HEAD)
            if names_no_loader(head):
                return Secure()
            return lost_when_secure(self.files, path, env, cwd)
        except InvalidInput as error:
            return error

    def with_attributes(self, attributes: Mapping[bytes, bytes | None]) -> ImageFacts:
        """The image as it would be with other file capabilities: raw attributes by path without links, None for no attribute."""
        changed = _Changed(self.files, dict(attributes))
        # Attributes decide neither who a user is nor where libraries are.
        return ImageFacts(self.config, changed, self.reference, secures=self.secures, accounts=self.accounts)


class Remembering:
    """The same files, each resolved and read once. For images on disk, whose every look costs a decompression."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._resolved: dict[tuple[bytes, bool, int], Resolved | NotFound] = {}
        self._heads: dict[int, tuple[Node, int, bytes]] = {}

    def resolve(self, path: bytes, *, follow: bool = True, links: int = MAX_LINKS) -> Resolved:
        key = (path, follow, links)
        with self._lock:
            found = self._resolved.get(key)
            if found is None:
                try:
                    found = self._files.resolve(path, follow=follow, links=links)
                except NotFound as error:
                    found = error
                self._resolved[key] = found
        if isinstance(found, NotFound):
            raise found
        return found

    def read(self, node: Node, limit: int | None = None) -> bytes:
        wanted = node.size if limit is None else min(limit, node.size)
        with self._lock:
            kept = self._heads.get(id(node))
            if kept is not None and kept[1] >= wanted:
                return kept[2][:wanted]
            if wanted > MAX_REMEMBERED:
                return self._files.read(node, limit)
            data = self._files.read(node, wanted)
            self._heads[id(node)] = (node, wanted, data)
            return data[:wanted]

    def parents(self, path: bytes) -> list[tuple[bytes, Directory]]:
        with self._lock:
            return self._files.parents(path)


@dataclass(frozen=True, slots=True, eq=False)
class _Changed:
    """Files of which some have another attribute."""

    files: Files
    attributes: dict[bytes, bytes | None]

    def resolve(self, path: bytes, *, follow: bool = True, links: int = MAX_LINKS) -> Resolved:
        found = self.files.resolve(path, follow=follow, links=links)
        if found.path not in self.attributes:
            return found
        value = self.attributes[found.path]
        others = {name: raw for name, raw in found.node.xattrs.items() if name != CAPABILITY}
        xattrs = others if value is None else {**others, CAPABILITY: value}
        return Resolved(found.path, replace(found.node, xattrs=xattrs))

    def read(self, node: Node, limit: int | None = None) -> bytes:
        return self.files.read(node, limit)

    def parents(self, path: bytes) -> list[tuple[bytes, Directory]]:
        return self.files.parents(path)
