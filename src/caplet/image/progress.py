# SPDX-License-Identifier: Apache-2.0
"""How far the reading of layers is, for whoever waits."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.errors import ImageError
    from caplet.image.image import Layer
    from caplet.image.rootfs import HasChunks


class Progress:
    """Counts what is read; another thread may look."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes = 0
        """Of uncompressed layers."""
        self.layers = 0
        self.total_layers = 0

    def watched(self, layers: Sequence[Layer]) -> list[HasChunks]:
        """The layers, counting while they are read."""
        self.total_layers += len(layers)
        return [_Watched(layer, self) for layer in layers]

    def advance(self, count: int) -> None:
        with self._lock:
            self.bytes += count

    def end_layer(self) -> None:
        with self._lock:
            self.layers += 1


@dataclass(frozen=True, slots=True)
class _Watched:
    layer: Layer
    progress: Progress

    @property
    def size(self) -> int:
        return self.layer.size

    def damage(self) -> ImageError | None:
        return self.layer.damage()

    def chunks(self) -> Iterator[bytes]:
        for chunk in self.layer.chunks():
            self.progress.advance(len(chunk))
            yield chunk
        self.progress.end_layer()
