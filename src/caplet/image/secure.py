# SPDX-License-Identifier: Apache-2.0
"""What a program loses when AT_SECURE is set: libraries that its loader does not find any more, variables it does not see.

execve(2) sets AT_SECURE for a program that gains something: file capabilities, set-user-ID (getauxval(3)). Then the loader
no longer trusts the caller: it ignores LD_LIBRARY_PATH and LD_PRELOAD, and $ORIGIN in the program's own run path. glibc
removes the variables below from the environment, for the program and what it executes (sysdeps/generic/unsecvars.h;
elf/rtld.c process_envvars()); musl only ignores its own.
"""

from __future__ import annotations

import os
import posixpath
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.dynamic import read_dynamic
from caplet.image.entry import Kind
from caplet.image.loader import (
    MAX_FILE,
    Found,
    Glibc,
    Loader,
    Musl,
    Object,
    Opener,
    Run,
    Through,
    has_token,
    loader_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caplet.image.program import Files

GLIBC_REMOVES = frozenset(
    {
        "GCONV_PATH", "GETCONF_DIR", "GLIBC_TUNABLES", "HOSTALIASES", "LD_AUDIT", "LD_DEBUG", "LD_DEBUG_OUTPUT",
        "LD_DYNAMIC_WEAK", "LD_HWCAP_MASK", "LD_LIBRARY_PATH", "LD_ORIGIN_PATH", "LD_PRELOAD",
        "LD_PROFILE", "LD_SHOW_AUXV", "LOCALDOMAIN", "LOCPATH", "MALLOC_CHECK_", "MALLOC_TRACE", "NIS_PATH", "NLSPATH",
        "RESOLV_HOST_CONF", "RES_OPTIONS", "TMPDIR", "TZDIR",
    }
)  # fmt: skip
"""UNSECURE_ENVVARS, and tunables that are erased; measured with 2.36. GLIBC_TUNABLES goes as a whole since 2.39."""
MUSL_IGNORES = frozenset({"LD_LIBRARY_PATH", "LD_PRELOAD"})
"""musl 1.2.3 ldso/dynlink.c, __dls3()."""


NODE_IGNORES = ("NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "NODE_PATH")
"""nodejs/node src/node_credentials.cc SafeGetenv(); issues 22081, 37588, 22648. Since pull request 37727 (Node 16) it reads them
where CAP_NET_BIND_SERVICE is all that is permitted."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A library that the loader finds without AT_SECURE, and not with it, or elsewhere."""

    name: str
    needed_by: str
    """The program or library that needs it."""
    found: str
    """Where it is found without AT_SECURE."""
    through: Through
    instead: str | None
    """Where it is found with AT_SECURE; None: nowhere, and the program does not start."""
    why: str
    remedies: tuple[str, ...]
    """Commands for the image's build, each of them enough for this library."""


@dataclass(frozen=True, slots=True)
class Secure:
    """What AT_SECURE changes for one program and environment."""

    loader: str = ""
    """`glibc`, `musl`; empty for a static program, `unknown` for another loader, or where it is missing."""
    lost: tuple[Lost, ...] = ()
    fatal: str = ""
    """Why the loader gives up before it looks for any library."""
    preload: tuple[str, ...] = ()
    """What LD_PRELOAD names and is not loaded."""
    variables: tuple[str, ...] = ()
    """Variables of the environment that the program does not see, or that are ignored; sorted."""
    notes: tuple[str, ...] = ()

    @property
    def starts(self) -> bool:
        """Whether AT_SECURE alone keeps the program from starting: False where it does."""
        return not self.fatal and all(one.instead is not None for one in self.lost)


def lost_when_secure(
    files: Files, program_path: bytes, env: Iterable[str] = (), working_dir: str = "/"
) -> Secure:
    """The program is the file that execve(2) loads: of a script, the interpreter. InvalidInput where it is no ELF file."""
    resolved = files.resolve(program_path)
    if resolved.node.kind is not Kind.FILE:
        raise InvalidInput(f"{os.fsdecode(program_path)} is not a regular file")
    if resolved.node.size > MAX_FILE:
        return Secure("unknown", notes=(f"{os.fsdecode(resolved.path)} is too large to be read",))
    program = Object(resolved.path, read_dynamic(files.read(resolved.node)))
    split = (one.partition("=") for one in env)
    variables = {name: value for name, equals, value in split if equals}
    opener = Opener(files, os.fsencode(working_dir))
    said = _by_itself(program.path, variables)
    if program.dynamic.interpreter is None:
        return Secure(notes=said)
    loader = loader_of(opener, program, variables)
    if loader is None:
        interpreter = os.fsdecode(program.dynamic.interpreter)
        return Secure("unknown", notes=(f"{interpreter} is missing, or not a loader that is known", *said))
    found = _of(loader, opener, program, variables)
    return replace(found, notes=(*found.notes, *said))


def _by_itself(path: bytes, env: Mapping[str, str]) -> tuple[str, ...]:
    """What programs ignore that ask for AT_SECURE themselves."""
    if posixpath.basename(path) not in (b"node", b"nodejs"):
        return ()
    ignored = [name for name in NODE_IGNORES if name in env]
    if not ignored:
        return ()
    return (
        f"node itself ignores {', '.join(ignored)} under AT_SECURE; since version 16 not where CAP_NET_BIND_SERVICE is all it has",
    )


def _of(loader: Loader, opener: Opener, program: Object, env: Mapping[str, str]) -> Secure:
    glibc = isinstance(loader, Glibc)
    fatal = ""
    if glibc:
        fatal = next((_dst(name, program.path) for name in program.dynamic.needed if has_token(name)), "")
    removed = GLIBC_REMOVES if glibc else MUSL_IGNORES
    lost: tuple[Lost, ...] = ()
    if _may_lose(program, env):
        lost, deeper = _compare(loader, opener, program)
        fatal = fatal or deeper
    return Secure(
        loader=loader.name,
        lost=lost,
        fatal=fatal,
        preload=_preload(env, glibc=glibc),
        variables=tuple(sorted(name for name in env if name in removed)),
        notes=tuple(f"{os.fsdecode(path)} is too large to be read" for path in opener.unread),
    )


def _may_lose(program: Object, env: Mapping[str, str]) -> bool:
    """Nothing else differs: a library's own $ORIGIN counts under AT_SECURE as well."""
    own = (program.dynamic.rpath or b"") + (program.dynamic.runpath or b"")
    return b"$" in own or bool(env.get("LD_LIBRARY_PATH"))


def _dst(name: bytes, path: bytes) -> str:
    """expand_dst() of elf/dl-deps.c."""
    return f"{os.fsdecode(path)} needs {os.fsdecode(name)}: DST not allowed in SUID/SGID programs"


def _compare(loader: Loader, opener: Opener, program: Object) -> tuple[tuple[Lost, ...], str]:
    usual = Run(loader, opener, program, secure=False)
    usual.load()
    places = {name: found for name, found in usual.found.items() if found is not None}
    secure = Run(loader, opener, program, secure=True, instead=places)
    secure.load()
    lost = []
    for name, now in secure.found.items():
        before = places.get(name)
        if before is None or (now is not None and opener.node(now.path) is opener.node(before.path)):
            continue
        lost.append(_lost(loader, name, secure.needed_by[name], before, now))
    fatal = ""
    if isinstance(loader, Glibc):
        fatal = next((_dst(name, secure.needed_by[name]) for name in secure.found if has_token(name)), "")
    return tuple(lost), fatal


def _lost(loader: Loader, name: bytes, needed_by: bytes, before: Found, now: Found | None) -> Lost:
    directory = posixpath.normpath(posixpath.dirname(before.path))
    return Lost(
        name=os.fsdecode(name),
        needed_by=os.fsdecode(needed_by),
        found=os.fsdecode(before.path),
        through=before.through,
        instead=None if now is None else os.fsdecode(now.path),
        why=_why(loader, before),
        remedies=_remedies(loader, os.fsdecode(directory), before),
    )


def _why(loader: Loader, found: Found) -> str:
    if found.through is Through.ENVIRONMENT:
        return "LD_LIBRARY_PATH is ignored under AT_SECURE"
    element, owner = os.fsdecode(found.element), os.fsdecode(found.owner)
    said = f"{found.through.value} {element} of {owner}"
    if isinstance(loader, Glibc):
        trusted = ", ".join(os.fsdecode(directory).rstrip("/") for directory in loader.system)
        return (
            f"{said}: under AT_SECURE glibc expands a program's $ORIGIN only to directories below {trusted}"
        )
    return f"{said}: under AT_SECURE musl ignores a program's run path that has $ORIGIN in it"


def _remedies(loader: Loader, directory: str, found: Found) -> tuple[str, ...]:
    quoted = shlex.quote(directory)
    if isinstance(loader, Musl):
        file = shlex.quote(os.fsdecode(loader.path_file))
        default = "" if loader.has_path_file else "/lib:/usr/local/lib:/usr/lib:"
        first = f"echo {default}{quoted} >> {file}"
    else:
        name = shlex.quote(f"/etc/ld.so.conf.d/{posixpath.basename(directory) or 'libraries'}.conf")
        first = f"echo {quoted} > {name} && ldconfig"
    if not found.owner:
        return (first,)
    return (
        first,
        f"patchelf --set-rpath {quoted} {shlex.quote(os.fsdecode(found.owner))}, then setcap again",
    )


def _preload(env: Mapping[str, str], *, glibc: bool) -> tuple[str, ...]:
    """All of it: glibc would load set-user-ID libraries of its default directories by name, and images have none."""
    del glibc
    return tuple(env.get("LD_PRELOAD", "").replace(":", " ").split())
