# SPDX-License-Identifier: Apache-2.0
"""Container engines as independent readers of an image: each unpacks it its own way, and `tree` says what lies there.

umoci applies layer over layer in one directory; containerd mounts an overlay of one directory a layer; Podman (storage driver
vfs) copies the lower directory and applies the next layer to the copy. All need root.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests import containerd

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node(NamedTuple):
    """What is to stay the same of a path."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime: int
    attributes: tuple[tuple[str, bytes], ...]
    content: str
    """SHA-256 of a file, target of a link, number of a device."""
    first: str
    """Of a file: the first of the names of its inode."""


Tree = dict[str, Node]

CAPABILITY = "security.capability"


def tree(root: str) -> Tree:
    """What every path is: kind, mode, owner, time, attributes, content, and the first of the names of its inode."""
    first: dict[tuple[int, int], str] = {}
    found: Tree = {}
    for path in sorted(_walk(root)):
        status = os.lstat(os.path.join(root, path) if path else root)
        name = first.setdefault((status.st_dev, status.st_ino), path)
        found[path or "."] = _node(os.path.join(root, path), status, name)
    return found


def _walk(root: str) -> Iterator[str]:
    yield ""
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield os.path.relpath(os.path.join(directory, name), root)


def _node(path: str, status: os.stat_result, first: str) -> Node:
    kind = stat.S_IFMT(status.st_mode)
    content = ""
    if stat.S_ISLNK(kind):
        content = os.readlink(path)
    elif stat.S_ISREG(kind):
        with open(path, "rb") as source:
            content = hashlib.file_digest(source, "sha256").hexdigest()
    elif stat.S_ISCHR(kind) or stat.S_ISBLK(kind):
        content = str(status.st_rdev)
    names = sorted(
        name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("trusted.")
    )
    attributes = tuple((name, os.getxattr(path, name, follow_symlinks=False)) for name in names)
    linked = first if stat.S_ISREG(kind) else ""
    return Node(
        kind,
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_mtime_ns,
        attributes,
        content,
        linked,
    )


def with_capability(node: Node, value: bytes | None) -> Node:
    """The node as it would be with that attribute."""
    others = tuple((name, kept) for name, kept in node.attributes if name != CAPABILITY)
    mine = () if value is None else ((CAPABILITY, value),)
    return node._replace(attributes=tuple(sorted((*others, *mine))))


@contextmanager
def umoci(work: str, layout: str, tag: str) -> Iterator[str]:
    """`umoci unpack`: the root directory."""
    bundle = os.path.join(work, f"umoci-{tag}-{time.monotonic_ns()}")
    run("umoci", "unpack", "--image", f"{layout}:{tag}", bundle)
    try:
        yield os.path.join(bundle, "rootfs")
    finally:
        run("rm", "-rf", bundle)


@contextmanager
def podman(layout: str, tag: str) -> Iterator[str]:
    """`podman pull` into a storage of its own, then `podman image mount` (vfs: a plain directory)."""
    # Podman refuses a run root of more than 50 characters, so pytest's directories are too deep.
    with tempfile.TemporaryDirectory(prefix="podman", dir="/tmp") as store:
        base = ("podman", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", "vfs")
        image = run(*base, "pull", "--quiet", f"oci:{layout}:{tag}").strip().splitlines()[-1]
        try:
            yield run(*base, "image", "mount", image).strip()
        finally:
            run(*base, "image", "umount", image)


def skopeo(layout: str, tag: str, target: str) -> None:
    """`skopeo copy` into a directory of blobs, which verifies every digest."""
    run("skopeo", "copy", "--quiet", "--insecure-policy", f"oci:{layout}:{tag}", f"dir:{target}")


def getcap(root: str) -> dict[str, str]:
    """`getcap -r -n`: path below the root -> text."""
    lines = run("getcap", "-r", "-n", root).splitlines()
    pairs = (line[len(root) :].split(" ", 1) for line in lines)
    return dict(pairs)


@dataclass(frozen=True, slots=True)
class Containerd:
    """A containerd of its own with the overlayfs snapshotter."""

    work: str

    @classmethod
    @contextmanager
    def started(cls, work: str) -> Iterator[Containerd]:
        with containerd.serving(work):
            yield cls(work)

    @contextmanager
    def mounted(self, layout: str, tag: str) -> Iterator[str]:
        """`ctr images import` and `ctr images mount`: the overlay's mount point."""
        name = f"tests.example/{time.monotonic_ns()}"
        archive = os.path.join(self.work, "image.tar")
        run(
            "skopeo",
            "copy",
            "--quiet",
            "--insecure-policy",
            f"oci:{layout}:{tag}",
            f"oci-archive:{archive}:{tag}",
        )
        target = os.path.join(self.work, "mount")
        os.makedirs(target, exist_ok=True)
        run(*containerd.ctr(self.work, "images", "import", "--base-name", name, archive))
        os.unlink(archive)
        run(
            *containerd.ctr(
                self.work, "images", "mount", "--snapshotter", "overlayfs", f"{name}:{tag}", target
            )
        )
        try:
            yield target
        finally:
            run(*containerd.ctr(self.work, "images", "unmount", "--rm", target))
            run(*containerd.ctr(self.work, "images", "rm", "--sync", f"{name}:{tag}"))


def run(*command: str) -> str:
    """Its standard output; RuntimeError with what it said when it failed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout
