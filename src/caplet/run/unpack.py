# SPDX-License-Identifier: Apache-2.0
"""An image's final file system as files in a directory, made by a process that can reach nothing else.

The caller merges the layers as containerd would (`caplet.image.rootfs`) and sends the result as one plain tar
archive without whiteouts: parents before children, a hard link after its file. The unpacking process has changed
its root to the target before the first entry and holds only the capabilities that making files needs.

Each entry in containerd's order (pkg/archive/tar.go createTarFile): content, owner, extended attributes, mode, times.
"""

from __future__ import annotations

import errno
import os
import resource
from typing import TYPE_CHECKING

from caplet.errors import CapletError, ImageError, Unavailable
from caplet.image.layer import Entry, Kind, TarReader, TarWriter
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.syscalls import Capset, SetNoNewPrivs
from caplet.run.devices import DEFAULT_DEVICES
from caplet.run.perform import do

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from typing import BinaryIO

    from caplet.image.node import Node
    from caplet.image.rootfs import Rootfs

NEEDED = Caps.of(Cap.CHOWN, Cap.DAC_OVERRIDE, Cap.FOWNER, Cap.FSETID, Cap.MKNOD, Cap.SETFCAP)
"""To give files any owner, mode, device number and security.capability. No chroot, no mount, no ptrace."""

MAX_OPEN_FILES = 64
"""The unpacker has one file open at a time; the rest is for the interpreter."""

CHUNK = 1 << 20
_ZEROS = bytes(CHUNK)

_CAPABILITY = b"security.capability"


