# SPDX-License-Identifier: Apache-2.0
"""Which uid, gid and groups an image's USER is: the image's own /etc/passwd and /etc/group, read as containerd reads them.

containerd v2.3 pkg/oci/spec_opts.go (WithUser, WithUserID, WithUsername, WithAdditionalGIDs, openUserFile) and, for the
files, moby/sys/user user.go (ParsePasswdFilter, ParseGroupFilter). passwd(5): name:password:UID:GID:GECOS:directory:shell.

A number that is not in the file is a user all the same, with group 0; a name must be there. Odd lines are not skipped:
fields that are missing are empty or 0, and a number that is none is 0, so `eve:x:` makes eve root.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from caplet.errors import InvalidInput
from caplet.image.entry import Kind
from caplet.image.rootfs import NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.program import Files

MAX_ID = (1 << 31) - 1
"""runc takes no larger id, and so containerd takes none in USER (WithUser)."""

MAX_FILE = 10 << 20
"""Bytes of one of the two files (maxUserFileBytes, containerd v2.4)."""

MAX_PASSWD_LINE = 64 << 10
MAX_GROUP_LINE = 1 << 20
"""A longer line ends the reading with an error (bufio.Scanner)."""

_NUMBER = re.compile(r"[+-]?[0-9]+")
_SPACE = "\t\n\v\f\r \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
"""What Go's bytes.TrimSpace trims: fewer characters than str.strip()."""

_MAX_INT64 = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class User:
    """Who the image's process is."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    """Supplementary groups as the runtime gets them: the primary group first."""
    name: str = ""
    """Its name in /etc/passwd; empty where it has none."""


def resolve_user(rootfs: Files, user: str) -> User:
    """USER in any of its forms: "", user, uid, user:group, uid:gid, uid:group, user:gid. Empty is root.

    Raises InvalidInput where containerd would not start the container.
    """
    who, colon, group = user.partition(":")
    if ":" in group:
        raise InvalidInput(f"USER {user!r} has more than one colon", "write user, uid, user:group or uid:gid")
    uid = _user_number(user, who, "uid") if user else 0
    if not colon:
        uid, gid, name = _primary(rootfs, who, uid)
    else:
        gid_number = _user_number(user, group, "gid")
        name = ""
        if uid is None and who:
            name, uid = who, _named(_passwd(rootfs), who, "user", "/etc/passwd").uid
        if gid_number is None and group:
            gid_number = _named(_groups(rootfs), group, "group", "/etc/group").gid
        uid, gid = uid or 0, gid_number or 0
    return User(uid, gid, _with_primary(gid, _supplementary(rootfs, who if user else "0")), name)


def _primary(rootfs: Files, who: str, uid: int | None) -> tuple[int, int, str]:
    if uid is None:
        line = _named(_passwd(rootfs), who, "user", "/etc/passwd")
        return line.uid, line.gid, line.name
    try:
        for line in _passwd(rootfs):
            if line.number == uid:
                return line.uid, line.gid, line.name
    except NotFound:
        pass
    return uid, 0, ""


def _supplementary(rootfs: Files, who: str) -> list[int]:
    """The groups that list the user (WithAdditionalGIDs); a group of the user's own name is its primary one."""
    name = who
    try:
        if _NUMBER.fullmatch(who):
            named = [line.name for line in _passwd(rootfs) if line.number == _atoi(who)]
            if not named:
                return []
            name = named[0]
        return [line.gid for line in _groups(rootfs) if line.name != name and name in line.members]
    except NotFound:
        return []


def _with_primary(gid: int, others: list[int]) -> tuple[int, ...]:
    """ensureAdditionalGids: the primary group leads, unless it is among them."""
    return tuple(others) if gid in others else (gid, *others)


def _user_number(user: str, part: str, what: str) -> int | None:
    """A number in USER, None for a name."""
    if not _NUMBER.fullmatch(part):
        return None
    number = _atoi(part)
    if not 0 <= number <= MAX_ID:
        raise InvalidInput(f"USER {user!r}: {what} out of range", f"ids go from 0 to {MAX_ID}")
    return number


@dataclass(frozen=True, slots=True)
class _PasswdLine:
    name: str
    number: int
    """The uid as it was parsed, before it is cut to 32 bits."""
    gid: int

    @property
    def uid(self) -> int:
        return self.number & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class _GroupLine:
    name: str
    gid: int
    members: frozenset[str]


_Line = TypeVar("_Line", _PasswdLine, _GroupLine)


def _passwd(rootfs: Files) -> Iterator[_PasswdLine]:
    for line in _lines(rootfs, b"/etc/passwd", MAX_PASSWD_LINE):
        name, _, uid, gid = (line.split(":", 4) + [""] * 4)[:4]
        yield _PasswdLine(name, _atoi(uid), _atoi(gid) & 0xFFFFFFFF)


def _groups(rootfs: Files) -> Iterator[_GroupLine]:
    for line in _lines(rootfs, b"/etc/group", MAX_GROUP_LINE):
        if line.startswith("#"):
            continue
        name, _, gid, members = (line.split(":", 4) + [""] * 4)[:4]
        yield _GroupLine(
            name, _atoi(gid) & 0xFFFFFFFF, frozenset(members.split(",")) if members else frozenset()
        )


def _lines(rootfs: Files, path: bytes, longest: int) -> Iterator[str]:
    node = rootfs.resolve(path).node
    shown = path.decode()
    if node.kind is not Kind.FILE:
        raise InvalidInput(f"{shown} of the image is not a regular file")
    if node.size > MAX_FILE:
        raise InvalidInput(f"{shown} of the image has {node.size} bytes; containerd reads {MAX_FILE}")
    for raw in rootfs.read(node).split(b"\n"):
        if len(raw) >= longest:
            raise InvalidInput(f"{shown} of the image has a line of {len(raw)} bytes")
        line = raw.decode("utf-8", "surrogateescape").strip(_SPACE)
        if line:
            yield line


def _atoi(text: str) -> int:
    """strconv.Atoi with its error ignored: 0 for what is no number, the nearest of 64 bits for one too large."""
    if not _NUMBER.fullmatch(text):
        return 0
    digits = text.lstrip("+-").lstrip("0")
    magnitude = int(digits or "0") if len(digits) < 20 else _MAX_INT64 + 1
    return max(-magnitude, -_MAX_INT64 - 1) if text.startswith("-") else min(magnitude, _MAX_INT64)


def _named(lines: Iterator[_Line], name: str, what: str, where: str) -> _Line:
    """The first line of that name."""
    try:
        for line in lines:
            if line.name == name:
                return line
    except NotFound:
        raise InvalidInput(
            f"the image has no {where}, so its {what} {name!r} means nobody", f"use the {what}'s number"
        ) from None
    raise InvalidInput(f"the {what} {name!r} is not in the image's {where}", f"use the {what}'s number")
