# SPDX-License-Identifier: Apache-2.0
"""Bytes put aside for later: in memory while they are few, else in a temporary file without a name, which no crash leaves behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from caplet.errors import ImageError
from caplet.image.blobs import OpenFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

IN_MEMORY = 32 << 20
"""32 MiB: most programs that get a capability are smaller, and then nothing is written but the result."""
PIECE = 1 << 18


class Spool:
    """Append with `add`, read back with `read`."""

    def __init__(self, directory: str | None = None) -> None:
        """`directory` is where the temporary file may lie; None leaves it to TMPDIR."""
        self._directory = directory
        self._memory = bytearray()
        self._file: OpenFile | None = None
        self.size = 0

    def add(self, pieces: Iterable[bytes]) -> tuple[int, int]:
        """Where they begin, and how many bytes they are."""
        start = self.size
        for piece in pieces:
            self.size += len(piece)
            self._memory += piece
            if len(self._memory) > IN_MEMORY:
                self._spill()
        return start, self.size - start

    def read(self, start: int, size: int) -> Iterator[bytes]:
        """The bytes that were added there, in pieces."""
        if self._file is not None:
            self._spill()
        while size:
            wanted = min(size, PIECE)
            if self._file is None:
                piece = bytes(self._memory[start : start + wanted])
            else:
                piece = os.pread(self._file.fd, wanted, start)
            if not piece:
                raise ImageError("a temporary file was cut short")
            yield piece
            start += len(piece)
            size -= len(piece)

    def _spill(self) -> None:
        import tempfile

        try:
            if self._file is None:
                # O_TMPFILE where the file system has it, else unlinked at once.
                with tempfile.TemporaryFile(dir=self._directory, buffering=0) as opened:
                    self._file = OpenFile(os.dup(opened.fileno()))
            with memoryview(self._memory) as whole:
                written = 0
                while written < len(whole):
                    with whole[written:] as left:
                        written += os.write(self._file.fd, left)
        except OSError as error:
            where = self._directory or tempfile.gettempdir()
            raise ImageError(f"cannot write a temporary file in {where}: {error.strerror}") from None
        self._memory.clear()
