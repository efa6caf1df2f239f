# SPDX-License-Identifier: Apache-2.0
"""What a real containerd makes of many images: each unpacked into overlay snapshots, mounted, and searched."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests import engines
from tests.hostile.case import Case, write_image
from tests.layouts import Layout, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CAPABILITY = "security.capability"
SET_ID = stat.S_ISUID | stat.S_ISGID
MNT_DETACH = 2
EMPTY_CAPABILITY = 22
"""EINVAL: what getxattr(2) says of an empty security.capability (security/commoncap.c, cap_inode_getsecurity)."""


@dataclass(frozen=True, slots=True)
class Found:
    """A privileged file as the kernel shows it."""

    mode: int
    uid: int
    gid: int
    size: int
    attribute: bytes | None


Answer = dict[bytes, Found] | str
"""Every file with an attribute or a set-id bit; or why the engine refused."""


def privileged(root: str) -> dict[bytes, Found]:
    found: dict[bytes, Found] = {}
    top = os.fsencode(root)
    pending = [top]
    while pending:  # not os.walk: it recurses before Python 3.12
        directory = pending.pop()
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue  # a whiteout below a directory that only one layer has: readdir(3) lists it, lookup finds nothing
            if stat.S_ISDIR(status.st_mode):
                pending.append(path)
            attribute = _attribute(path)
            if stat.S_ISREG(status.st_mode) and (status.st_mode & SET_ID or attribute is not None):
                mode = stat.S_IMODE(status.st_mode)
                found[path[len(top) :]] = Found(mode, status.st_uid, status.st_gid, status.st_size, attribute)
    return found


def _attribute(path: bytes) -> bytes | None:
    if CAPABILITY not in os.listxattr(path, follow_symlinks=False):
        return None
    try:
        return os.getxattr(path, CAPABILITY, follow_symlinks=False)
    except OSError as error:
        if error.errno == EMPTY_CAPABILITY:
            return b""
        raise


@dataclass(frozen=True, slots=True)
class Containerd:
    """One containerd that unpacks all cases of a run."""

    daemon: engines.Containerd

    def answers(self, cases: Mapping[str, Case]) -> dict[str, Answer]:
        """Imports all images in one archive, then unpacks each by itself."""
        work = self.daemon.work
        layout = Layout(os.path.join(work, "layout"))
        images = {
            name: write_image(layout, case.layers, f"i{place}")["digest"]
            for place, (name, case) in enumerate(cases.items())
        }
        archive = os.path.join(work, "images.tar")
        with tarfile.open(archive, "w") as out:
            out.add(layout.path, "")
        shutil.rmtree(layout.path)
        imported = self._ctr("images", "import", "--no-unpack", "--base-name", "tests.example/i", archive)
        assert imported.returncode == 0, imported.stderr
        with ThreadPoolExecutor(4) as pool:
            by_digest = {image: cases[name] for name, image in images.items()}
            found = dict(zip(by_digest, pool.map(self._answer, by_digest.values(), by_digest), strict=True))
        return {name: found[image] for name, image in images.items()}

    def user(self, layer: bytes, user: str, name: str) -> tuple[int, int] | None:
        """Whom a container of an image with this USER runs as; None where containerd makes no container."""
        layout = Layout(os.path.join(self.daemon.work, f"user-{name}"))
        write_image(layout, [layer], "latest", {"User": user, "Cmd": ["/x"]})
        archive = f"{layout.path}.tar"
        with tarfile.open(archive, "w") as out:
            out.add(layout.path, "")
        base = f"tests.example/{name}"
        imported = self._ctr("images", "import", "--base-name", base, archive)
        assert imported.returncode == 0, imported.stderr
        if self._ctr("containers", "create", f"{base}:latest", name).returncode:
            return None
        made = json.loads(self._ctr("containers", "info", "--spec", name).stdout)["process"]["user"]
        return made["uid"], made["gid"]

    def _answer(self, case: Case, manifest: str) -> Answer:
        unpacked = self._ctr("snapshots", "unpack", manifest)
        if unpacked.returncode:
            return unpacked.stderr.strip()
        key = f"active-{manifest[7:]}"
        if not case.layers:
            return {}
        made = self._ctr("snapshots", "prepare", "--target", "/target", key, chain_id(case))
        assert made.returncode == 0, made.stderr
        with mounted(os.path.join(self.daemon.work, key[:20]), made.stdout) as root:
            return privileged(root)

    def _ctr(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ("ctr", "--address", f"{self.daemon.work}/sock", *arguments)
        return subprocess.run(command, capture_output=True, text=True, check=False)


def chain_id(case: Case) -> str:
    chain = ""
    for layer in case.layers:
        diff_id = digest(layer) if isinstance(layer, bytes) else layer.diff_id
        chain = digest(f"{chain} {diff_id}".encode()) if chain else diff_id
    return chain


class mounted:  # noqa: N801 - a context manager, used as a function
    """What `ctr snapshots prepare --target` printed, mounted while the block runs: an overlay or a bind mount."""

    def __init__(self, target: str, command: str) -> None:
        self.target = target
        words = command.split()
        options = words[words.index("-o") + 1] if "-o" in words else ""
        self.kind = words[words.index("-t") + 1]
        self.source = words[words.index("-t") + 2]
        self.options = options

    def __enter__(self) -> str:
        os.makedirs(self.target, exist_ok=True)
        bind = self.kind == "bind"
        flags = 4096 if bind else 0
        data = None if bind else os.fsencode(self.options)
        _mount(os.fsencode(self.source), os.fsencode(self.target), os.fsencode(self.kind), flags, data)
        return self.target

    def __exit__(self, *failure: object) -> None:
        ctypes.CDLL(None).umount2(os.fsencode(self.target), MNT_DETACH)


def _mount(source: bytes, target: bytes, kind: bytes, flags: int, data: bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, target, kind, flags, data):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), os.fsdecode(target))


def started(work: str) -> Iterator[Containerd]:
    # Where unpigz is installed containerd runs it, and its answer to broken streams is its own; Go's gzip is meant here.
    os.environ["CONTAINERD_DISABLE_PIGZ"] = "1"
    try:
        with engines.Containerd.started(work) as daemon:
            yield Containerd(daemon)
    finally:
        del os.environ["CONTAINERD_DISABLE_PIGZ"]
