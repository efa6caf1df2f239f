# SPDX-License-Identifier: Apache-2.0
"""Which program an image's process starts: ENTRYPOINT and CMD, looked up as the OCI runtime and execve(2) do.

The runtime finds argv[0] along PATH inside the container, from the working directory (runc
libcontainer/standard_init_linux.go, which calls Go's os/exec LookPath; crun src/libcrun/utils.c, find_executable). The
kernel then follows links, and `#!` lines (fs/binfmt_script.c, load_script), up to five of them (fs/exec.c,
exec_binprm); the credentials come from the last file of that chain alone.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from caplet.errors import InvalidInput
from caplet.image.entry import Kind
from caplet.image.node import CAPABILITY
from caplet.image.rootfs import NotFound
from caplet.image.rootpath import MAX_KERNEL_LINKS
from caplet.kernel.execve import MAX_INTERPRETERS
from caplet.kernel.execve import Program as KernelProgram
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caplet.image.config import ImageConfig
    from caplet.image.node import Directory, Node
    from caplet.image.passwd import User
    from caplet.image.rootfs import Resolved

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where the image's environment has no PATH (containerd pkg/oci/spec.go, defaultUnixEnv)."""

BINPRM_BUF_SIZE = 256
"""Bytes of a file that execve looks at (include/uapi/linux/binfmts.h)."""

_ELF = b"\x7fELF"
_TERMINATORS = b" \t\0"


class Files(Protocol):
    """What is needed of a file system: a `Rootfs`, or a `TopDown` that reads few layers."""

    def resolve(self, path: bytes, *, follow: bool = True, links: int = ...) -> Resolved: ...

    def read(self, node: Node, limit: int | None = None) -> bytes: ...

    def parents(self, path: bytes) -> list[tuple[bytes, Directory]]: ...


@dataclass(frozen=True, slots=True)
class Link:
    """One file of the chain."""

    path: bytes
    """In the image, links resolved."""
    node: Node
    argument: bytes = b""
    """What the `#!` line before it hands it."""

    @property
    def caps(self) -> FileCaps | bytes | None:
        """Its capabilities; the raw bytes where the kernel will refuse them."""
        raw = self.node.xattrs.get(CAPABILITY)
        if raw is None:
            return None
        try:
            return FileCaps.decode(raw)
        except InvalidInput:
            return raw


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the program does not start, before any capability is looked at."""

    errno: int
    message: str

    @property
    def name(self) -> str:
        """ENOENT, EACCES, ..."""
        return errno.errorcode[self.errno]


@dataclass(frozen=True, slots=True)
class Program:
    """What execve(2) meets: the file that argv[0] names, then the interpreters that `#!` lines name."""

    argv: tuple[str, ...]
    chain: tuple[Link, ...]
    """Empty where argv[0] was not found."""
    problem: Problem | None = None

    @property
    def file(self) -> Link:
        """The file whose capabilities and set-id bits count: the last of the chain."""
        return self.chain[-1]

    def for_kernel(self) -> KernelProgram:
        """The same for `caplet.kernel.execve`."""
        program: KernelProgram | None = None
        for link in reversed(self.chain):
            node = link.node
            program = KernelProgram(
                caps=link.caps, mode=node.mode, uid=node.uid, gid=node.gid, interpreter=program
            )
        if program is None:
            raise InvalidInput(f"{self.argv[0]} was not found in the image")
        return program


def image_argv(config: ImageConfig, command: Sequence[str] = (), args: Sequence[str] = ()) -> tuple[str, ...]:
    """What is started: a Pod's `command` replaces ENTRYPOINT and CMD, its `args` alone replace CMD.

    containerd internal/cri/opts/spec_opts.go, WithProcessArgs. Raises InvalidInput where nothing is named.
    """
    entrypoint = () if config.entrypoint == ("",) else config.entrypoint
    argv = (*command, *args) if command else (*entrypoint, *(args or config.cmd))
    if not argv:
        raise InvalidInput("the image names no program: it has neither ENTRYPOINT nor CMD", "give a command")
    return tuple(argv)


def find_program(
    rootfs: Files, argv: Sequence[str], env: Iterable[str] = (), working_dir: str = "/"
) -> Program:
    """Looks argv[0] up. That it is missing or not executable is the result's `problem`, not an exception."""
    finder = _Finder(rootfs, _absolute(working_dir))
    argv = tuple(argv)
    name = os.fsencode(argv[0])
    start = finder.executable(name) if b"/" in name else finder.along_path(name, _search_path(env))
    if isinstance(start, Problem):
        return Program(argv, (), start)
    chain = [start]
    while True:
        head = rootfs.read(chain[-1].node, BINPRM_BUF_SIZE)
        following = finder.interpreter(chain[-1], head)
        if following is None:
            return Program(argv, tuple(chain))
        if isinstance(following, Problem):
            return Program(argv, tuple(chain), following)
        if len(chain) > MAX_INTERPRETERS:
            return Program(
                argv, tuple(chain), Problem(errno.ELOOP, "more than five #! lines lead to one another")
            )
        chain.append(following)


def may_execute(rootfs: Files, link: Link, user: User) -> Problem | None:
    """Whether that user may: execute permission of the file, search permission of each directory above it.

    For a user other than root; root needs any one execute bit (CAP_DAC_OVERRIDE), which `find_program` has checked.
    """
    if user.uid == 0:
        return None
    for path, node in [*rootfs.parents(link.path), (link.path, link.node)]:
        if not _class_bits(node, user) & 1:
            return Problem(
                errno.EACCES,
                f"{_text(path)} has mode {node.mode:04o}, owner {node.uid}:{node.gid}: user {user.uid} may not",
            )
    return None


def _class_bits(node: Node, user: User) -> int:
    if node.uid == user.uid:
        return node.mode >> 6 & 7
    return node.mode >> 3 & 7 if node.gid in (user.gid, *user.groups) else node.mode & 7


@dataclass(frozen=True, slots=True)
class _Finder:
    rootfs: Files
    working_dir: bytes

    def executable(self, name: bytes) -> Link | Problem:
        """What execve(2) opens for that path (fs/exec.c, do_open_execat)."""
        path = name if name.startswith(b"/") else self.working_dir + b"/" + name
        try:
            found = self.rootfs.resolve(path, links=MAX_KERNEL_LINKS)
        except NotFound as error:
            return Problem(errno.ENOENT, _with_hint(error))
        except InvalidInput as error:
            code = errno.ELOOP if "too many" in error.message else errno.ENOTDIR
            return Problem(code, error.message)
        if found.node.kind is not Kind.FILE:
            what = "is a directory" if found.node.kind is Kind.DIRECTORY else "is not a regular file"
            return Problem(errno.EACCES, f"{_text(found.path)} {what}")
        if not found.node.mode & 0o111:
            return Problem(errno.EACCES, f"{_text(found.path)} is not executable: mode {found.node.mode:04o}")
        return Link(found.path, found.node)

    def along_path(self, name: bytes, search: Sequence[bytes]) -> Link | Problem:
        """The first directory of PATH with an executable file of that name."""
        refused: Problem | None = None
        for directory in search:
            found = self.executable((directory or b".") + b"/" + name)
            if isinstance(found, Link):
                return found
            if found.errno == errno.EACCES and refused is None:
                refused = found
        shown = os.fsdecode(b":".join(search))
        return refused or Problem(errno.ENOENT, f"{_text(name)}: not found along PATH={shown}")

    def interpreter(self, link: Link, head: bytes) -> Link | Problem | None:
        """The file that the `#!` line names; None for a program that the kernel loads itself."""
        if head.startswith(_ELF):
            return None
        line = shebang(head)
        if line is None:
            return Problem(
                errno.ENOEXEC, f"{_text(link.path)} is neither an ELF program nor a script with a #! line"
            )
        name, argument = line
        found = self.executable(name)
        if isinstance(found, Problem):
            return Problem(found.errno, f"{_text(link.path)} asks for {_text(name)}: {found.message}")
        return Link(found.path, found.node, argument)


def shebang(head: bytes) -> tuple[bytes, bytes] | None:
    """(interpreter, argument) of a script's first line, None where the kernel sees none."""
    if not head.startswith(b"#!"):
        return None
    buffer = head[:BINPRM_BUF_SIZE].ljust(BINPRM_BUF_SIZE, b"\0")
    line, newline, _ = buffer[2:].partition(b"\n")
    if not newline:
        line = line[:-1]
        if not any(byte in _TERMINATORS for byte in line.lstrip(b" \t")):
            return None  # the name may go on where the kernel does not look
    line = line.strip(b" \t")
    name = line
    for place, byte in enumerate(line):
        if byte in _TERMINATORS:
            name = line[:place]
            break
    if not name:
        return None
    rest = line[len(name) :]
    argument = b"" if rest.startswith(b"\0") else rest.lstrip(b" \t").split(b"\0", 1)[0]
    return name, argument


def _search_path(env: Iterable[str]) -> list[bytes]:
    search = DEFAULT_PATH
    for variable in env:
        name, equals, value = variable.partition("=")
        if name == "PATH" and equals:
            search = value
    return os.fsencode(search).split(b":") if search else []


def _absolute(working_dir: str) -> bytes:
    return b"/" + os.fsencode(working_dir).lstrip(b"/")


def _with_hint(error: InvalidInput) -> str:
    return f"{error.message}. {error.hint}" if error.hint else error.message


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
