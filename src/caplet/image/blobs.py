# SPDX-License-Identifier: Apache-2.0
"""Blobs: bytes known by their digest, where they lie, and how they are read so that a wrong byte cannot pass.

A source finds a blob (`Stored`: a region of an open file, or bytes), a `VerifiedReader` reads it. Reading to the end
proves digest and size; the source remembers what was proved and of which file (`Proof`), so that writing the blob
elsewhere in the same call need not read it again.
"""

from __future__ import annotations

import io
import os
import stat
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from caplet.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import BinaryIO

    from _typeshed import WriteableBuffer

    from caplet.image.descriptor import Descriptor, Digest

CHUNK = 1 << 18
"""256 KiB a read: large enough that the interpreter does not show, small enough that malloc(3) reuses it and the cache holds it."""


class OpenFile:
    """A regular file open for reading, closed when nobody holds it any more."""

    def __init__(self, descriptor: int, path: str | None = None) -> None:
        self.fd = descriptor
        self.path = path
        self.close = weakref.finalize(self, os.close, descriptor)

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size


def open_regular(path: str, within: str | None = None) -> OpenFile:
    """Open the regular file `path`: never a FIFO or device (both can hang), never a symlink that leaves `within`.

    Raises OSError as open(2) does, ImageError for another kind of file.
    """
    real = path
    if within is not None:
        real, top = os.path.realpath(path), os.path.realpath(within)
        if os.path.commonpath([real, top]) != top:
            raise ImageError(f"{path} is a symbolic link out of the image: {real}")
    # lstat before open: opening some devices already acts on them (a tape rewinds, a watchdog starts).
    _refuse_special(os.lstat(real) if within is not None else os.stat(real), path)
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    opened = OpenFile(os.open(real, flags | (os.O_NOFOLLOW if within is not None else 0)), path)
    _refuse_special(os.fstat(opened.fd), path)
    return opened


def _refuse_special(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(
            f"{path} is {_KINDS.get(stat.S_IFMT(status.st_mode), 'special')}, not a regular file"
        )


_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFLNK: "a symbolic link",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """Which file held the right bytes when they were read: it changes when the file is written to."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, descriptor: int) -> Proof:
        status = os.fstat(descriptor)
        # Not st_ctime: a hard link made by ourselves changes it.
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Stored:
    """The bytes of one blob: `size` bytes at `offset` of an open file."""

    file: OpenFile
    offset: int
    size: int

    @property
    def path(self) -> str | None:
        """A file that is exactly this blob, if there is one."""
        return self.file.path if self.offset == 0 and self.file.size == self.size else None

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self.file.fd, min(length, self.size - offset), self.offset + offset)

    def proof(self) -> Proof | None:
        return Proof.of(self.file.fd)


@dataclass(frozen=True, slots=True)
class InMemory:
    """A small blob that is not on disk yet: a manifest or a configuration that was just made."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    @property
    def path(self) -> str | None:
        return None

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]

    def proof(self) -> Proof | None:
        return None


Blob = Stored | InMemory


