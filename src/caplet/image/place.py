# SPDX-License-Identifier: Apache-2.0
"""Puts the bytes of a blob into a new file in the cheapest way that the file system has.

A hard link costs nothing, a reflink next to nothing, copy_file_range(2) stays in the kernel; the bytes are never looked
at. Whoever calls has proved them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from caplet.image.blobs import CHUNK, InMemory, Stored

if TYPE_CHECKING:
    from caplet.image.blobs import Blob

FICLONE = 0x40049409
"""ioctl_ficlone(2): _IOW(0x94, 9, int)."""

_NO_KERNEL_COPY = frozenset(
    {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF, errno.EIO}
)
"""What copy_file_range(2) answers where these two files need an ordinary copy."""


def place(blob: Blob, path: str) -> None:
    """Make the new file `path` with exactly the blob's bytes, not yet durable. On an error nothing stays."""
    if isinstance(blob, Stored) and _linked(blob, path):
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        if not (isinstance(blob, Stored) and _cloned(blob, fd)):
            write_out(blob, fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(fd)


def write_out(blob: Blob, fd: int) -> None:
    """Append the blob's bytes at the position of `fd`."""
    if isinstance(blob, InMemory):
        write_all(fd, blob.data)
        return
    done = _kernel_copy(blob, fd)
    while done < blob.size:
        piece = blob.read(done, CHUNK)
        if not piece:
            raise OSError(errno.EIO, "the file became shorter while it was copied", blob.file.path)
        write_all(fd, piece)
        done += len(piece)


def write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _linked(blob: Stored, path: str) -> bool:
    if blob.file.path is None:
        return _named(blob, path)
    if blob.path is None:
        return False
    try:
        os.link(blob.path, path)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise
        return False  # EXDEV, EPERM (fs.protected_hardlinks, no links there), EMLINK, EROFS of the source's mount
    if os.path.samestat(os.lstat(path), os.fstat(blob.file.fd)):
        return True
    os.unlink(path)  # another file has taken the name since the blob was proved, or it is a symbolic link
    return False


def _named(blob: Stored, path: str) -> bool:
    """Gives a temporary file without a name this one: open(2), O_TMPFILE."""
    if blob.offset or blob.size != blob.file.size:
        return False
    # With a directory's descriptor os.link() calls linkat(2), which can follow the link in /proc.
    above = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(f"/proc/self/fd/{blob.file.fd}", path, src_dir_fd=above, follow_symlinks=True)
    except OSError as error:
        if error.errno == errno.EEXIST:
            raise
        return False  # another file system, no /proc, or a file that was unlinked
    finally:
        os.close(above)
    return True


def _cloned(blob: Stored, fd: int) -> bool:
    if blob.path is None:
        return False
    try:
        fcntl.ioctl(fd, FICLONE, blob.file.fd)
    except OSError:
        return False
    return True


def _kernel_copy(blob: Stored, fd: int) -> int:
    done = 0
    while done < blob.size:
        try:
            moved = os.copy_file_range(blob.file.fd, fd, blob.size - done, blob.offset + done)
        except OSError as error:
            if error.errno in _NO_KERNEL_COPY:
                break
            raise
        if moved == 0:
            break
        done += moved
    return done
