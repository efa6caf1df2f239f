# SPDX-License-Identifier: Apache-2.0
"""A manifest as documents: the data that kubectl would send, and where each value stands in the text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from caplet.errors import InvalidInput
from caplet.kubernetes import reader
from caplet.kubernetes.places import Located, Place, Span, locate
from caplet.kubernetes.stream import Chunk, chunks, decoded, yaml_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Document", "Path", "Place", "Span", "documents", "dotted", "stream"]

Path: TypeAlias = "tuple[str | int, ...]"
"""Keys and indexes from the document's top: ("spec", "containers", 0, "image")."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a manifest: nothing but str, int, float, bool, None, dict and list.

    What aliases name twice is one object twice: change nothing in it. Places are looked for when they are first asked
    for, by reading the text again.
    """

    name: str
    """The file's name, for messages."""
    data: Any
    text: str = field(repr=False)
    line: int = 0
    """Of the text's first character in the manifest; counts from 0."""
    _located: list[Located | None] = field(default_factory=list, repr=False, compare=False)

    @property
    def located(self) -> Located:
        """The places of the whole document, with those of each key. Of JSON that is no YAML only where it begins."""
        if not self._located:
            self._located.append(locate(self.text, self.line))
        begin = Place(self.line + 1, 1)
        return self._located[0] or Located.of(Span(begin, begin))

    def span(self, path: Path) -> Span:
        """Where the value stands; of a field that is not there, the nearest one above it."""
        found = self.located
        for step in path:
            if isinstance(step, str) and step in found.values:
                found = found.values[step]
            elif isinstance(step, int) and step < len(found.items):
                found = found.items[step]
            else:
                break
        return found.span

    def key_place(self, path: Path) -> Place:
        """Where the key of a field stands; of an item of a list, where the item does."""
        *above, last = path
        found = self.located
        for step in above:
            inner = found.values.get(step) if isinstance(step, str) else None
            if inner is None and isinstance(step, int) and step < len(found.items):
                inner = found.items[step]
            if inner is None:
                return found.span.start
            found = inner
        place = found.keys.get(last) if isinstance(last, str) else None
        return self.span(path).start if place is None else place

    def at(self, path: Path) -> Any:
        """The value there; None where nothing is."""
        value = self.data
        for step in path:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def error(self, path: Path, message: str, hint: str = "") -> InvalidInput:
        """An exception that says where: `pod.yaml:12: spec.containers[0].image: message`."""
        line = (self.key_place(path) if path and isinstance(path[-1], str) else self.span(path).start).line
        where = f"{self.name}:{line}: "
        return InvalidInput(where + (f"{dotted(path)}: " if path else "") + message, hint)


def dotted(path: Path) -> str:
    """The path as Kubernetes writes it: `spec.containers[0].image`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def documents(text: str | bytes, name: str) -> list[Document]:
    """All documents of a manifest that are not empty, in order. Raises InvalidInput with the line of the first error."""
    return list(stream([text], name))


def stream(blocks: Iterable[str | bytes], name: str) -> Iterator[Document]:
    """As `documents`, one by one: of YAML no more than the document at hand is held."""
    for chunk in chunks(_texts(blocks), name):
        if chunk.kind == "json":
            yield from _json(chunk.text, name)
        else:
            yield from _yaml(chunk, name)


def _texts(blocks: Iterable[str | bytes]) -> Iterator[str]:
    """Bytes decoded; text as it is."""
    waiting = iter(blocks)
    for block in waiting:
        if isinstance(block, bytes):
            yield from decoded(_bytes(block, waiting))
        else:
            yield block.removeprefix("\ufeff")


def _bytes(first: bytes, more: Iterator[str | bytes]) -> Iterator[bytes]:
    yield first
    for block in more:
        yield block if isinstance(block, bytes) else block.encode()


def _yaml(chunk: Chunk, name: str) -> Iterator[Document]:
    data = reader.read(chunk.text, name, chunk.line)
    if data is not None:
        yield Document(name, data, chunk.text, chunk.line)


def _json(text: str, name: str) -> Iterator[Document]:
    from caplet.kubernetes import jsontext

    line, counted = 0, 0
    for value in jsontext.values(jsontext.without_halves(text), name):
        line += text.count("\n", counted, value.begin)
        counted = value.begin
        if isinstance(value, jsontext.Rest):
            for chunk in yaml_chunks([text[value.begin :]], name, line):
                yield from _yaml(chunk, name)
        elif value.data is not None:
            yield Document(name, value.data, text[value.begin : value.end], line)