class BlobSource(Protocol):
    """Where the blobs of an image come from."""

    name: str
    """What to call the source in messages: the reference."""
    proofs: dict[Digest, Proof | None]
    """What was read to its end and found right."""

    def root(self) -> Descriptor:
        """The descriptor of the image or index that the reference names."""
        ...

    def entries(self) -> tuple[Descriptor, ...]:
        """Everything the image's layout lists beside it: other tags, signatures."""
        ...

    def find(self, descriptor: Descriptor) -> Blob:
        """The stored bytes, not yet verified, of the descriptor's size. ImageError where they are missing."""
        ...

    def has(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there at all: some descriptors stand for what was left elsewhere."""
        ...


def open_blob(source: BlobSource, descriptor: Descriptor) -> BinaryIO:
    """The blob as a file. It raises ImageError at the end of the data if they are wrong."""
    return io.BufferedReader(VerifiedReader(source, descriptor), CHUNK)


def read_blob(source: BlobSource, descriptor: Descriptor, limit: int, what: str) -> bytes:
    """The whole blob, verified. `limit` bounds what a hostile descriptor can make us hold."""
    if descriptor.size > limit:
        raise ImageError(
            f"{what} {descriptor.digest} has {descriptor.size} bytes: more than {limit} are refused"
        )
    return b"".join(chunks(source, descriptor))


def chunks(source: BlobSource, descriptor: Descriptor) -> Iterator[bytes]:
    """The blob in large pieces, verified at the end."""
    with VerifiedReader(source, descriptor) as reader:
        while piece := reader.next():
            yield piece


class VerifiedReader(io.RawIOBase):
    """Reads a blob and compares digest and size: the last read raises ImageError where they differ."""

    def __init__(self, source: BlobSource, descriptor: Descriptor) -> None:
        super().__init__()
        self._source = source
        self._descriptor = descriptor
        self._blob = source.find(descriptor)
        self._hash = descriptor.digest.hasher()
        self._proof = self._blob.proof()
        self._at = 0
        self._done = False

    def next(self, length: int = CHUNK) -> bytes:
        """The next piece; empty at the end, where everything is proved."""
        piece = self.fetch(length)
        if piece:
            self._hash.update(piece)
        else:
            self.finish(self._hash.hexdigest())
        return piece

    def fetch(self, length: int = CHUNK) -> bytes:
        """The next piece without hashing it: for a caller that hashes on another thread, then calls `finish`."""
        try:
            piece = self._blob.read(self._at, length)
        except OSError as error:
            raise ImageError(
                f"{self._source.name}: cannot read {self._descriptor.digest}: {error.strerror}"
            ) from None
        self._at += len(piece)
        return piece

    def finish(self, found: str) -> None:
        """The end of the blob is reached; `found` is the digest of what was read, in hexadecimal."""
        wanted = self._descriptor
        if self._at != wanted.size:
            raise ImageError(
                f"{self._source.name}: {wanted.digest} has {self._at} bytes instead of {wanted.size}"
            )
        if found != wanted.digest.hex:
            raise ImageError(
                f"{self._source.name}: a blob does not match its digest: {wanted.digest} expected, {found} found"
            )
        if not self._done:
            self._done = True
            self._source.proofs[wanted.digest] = self._proof

    # io.RawIOBase

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        piece = self.next(len(view))
        view[: len(piece)] = piece
        return len(piece)


class Overlay:
    """New blobs over a source: what a changed image is until it is written."""

    def __init__(self, below: BlobSource, root: Descriptor, new: Mapping[Digest, Blob]) -> None:
        deeper = below if isinstance(below, Overlay) else None
        self.below: BlobSource = deeper.below if deeper else below
        self.new: dict[Digest, Blob] = {**(deeper.new if deeper else {}), **new}
        self.name = below.name
        self.proofs = below.proofs
        self._root = root

    def root(self) -> Descriptor:
        return self._root

    def entries(self) -> tuple[Descriptor, ...]:
        return self.below.entries()

    def has(self, descriptor: Descriptor) -> bool:
        return descriptor.digest in self.new or self.below.has(descriptor)

    def find(self, descriptor: Descriptor) -> Blob:
        blob = self.new.get(descriptor.digest)
        return self.below.find(descriptor) if blob is None else sized(blob, descriptor, self.name)


class Nothing:
    """The source below an image that is made from scratch: it has no blobs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.proofs: dict[Digest, Proof | None] = {}

    def root(self) -> Descriptor:
        raise ImageError(f"{self.name} has no content yet")

    def entries(self) -> tuple[Descriptor, ...]:
        return ()

    def has(self, descriptor: Descriptor) -> bool:
        del descriptor
        return False

    def find(self, descriptor: Descriptor) -> Blob:
        raise missing(self.name, descriptor)


def sized(blob: Blob, descriptor: Descriptor, name: str) -> Blob:
    """The blob, if it is as long as the descriptor says."""
    if blob.size != descriptor.size:
        raise ImageError(
            f"{name}: {descriptor.digest} has {blob.size} bytes, its descriptor says {descriptor.size}"
        )
    return blob


def missing(name: str, descriptor: Descriptor) -> ImageError:
    if descriptor.urls:
        return ImageError(
            f"{name}: the layer {descriptor.digest} is foreign (nondistributable) and not stored in the image",
            f"it can be fetched from {descriptor.urls[0]}",
        )
    return ImageError(f"{name}: the blob {descriptor.digest} ({descriptor.media_type}) is missing")