def size_of(rootfs: Rootfs) -> int:
    """Bytes that the files take on a tmpfs, at most: contents in whole pages, attributes, about a page of inode and name each."""
    page = resource.getpagesize()
    counted: set[int] = set()
    total = page
    for _, node in rootfs.walk():
        if node.links > 1:
            if id(node) in counted:
                continue
            counted.add(id(node))
        total += page + (-(-node.size // page) * page if node.kind is Kind.FILE else 0)
        total += sum(len(name) + len(value) for name, value in node.xattrs.items())
    return total


def largest(rootfs: Rootfs) -> tuple[bytes, int]:
    """The path of the largest file, and its size."""
    files = ((path, node.size) for path, node in rootfs.walk() if node.kind is Kind.FILE)
    return max(files, key=lambda one: one[1], default=(b"/", 0))


def write_archive(rootfs: Rootfs, write: Callable[[bytes], object]) -> None:
    """The final file system as one archive: everything but files first, then each layer's files, then hard links."""
    tar = TarWriter(write)
    files: dict[tuple[int, int], tuple[bytes, Node]] = {}
    firsts: dict[int, bytes] = {}
    links: list[tuple[bytes, bytes]] = []
    tar.add(_entry(b".", rootfs.root))
    for path, node in rootfs.walk():
        if node.links > 1 and node.kind is not Kind.DIRECTORY:
            first = firsts.setdefault(id(node), path)
            if first is not path:
                links.append((path, first))
                continue
        if node.kind is Kind.FILE:
            files[node.layer, node.entry] = path, node
        else:
            tar.add(_entry(path, node))
    for place, content in _contents(rootfs, files):
        tar.add(_entry(*files.pop(place)), content)
    if files:
        raise ImageError("a layer changed while it was read")
    for path, target in links:
        tar.add(Entry(path.lstrip(b"/"), Kind.HARDLINK, linkname=target.lstrip(b"/")))
    tar.close()


def _contents(
    rootfs: Rootfs, wanted: Container[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Iterator[bytes]]]:
    """The contents of the files, by layer and entry; each layer is read once."""
    for index, layer in enumerate(rootfs.layers):
        reader = TarReader(layer.chunks())
        for number, _ in enumerate(reader):
            if (index, number) in wanted:
                yield (index, number), reader.content()


def _entry(path: bytes, node: Node) -> Entry:
    return Entry(
        path.lstrip(b"/"),
        node.kind,
        mode=node.mode,
        uid=node.uid,
        gid=node.gid,
        size=node.size,
        mtime=node.mtime,
        linkname=node.linkname,
        xattrs=dict(node.xattrs),
        devmajor=node.devmajor,
        devminor=node.devminor,
    )


def confine(root: str) -> None:
    """Make `root` all that this process can reach, for good."""
    os.chroot(root)
    os.chdir("/")
    os.umask(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    do(SetNoNewPrivs())
    do(Capset(effective=NEEDED, permitted=NEEDED, inheritable=Caps()))


def extract(stream: int) -> None:
    """Make the files of the archive that comes from the descriptor `stream`, below the root directory."""
    tar = TarReader(_chunks(stream))
    times: list[tuple[bytes, int]] = []
    for entry in tar:
        path = b"/" + entry.name.rstrip(b"/")
        try:
            _make(path, entry, tar.content)
        except PermissionError as error:
            if entry.kind in {Kind.CHAR, Kind.BLOCK}:
                continue  # nobody makes devices in a user namespace; engines leave them out, and mount /dev over them
            raise _explained(path, error) from error
        except OSError as error:
            raise _explained(path, error) from error
        if entry.kind is Kind.DIRECTORY:
            times.append((path, entry.mtime))
        elif entry.kind is not Kind.HARDLINK:
            os.utime(path, ns=(entry.mtime, entry.mtime), follow_symlinks=False)
    for path, mtime in reversed(times):  # a directory's time changes with each name that is made in it
        os.utime(path, ns=(mtime, mtime))


def _make(path: bytes, entry: Entry, content: Callable[[], Iterator[bytes]]) -> None:
    match entry.kind:
        case Kind.DIRECTORY:
            if path not in {b"/", b"/."}:
                os.mkdir(path, 0o700)
        case Kind.FILE:
            with open(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
            ) as file:
                _write(file, content())
        case Kind.SYMLINK:
            os.symlink(entry.linkname, path)
        case Kind.HARDLINK:
            os.link(b"/" + entry.linkname, path, follow_symlinks=False)
            return
        case Kind.CHAR | Kind.BLOCK | Kind.FIFO:
            os.mknod(path, _TYPES[entry.kind] | 0o600, _device(entry))
        case _:
            raise ImageError(f"{os.fsdecode(path)}: no file system has a {entry.kind.name} entry")
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    for name, value in entry.xattrs.items():
        _set_xattr(path, name, value)
    if entry.kind is not Kind.SYMLINK:
        os.chmod(path, entry.mode & 0o7777)


def _write(file: BinaryIO, chunks: Iterator[bytes]) -> None:
    """Zeros are left out: what was sparse in the layer takes no more memory here."""
    for chunk in chunks:
        if chunk == _ZEROS[: len(chunk)]:
            file.seek(len(chunk), os.SEEK_CUR)
        else:
            file.write(chunk)
    file.truncate()


def _device(entry: Entry) -> int:
    """The number, where it is one of the default devices; else 0, which opens nothing (see `caplet.run.devices`)."""
    number = entry.devmajor, entry.devminor
    default = entry.kind is Kind.CHAR and number in DEFAULT_DEVICES.values()
    return os.makedev(*number) if default else 0


_TYPES = {Kind.CHAR: 0o020000, Kind.BLOCK: 0o060000, Kind.FIFO: 0o010000}


def _set_xattr(path: bytes, name: bytes, value: bytes) -> None:
    """As containerd: trusted.* is left out, and what the file system does not know (pkg/archive/tar.go).

    Attributes of other security modules (security.ima, ...) need CAP_SYS_ADMIN, which this process has given up;
    they have no part in what a process may do here.
    """
    if name.startswith(b"trusted."):
        return
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if name == _CAPABILITY or error.errno not in {errno.ENOTSUP, errno.EPERM}:
            raise


def _explained(path: bytes, error: OSError) -> CapletError:
    where = os.fsdecode(path)
    if error.errno == errno.ENOSPC:
        return Unavailable(f"the image does not fit into memory: {where}: {error.strerror}")
    return ImageError(f"cannot unpack {where}: {error.strerror}")


def _chunks(stream: int) -> Iterator[bytes]:
    while chunk := os.read(stream, CHUNK):
        yield chunk
