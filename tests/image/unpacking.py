# SPDX-License-Identifier: Apache-2.0
"""containerd as an oracle for many small images: unpack each, mount its overlay, say what every path is.

`tests.engines` reads one layout for other tests; here a batch of images goes in as one archive, because starting `ctr`
and syncing its database is what a stack costs.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import shutil
import stat
import subprocess
import tarfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import containerd
from tests.layouts import Layout

from caplet.image.entry import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Seen = tuple[object, ...]
"""Kind, mode, uid, gid, size, mtime, link target, device, attributes, first name of its inode."""
Tree = dict[bytes, Seen]

KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
}


def seen(root: str) -> Tree:
    """Every path below a mounted file system."""
    first: dict[int, bytes] = {}
    tree: Tree = {}
    top = os.fsencode(root)
    for path in sorted(_walk(top)):
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            continue  # a whiteout with nothing below: readdir(3) lists it, and it is not there
        name = path[len(top) :]
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        tree[name] = (
            kind,
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size if kind is Kind.FILE else 0,
            status.st_mtime_ns,
            os.readlink(path) if kind is Kind.SYMLINK else b"",
            (os.major(status.st_rdev), os.minor(status.st_rdev)),
            tuple(
                sorted(
                    (os.fsencode(key), _attribute(path, key))
                    for key in os.listxattr(path, follow_symlinks=False)
                    if not key.startswith("trusted.")
                )
            ),
            first.setdefault(status.st_ino, name) if kind is not Kind.DIRECTORY else b"",
        )
    return tree


def _attribute(path: bytes, key: str) -> bytes:
    """The value; an empty security.capability cannot be read back (cap_inode_getsecurity: EINVAL)."""
    try:
        return os.getxattr(path, key, follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.EINVAL and key == "security.capability":
            return b""
        raise


def _walk(top: bytes) -> Iterator[bytes]:
    for directory, folders, files in os.walk(top):
        for name in (*folders, *files):
            yield os.path.join(directory, name)


@dataclass(slots=True)
class Containerd:
    """A containerd of its own below `work`, with the overlayfs snapshotter."""

    work: str
    number: int = 0
    mounts: int = 0

    @classmethod
    @contextmanager
    def started(cls, work: str) -> Iterator[Containerd]:
        with containerd.serving(work):
            yield cls(work)

    def ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            containerd.ctr(self.work, *arguments), capture_output=True, text=True, check=False
        )

    def unpacked(self, stacks: Sequence[Sequence[bytes]]) -> Iterator[Tree | str]:
        """Imports the stacks as images of one archive, then unpacks and mounts each."""
        self.number += 1
        layout = Layout(os.path.join(self.work, f"layout{self.number}"))
        images = [
            layout.image(stack, f"s{self.number}-{place}", compression="none")
            for place, stack in enumerate(stacks)
        ]
        archive = os.path.join(self.work, "images.tar")
        with tarfile.open(archive, "w") as out:
            out.add(layout.path, "")
        imported = self.ctr("images", "import", "--no-unpack", "--base-name", "stacks.example/s", archive)
        if imported.returncode:
            raise RuntimeError(imported.stderr)
        for stack, image in zip(stacks, images, strict=True):
            yield self._one(stack, image["digest"])
        shutil.rmtree(layout.path)

    def _one(self, stack: Sequence[bytes], manifest: str) -> Tree | str:
        unpacked = self.ctr("snapshots", "unpack", manifest)
        if unpacked.returncode:
            return unpacked.stderr.strip()
        self.mounts += 1
        key = f"active-{self.mounts}"
        prepared = self.ctr("snapshots", "prepare", "--target", "/target", key, _chain_id(stack))
        if prepared.returncode:
            raise RuntimeError(prepared.stderr)
        options = prepared.stdout.split(" -o ", 1)[1].strip()
        with mounted(self.work, options) as root:
            return seen(root)


def _chain_id(layers: Sequence[bytes]) -> str:
    chain = ""
    for layer in layers:
        diff_id = "sha256:" + hashlib.sha256(layer).hexdigest()
        chain = (
            diff_id if not chain else "sha256:" + hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
        )
    return chain


@contextmanager
def mounted(work: str, options: str) -> Iterator[str]:
    """An overlay with these options, mounted while the block runs."""
    target = os.path.join(work, "merged")
    os.makedirs(target, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"overlay", os.fsencode(target), b"overlay", 0, os.fsencode(options)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), options)
    try:
        yield target
    finally:
        if libc.umount2(os.fsencode(target), 2):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target)
