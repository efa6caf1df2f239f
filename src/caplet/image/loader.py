# SPDX-License-Identifier: Apache-2.0
"""The dynamic loader's search for libraries, with and without AT_SECURE: glibc's rules, and musl's.

glibc 2.36 elf/dl-load.c: _dl_map_object() (the order), fillin_rpath(), _dl_dst_substitute() ($ORIGIN and what AT_SECURE
makes of it), open_verify() (a file for another machine is passed over); elf/dl-deps.c, expand_dst(); the directories that
it trusts and searches last are in its own file (system_dirs). musl 1.2.3 ldso/dynlink.c: load_library(), fixup_rpath(),
path_open(), load_deps(). ld.so(8) tells glibc's side in prose.

For both, a library's own $ORIGIN counts under AT_SECURE; only the program's is restricted. Relative directories count, too.
"""

from __future__ import annotations

import os
import posixpath
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from caplet.errors import InvalidInput
from caplet.image.dynamic import Dynamic, read_dynamic
from caplet.image.entry import Kind
from caplet.image.ldcache import MAX_CACHE, read_cache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from caplet.image.node import Node
    from caplet.image.program import Files

MAX_FILE = 512 << 20
"""Bytes of a program or library that are read. The largest known, of browsers and machine learning, have half of it."""
MAX_LIBRARIES = 512
"""Libraries that are followed for one program."""
MAX_DIRECTORIES = 256
"""Directories of one search path that are looked into."""
MAX_PATH_FILE = 64 << 10
"""Bytes of musl's path file that are read."""

CACHE = b"/etc/ld.so.cache"


class Through(Enum):
    """What made the loader find a library."""

    RPATH = "DT_RPATH"
    RUNPATH = "DT_RUNPATH"
    ENVIRONMENT = "LD_LIBRARY_PATH"
    CACHE = "/etc/ld.so.cache"
    DEFAULT = "the default directories"
    PATH = "its path"


@dataclass(frozen=True, slots=True)
class Object:
    """A program or library that is loaded."""

    path: bytes
    dynamic: Dynamic
    needed_by: Object | None = None

    @property
    def chain(self) -> Iterator[Object]:
        """Itself, what needed it, and so on up to the program."""
        here: Object | None = self
        while here is not None:
            yield here
            here = here.needed_by


@dataclass(frozen=True, slots=True)
class Found:
    """Where a library is."""

    path: bytes
    through: Through
    element: bytes = b""
    """The element of the search path as it is written: b"$ORIGIN/../lib"."""
    owner: bytes = b""
    """Whose run path that is."""


