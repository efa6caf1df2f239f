# SPDX-License-Identifier: Apache-2.0
"""Users and groups of the image as its C library finds them: getpwnam(3), getpwuid(3), getgrnam(3), getgrouplist(3).

The `files` service of nsswitch.conf(5), which is all that an image without a directory service has: lines of /etc/passwd
and /etc/group with their fields in place; lines that are not whole are skipped (glibc nss/nss_files/files-parse.c).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.image.program import Files

MAX_FILE = 10 << 20
"""Bytes of one of the two files that are read: as `caplet.image.passwd` has it."""


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd(5)."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


@dataclass(frozen=True, slots=True)
class Group:
    """A line of group(5)."""

    name: str
    gid: int
    members: tuple[str, ...]


def getpwnam(files: Files, name: str) -> Account | None:
    return next((account for account in accounts(files) if account.name == name), None)


def getpwuid(files: Files, uid: int) -> Account | None:
    return next((account for account in accounts(files) if account.uid == uid), None)


def getgrnam(files: Files, name: str) -> Group | None:
    return next((group for group in groups(files) if group.name == name), None)


def getgrouplist(files: Files, name: str, gid: int) -> tuple[int, ...]:
    """The group itself, then the groups that list the user, each once."""
    found = [gid, *(group.gid for group in groups(files) if name in group.members)]
    return tuple(dict.fromkeys(found))


def accounts(files: Files) -> Iterator[Account]:
    for line in _lines(files, b"/etc/passwd"):
        fields = line.split(":")
        if len(fields) < 7 or not fields[2].isdecimal() or not fields[3].isdecimal():
            continue
        yield Account(fields[0], int(fields[2]), int(fields[3]), fields[5], fields[6])


def groups(files: Files) -> Iterator[Group]:
    for line in _lines(files, b"/etc/group"):
        fields = line.split(":")
        if len(fields) < 4 or not fields[2].isdecimal():
            continue
        members = tuple(name.strip() for name in fields[3].split(",") if name.strip())
        yield Group(fields[0], int(fields[2]), members)


def number(text: str) -> int | None:
    """What strtol(3) makes of a whole text, as an id of 32 bits; None for a name."""
    digits = text.strip(" \t\n").removeprefix("+")
    if not digits.removeprefix("-").isdecimal() or not digits.isascii() or len(digits) > 20:
        return None
    return int(digits) & 0xFFFFFFFF


def _lines(files: Files, path: bytes) -> Iterator[str]:
    try:
        node = files.resolve(path).node
        if node.kind is not Kind.FILE:
            return
        data = files.read(node, MAX_FILE)
    except InvalidInput:
        return
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        if line and not line.startswith("#"):
            yield line
