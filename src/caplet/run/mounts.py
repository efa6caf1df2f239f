# SPDX-License-Identifier: Apache-2.0
"""What is mounted below a container's root: runtime-spec `mounts`, `maskedPaths`, `readonlyPaths`.

The root belongs to the image, so any path below it may be a symbolic link to anywhere. Every path is opened with
openat2(RESOLVE_IN_ROOT) and mounted on by its descriptor: no link can lead out.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from caplet.run import linux

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caplet.runtimes.model import Mount

_FLAGS = {
    "ro": linux.MS_RDONLY,
    "nosuid": linux.MS_NOSUID,
    "nodev": linux.MS_NODEV,
    "noexec": linux.MS_NOEXEC,
    "strictatime": linux.MS_STRICTATIME,
    "bind": linux.MS_BIND,
    "rbind": linux.MS_BIND | linux.MS_REC,
}
"""Options that are flags of mount(2), of those that our specs have; the others go to the file system."""

LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
"""runtime-spec config-linux.md "Dev symbolic links", and /dev/ptmx of "Default Devices"."""


class Root:
    """A container's root file system, an open directory."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def mount(self, mount: Mount) -> None:
        """Mount it; the place is made where the image lacks it, as runc does (a directory of mode 0755)."""
        flags = 0
        data = []
        for option in mount.options:
            if option in _FLAGS:
                flags |= _FLAGS[option]
            else:
                data.append(option)
        file = bool(flags & linux.MS_BIND) and not os.path.isdir(mount.source)
        with self._place(mount.destination, file=file) as place:
            if flags & linux.MS_BIND:
                linux.bind(mount.source, place)
            else:
                linux.mount(mount.source, place, mount.type, flags, ",".join(data))
        if flags & linux.MS_BIND and flags & ~(linux.MS_BIND | linux.MS_REC):
            with self._place(mount.destination, file=file) as place:
                linux.remount(place, flags & ~(linux.MS_BIND | linux.MS_REC))

    def link_devices(self) -> None:
        """The symbolic links of a container's /dev, where they are not there yet."""
        with self._open("/dev") as directory:
            for name, target in LINKS.items():
                with contextlib.suppress(FileExistsError):
                    os.symlink(target, name, dir_fd=directory)

    def make_read_only(self, paths: Iterable[str]) -> None:
        """Bind each over itself, read-only; one that is not there is left out (runc readonlyPath)."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError), self._open(path) as fd:
                place = f"/proc/self/fd/{fd}"
                linux.bind(place, place)
                with self._open(path) as top:
                    linux.remount(f"/proc/self/fd/{top}", linux.MS_RDONLY | _KEPT)

    def mask(self, paths: Iterable[str]) -> None:
        """The container's /dev/null over a file, an empty read-only tmpfs over a directory (runc maskPath)."""
        with self._open("/dev/null") as null:
            self._mask(paths, f"/proc/self/fd/{null}")

    def _mask(self, paths: Iterable[str], null: str) -> None:
        for path in paths:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError), self._open(path) as fd:
                place = f"/proc/self/fd/{fd}"
                if stat.S_ISDIR(os.fstat(fd).st_mode):
                    linux.mount("tmpfs", place, "tmpfs", linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV)
                else:
                    linux.bind(null, place)

    @contextlib.contextmanager
    def _open(self, path: str) -> Iterator[int]:
        fd = linux.open_in_root(self._fd, os.fsencode(path))
        try:
            yield fd
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def _place(self, path: str, *, file: bool) -> Iterator[str]:
        parts = [part for part in path.split("/") if part]
        for depth in range(1, len(parts) + 1):
            self._make("/".join(parts[:depth]), file=file and depth == len(parts))
        with self._open(path) as fd:
            yield f"/proc/self/fd/{fd}"

    def _make(self, path: str, *, file: bool) -> None:
        with contextlib.suppress(FileNotFoundError), self._open(path):
            return
        parent, name = os.path.split(path)
        with self._open(parent or ".") as directory:
            if file:
                os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=directory))
            else:
                os.mkdir(name, 0o755, dir_fd=directory)


_KEPT = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
"""Flags of /proc and /sys, where the read-only paths are: a bind mount starts with those of its source."""