class Opener:
    """Reads ELF files of the image, each once."""

    def __init__(self, files: Files, working_dir: bytes) -> None:
        self.files = files
        self.working_dir = working_dir
        self.unread: list[bytes] = []
        """Files that are too large."""
        self._read: dict[int, Dynamic | None] = {}
        self._nodes: list[Node] = []  # keeps them, so that an id() stays theirs

    def absolute(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else posixpath.join(self.working_dir, path)

    def node(self, path: bytes) -> Node | None:
        """The regular file at that path."""
        try:
            node = self.files.resolve(self.absolute(path)).node
        except InvalidInput:
            return None
        return node if node.kind is Kind.FILE else None

    def dynamic(self, path: bytes) -> Dynamic | None:
        """None where there is no ELF file."""
        node = self.node(path)
        if node is None:
            return None
        if id(node) not in self._read:
            self._nodes.append(node)
            self._read[id(node)] = self._of(path, node)
        return self._read[id(node)]

    def _of(self, path: bytes, node: Node) -> Dynamic | None:
        if node.size > MAX_FILE:
            self.unread.append(path)
            return None
        try:
            return read_dynamic(self.files.read(node))
        except InvalidInput:
            return None

    def contents(self, path: bytes, limit: int) -> bytes | None:
        node = self.node(path)
        return None if node is None else self.files.read(node, limit)


class Loader(Protocol):
    """One C library's loader in one image: `find` gives where it finds what an object needs, `is_own` whether it is that itself."""

    name: str

    def find(self, name: bytes, needed_by: Object, *, secure: bool) -> Found | None: ...

    def is_own(self, name: bytes) -> bool: ...


_ORIGIN = re.compile(rb"\$(?:ORIGIN(?![A-Za-z0-9_])|\{ORIGIN\})")
_TOKEN = re.compile(rb"\$(?:(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_])|\{(ORIGIN|LIB|PLATFORM)\})")


def has_token(text: bytes) -> bool:
    """A dynamic string token: $ORIGIN, $LIB, $PLATFORM."""
    return _TOKEN.search(text) is not None


_PLATFORMS = {62: b"x86_64", 3: b"i686", 183: b"aarch64", 40: b"v7l", 22: b"z900", 21: b"power8"}
_HWCAPS = {
    62: (b"x86-64-v4", b"x86-64-v3", b"x86-64-v2"),
    21: (b"power10", b"power9"),
    22: (b"z16", b"z15", b"z14", b"z13"),
}
"""Subdirectories of glibc-hwcaps, the best first (glibc sysdeps/*/dl-hwcaps-subdirs.c)."""


@dataclass(slots=True)
class Glibc:
    opener: Opener
    program: Object
    library_path: bytes | None
    """LD_LIBRARY_PATH."""
    system: tuple[bytes, ...]
    """The default directories, which are the trusted ones; each ends with a slash."""
    own: bytes
    """PT_INTERP."""
    name: str = "glibc"
    _cache: Mapping[bytes, tuple[bytes, ...]] | None = None

    def is_own(self, name: bytes) -> bool:
        return name == posixpath.basename(self.own)

    def find(self, name: bytes, needed_by: Object, *, secure: bool) -> Found | None:
        if b"/" in name:
            path = self._expanded(name, needed_by, secure=False)
            return Found(path, Through.PATH) if path and self._fits(path) else None
        for place in self._places(needed_by, secure=secure):
            if (path := self._in(place.path, name)) is not None:
                return Found(path, place.through, place.element, place.owner)
        if not needed_by.dynamic.nodeflib:
            for path in self._cached().get(name, ()):
                if self._fits(path):
                    return Found(path, Through.CACHE)
            for directory in self.system:
                if (path := self._in(directory, name)) is not None:
                    return Found(path, Through.DEFAULT)
        return None

    def _places(self, needed_by: Object, *, secure: bool) -> Iterator[Found]:
        """The directories that come before the cache."""
        if needed_by.dynamic.runpath is None:
            for owner in needed_by.chain:
                yield from self._run_path(owner, owner.dynamic.rpath, Through.RPATH, secure=secure)
        if not secure and self.library_path is not None:
            for element in _elements(self.library_path, rb"[:;]"):
                path = self._expanded(element, self.program, secure=False)
                if path is not None:
                    yield Found(path, Through.ENVIRONMENT, element)
        yield from self._run_path(needed_by, needed_by.dynamic.runpath, Through.RUNPATH, secure=secure)

    def _run_path(
        self, owner: Object, text: bytes | None, through: Through, *, secure: bool
    ) -> Iterator[Found]:
        if not text:
            return
        for element in _elements(text, rb":"):
            path = self._expanded(element, owner, secure=secure)
            if path is not None:
                yield Found(path, through, element, owner.path)

    def _expanded(self, element: bytes, owner: Object, *, secure: bool) -> bytes | None:
        """_dl_dst_substitute(): None where the element is left out."""
        if not element:
            return b"."
        if secure and owner is self.program and _ORIGIN.search(element):
            first = _ORIGIN.match(element)
            if first is None or element[first.end() : first.end() + 1] not in (b"", b"/"):
                return None
            path = self._substituted(element, owner)
            return path if self._trusted(path) else None
        return self._substituted(element, owner)

    def _substituted(self, element: bytes, owner: Object) -> bytes:
        library = self.system[0].strip(b"/") if self.system else b"lib"
        values = {
            b"ORIGIN": posixpath.dirname(self.opener.absolute(owner.path)),
            b"LIB": library,
            b"PLATFORM": _PLATFORMS.get(self.program.dynamic.machine, b""),
        }
        return _TOKEN.sub(lambda match: values[match[1] or match[2]], element)

    def _trusted(self, path: bytes) -> bool:
        """is_trusted_path_normalize()."""
        normal = b"/" + posixpath.normpath(path).lstrip(b"/") + b"/"
        return any(normal.startswith(directory) for directory in self.system)

    def _in(self, directory: bytes, name: bytes) -> bytes | None:
        """open_path(): the plain file stands for those below glibc-hwcaps, which only some processors take."""
        path = posixpath.join(directory, name)
        if self._fits(path):
            return path
        for subdirectory in _HWCAPS.get(self.program.dynamic.machine, ()):
            path = posixpath.join(directory, b"glibc-hwcaps", subdirectory, name)
            if self._fits(path):
                return path
        return None

    def _fits(self, path: bytes) -> bool:
        dynamic = self.opener.dynamic(path)
        return dynamic is not None and dynamic.same_machine(self.program.dynamic)

    def _cached(self) -> Mapping[bytes, tuple[bytes, ...]]:
        if self._cache is None:
            data = self.opener.contents(CACHE, MAX_CACHE)
            self._cache = {} if data is None else read_cache(data, self.program.dynamic)
        return self._cache


_OWN_NAMES = re.compile(rb"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_DEFAULT_PATH = b"/lib:/usr/local/lib:/usr/lib"


@dataclass(slots=True)
class Musl:
    opener: Opener
    program: Object
    library_path: bytes | None
    own: bytes
    arch: bytes
    """As in the loader's name: b"x86_64"."""
    name: str = "musl"
    _system: tuple[bytes, ...] | None = None

    @property
    def path_file(self) -> bytes:
        """In etc beside the directory that the loader is in."""
        prefix = posixpath.dirname(posixpath.dirname(self.own))
        return prefix.rstrip(b"/") + b"/etc/ld-musl-" + self.arch + b".path"

    @property
    def has_path_file(self) -> bool:
        return self.opener.node(self.path_file) is not None

    def is_own(self, name: bytes) -> bool:
        return _OWN_NAMES.match(name) is not None or name == self.own

    def find(self, name: bytes, needed_by: Object, *, secure: bool) -> Found | None:
        if b"/" in name:
            return Found(name, Through.PATH) if self.opener.dynamic(name) is not None else None
        for place in self._places(needed_by, secure=secure):
            path = place.path + b"/" + name
            if self.opener.dynamic(path) is not None:
                return Found(path, place.through, place.element, place.owner)
        return None

    def _places(self, needed_by: Object, *, secure: bool) -> Iterator[Found]:
        if not secure and self.library_path:
            for element in _elements(self.library_path, rb"[:\n]"):
                yield Found(element, Through.ENVIRONMENT, element)
        for owner in needed_by.chain:
            yield from self._run_path(owner, secure=secure)
        for element in self._default():
            yield Found(element, Through.DEFAULT, element)

    def _run_path(self, owner: Object, *, secure: bool) -> Iterator[Found]:
        """fixup_rpath(): all of the program's run path is ignored where one element has $ORIGIN under AT_SECURE."""
        text = owner.dynamic.rpath if owner.dynamic.runpath is None else owner.dynamic.runpath
        if not text:
            return
        if b"$" in text and ((secure and owner is self.program) or b"$" in _MUSL_ORIGIN.sub(b"", text)):
            return
        through = Through.RPATH if owner.dynamic.runpath is None else Through.RUNPATH
        origin = posixpath.dirname(self.opener.absolute(owner.path))
        for element in _elements(text, rb"[:\n]"):
            yield Found(_MUSL_ORIGIN.sub(lambda _: origin, element), through, element, owner.path)

    def _default(self) -> tuple[bytes, ...]:
        if self._system is None:
            data = self.opener.contents(self.path_file, MAX_PATH_FILE)
            self._system = tuple(_elements(_DEFAULT_PATH if data is None else data, rb"[:\n]"))
        return self._system


_MUSL_ORIGIN = re.compile(rb"\$(?:ORIGIN|\{ORIGIN\})")

_SYSTEM_DIRS = re.compile(rb"(?:/[!-.0-9:-~][!-.0-9:-~/]*/\0)+")
_MUSL_ARCH = re.compile(rb"musl libc \(([a-z0-9_-]{1,32})\)")
_MAX_LOADER = 8 << 20


def loader_of(opener: Opener, program: Object, env: Mapping[str, str]) -> Loader | None:
    """Told by what the interpreter's file contains; None where it is another, or missing."""
    interpreter = program.dynamic.interpreter
    if interpreter is None:
        return None
    data = opener.contents(interpreter, _MAX_LOADER)
    if data is None:
        return None
    text = env.get("LD_LIBRARY_PATH")
    library_path = None if text is None else os.fsencode(text)
    musl = _MUSL_ARCH.search(data)
    if musl is not None:
        return Musl(opener, program, library_path, interpreter, musl[1])
    if b"ld.so.cache\0" not in data:
        return None
    return Glibc(opener, program, library_path or None, system_directories(data), interpreter)


def system_directories(data: bytes) -> tuple[bytes, ...]:
    """The system_dirs of glibc, in the loader's read-only data: directories one after the other, each with a slash and a NUL."""
    best = max(
        (match[0].split(b"\0")[:-1] for match in _SYSTEM_DIRS.finditer(data)),
        key=lambda directories: (sum(b"lib" in one for one in directories), len(directories)),
        default=[],
    )
    return tuple(best) if any(b"lib" in one for one in best) else (b"/lib/", b"/usr/lib/")


def _elements(text: bytes, separator: bytes) -> Sequence[bytes]:
    return re.split(separator, text)[:MAX_DIRECTORIES]


@dataclass(slots=True)
class Run:
    """One start of the program: which libraries the loader finds, first those that the program needs."""

    loader: Loader
    opener: Opener
    program: Object
    secure: bool
    instead: Mapping[bytes, Found] = field(default_factory=dict)
    """Where a library is taken from that is not found, so that what it needs can be looked for."""
    found: dict[bytes, Found | None] = field(default_factory=dict)
    needed_by: dict[bytes, bytes] = field(default_factory=dict)
    """Name -> the first object that needs it."""

    def load(self) -> None:
        """load_deps(), _dl_map_object_deps(): breadth first, each name once."""
        queue, names = [self.program], {self.program.dynamic.soname}
        for needed_by in queue:
            for name in needed_by.dynamic.needed:
                if name in self.found or name in names or self.loader.is_own(name):
                    continue
                if len(self.found) == MAX_LIBRARIES:
                    return
                found = self.loader.find(name, needed_by, secure=self.secure)
                self.found[name] = found
                self.needed_by[name] = needed_by.path
                place = found or self.instead.get(name)
                dynamic = self.opener.dynamic(place.path) if place is not None else None
                if place is not None and dynamic is not None:
                    names.add(dynamic.soname)
                    queue.append(Object(place.path, dynamic, needed_by))
