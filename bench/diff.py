# SPDX-License-Identifier: Apache-2.0
"""A layer as an engine makes it: the difference between a directory before and after a step, as a tar file.

GNU tar writes it, so that what caplet reads here was not written by caplet. Changed entries come with all their parents (as in an
overlay's upper directory), removed names as whiteouts (OCI image-spec, layer.md, "Whiteouts"), times in whole seconds (as Docker
and containerd truncate them), extended attributes as PAX records.
"""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTED = (b"dev", b"proc", b"sys", b"run", b"tmp")
"""Directories whose contents belong to the running system, never to a layer."""

Signature = tuple[int, ...]
Snapshot = dict[bytes, Signature]


@dataclass(frozen=True, slots=True)
class Difference:
    """What one step did to a directory tree."""

    changed: tuple[bytes, ...]
    """Relative names of new and changed entries with all their parents, sorted."""
    whiteouts: tuple[bytes, ...]
    """Relative names of the `.wh.` markers of what was removed, sorted."""


def snapshot(root: str) -> Snapshot:
    """What can be told about each entry without reading it."""
    return {
        os.path.relpath(entry.path, os.fsencode(root)): _signature(entry.stat(follow_symlinks=False))
        for entry in _walk(os.fsencode(root), top=True)
    }


def _walk(directory: bytes, *, top: bool) -> Iterator[os.DirEntry[bytes]]:
    for entry in os.scandir(directory):
        yield entry
        if entry.is_dir(follow_symlinks=False) and not (top and entry.name in MOUNTED):
            yield from _walk(entry.path, top=False)


def _signature(status: os.stat_result) -> Signature:
    """The change time tells of a new owner, mode or attribute; a directory's is that of its own entries too, as in an overlay."""
    return (status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_ino, status.st_ctime_ns)


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """The entries of a layer."""
    changed: set[bytes] = set()
    for name, signature in after.items():
        if before.get(name) != signature:
            changed.update(_with_parents(name))
    removed = before.keys() - after.keys()
    topmost = {name for name in removed if os.path.dirname(name) not in removed}
    whiteouts = {os.path.join(os.path.dirname(name), b".wh." + os.path.basename(name)) for name in topmost}
    return Difference(tuple(sorted(changed)), tuple(sorted(whiteouts)))


def _with_parents(name: bytes) -> Iterator[bytes]:
    while name:
        yield name
        name = os.path.dirname(name)


def write_tar(root: str, change: Difference, target: str) -> None:
    """Write the difference as a layer."""
    with tempfile.TemporaryDirectory() as markers:
        for name in change.whiteouts:
            path = os.path.join(os.fsencode(markers), name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb"):
                pass
        _tar("--create", root, change.changed, target)
        if change.whiteouts:
            _tar("--append", markers, change.whiteouts, target)


def _tar(mode: str, root: str, names: tuple[bytes, ...], target: str) -> None:
    command = [
        *("tar", mode, "--file", target, "--directory", root, "--format=posix", "--numeric-owner"),
        *("--xattrs", "--xattrs-include=*", "--no-recursion", "--null", "--verbatim-files-from"),
        "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime,delete=mtime",
        *("--files-from", "-"),
    ]
    listing = b"".join(name + b"\0" for name in names if _archivable(root, name))
    subprocess.run(command, input=listing, check=True)


def _archivable(root: str, name: bytes) -> bool:
    return not stat.S_ISSOCK(os.lstat(os.path.join(os.fsencode(root), name)).st_mode)
