# SPDX-License-Identifier: Apache-2.0
"""A place beside the output where it is built, to be renamed over it when it is whole.

However the process ends, the output is the old one or the new one. What a killed process leaves here, the next write
to the same output removes: a staging place is locked (flock(2)) by the process that fills it, so one without a lock is
nobody's.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = ".caplet-"
MAX_TRIES = 16


@dataclass(slots=True)
class _Made:
    """What was made and not yet removed."""

    path: str = ""
    fd: int = -1

    def remove(self) -> None:
        """Also where only a part was done, and again after an interrupt."""
        with contextlib.suppress(OSError):
            # Ours is the one that our descriptor is open on: after a rename another may have the name.
            if self.path and (self.fd < 0 or os.path.samestat(os.fstat(self.fd), os.lstat(self.path))):
                _remove(self.path)
        self.path = ""
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            descriptor, self.fd = self.fd, -1
            os.close(descriptor)


class Staging:
    """A new directory or file named `.NAME.caplet-RANDOM` in `parent`; removed on exit unless it was renamed away.

    To enter it makes nothing yet, `create` does: an interrupt that comes in between finds the removal arranged for.
    """

    def __init__(self, parent: str, name: str, *, directory: bool) -> None:
        self._parent = parent
        self._prefix = f".{name}{MARK}"
        self._directory = directory
        self._made = _Made()
        # For the interrupt that comes between the end of the `with` block and the first line of __exit__.
        self._fallback = weakref.finalize(self, self._made.remove)
        self._fallback.atexit = False  # a forked child must not clear up for its parent

    @property
    def path(self) -> str:
        return self._made.path

    @property
    def fd(self) -> int:
        """Open on the file (for writing) or on the directory."""
        return self._made.fd

    def __enter__(self) -> Self:
        return self

    def create(self) -> None:
        """Make the directory or file, locked. What others abandoned here goes first."""
        self._remove_abandoned()
        for _ in range(MAX_TRIES):
            if self._create():
                return
        raise OSError(errno.EAGAIN, "another process removes the staging place again and again", self._parent)

    def __exit__(self, *failure: object) -> None:
        interrupted: KeyboardInterrupt | None = None
        while True:
            try:
                self._made.remove()
            except KeyboardInterrupt as error:  # a second ^C: first clear up
                interrupted = error
            else:
                break
        self._fallback.detach()
        if interrupted is not None:
            raise interrupted

    def _create(self) -> bool:
        """Create and lock it; False where another process took it for abandoned before the lock was on it."""
        made = self._made
        made.path = os.path.join(self._parent, self._prefix + os.urandom(6).hex())
        if self._directory:
            os.mkdir(made.path)
            try:
                made.fd = os.open(made.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                return False
        else:
            made.fd = os.open(made.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        # To wait, not LOCK_NB: whoever has the lock is about to remove it, which shows below.
        with contextlib.suppress(
            OSError
        ):  # some network file systems have no locks: nothing is taken for abandoned
            fcntl.flock(made.fd, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(made.fd), os.lstat(made.path)):
                return True
        made.close()
        return False

    def _remove_abandoned(self) -> None:
        with contextlib.suppress(OSError):
            for name in os.listdir(self._parent):
                if name.startswith(self._prefix):
                    with contextlib.suppress(OSError), _locked(os.path.join(self._parent, name)) as path:
                        _remove(path)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[str]:
    """Hold the lock of an abandoned place; BlockingIOError where a living process has it."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        shutil.rmtree(path, ignore_errors=True)
    else:
        os.unlink(path)


def is_staging(name: str) -> bool:
    """Whether a name in a directory is one of ours."""
    return name.startswith(".") and MARK in name


def sync_tree(path: str) -> None:
    """Make everything below a staging directory durable.

    All at the end: the first fsync(2) commits the journal for the others. A file with more than one link was not
    written here.
    """
    for directory, _, names in os.walk(path, topdown=False):
        for name in names:
            fd = os.open(os.path.join(directory, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if os.fstat(fd).st_nlink == 1:
                    os.fsync(fd)
            finally:
                os.close(fd)
        sync_directory(directory)


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # EINVAL: a file system that does not know it
            os.fsync(fd)
    finally:
        os.close(fd)
