# SPDX-License-Identifier: Apache-2.0
"""Typed reading of a document's fields, as the API server decodes them: strictly, and saying where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.errors import InvalidInput
    from caplet.kubernetes.document import Document, Path

T = TypeVar("T")

_MIN_INT64, _MAX_INT64 = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of a document. Reading a field that is not there, or null, gives None."""

    document: Document
    path: Path
    data: dict[str, Any]

    @classmethod
    def of(cls, document: Document, path: Path, value: Any) -> Fields:
        if not isinstance(value, dict):
            raise document.error(path, f"must be an object, not {what(value)}")
        return cls(document, path, value)

    def error(self, name: str | None, message: str, hint: str = "") -> InvalidInput:
        return self.document.error(self.path if name is None else (*self.path, name), message, hint)

    def text(self, name: str) -> str | None:
        return self._typed(name, str, "a string", "put it in quotes")

    def boolean(self, name: str) -> bool | None:
        return self._typed(name, bool, "true or false")

    def integer(self, name: str) -> int | None:
        value = self._typed(name, int, "a whole number")
        if value is not None and not _MIN_INT64 <= value <= _MAX_INT64:
            raise self.error(name, f"{value} does not fit into 64 bits")
        return value

    def strings(self, name: str) -> tuple[str, ...] | None:
        return self._items(name, str, "a string", "put it in quotes")

    def integers(self, name: str) -> tuple[int, ...] | None:
        return self._items(name, int, "a whole number")

    def object(self, name: str) -> Fields | None:
        value = self.data.get(name)
        return None if value is None else Fields.of(self.document, (*self.path, name), value)

    def objects(self, name: str) -> tuple[Fields, ...]:
        """The objects of a list; none where the list is not there."""
        return tuple(Fields.of(self.document, path, value) for path, value in self._list(name))

    def _list(self, name: str) -> Iterator[tuple[Path, Any]]:
        value = self.data.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            raise self.error(name, f"must be a list, not {what(value)}")
        for index, item in enumerate(value):
            yield (*self.path, name, index), item

    def _typed(self, name: str, kind: type[T], words: str, hint: str = "") -> T | None:
        value = self.data.get(name)
        if value is None:
            return None
        if type(value) is not kind:  # true is no integer here, though bool is an int to Python
            raise self.error(name, f"must be {words}, not {what(value)}", hint if is_scalar(value) else "")
        return value

    def _items(self, name: str, kind: type[T], words: str, hint: str = "") -> tuple[T, ...] | None:
        if self.data.get(name) is None:
            return None
        items: list[T] = []
        for path, value in self._list(name):
            if value is None:  # encoding/json leaves Go's zero value
                items.append(kind())
                continue
            if type(value) is not kind:
                raise self.document.error(
                    path, f"must be {words}, not {what(value)}", hint if is_scalar(value) else ""
                )
            items.append(value)
        return tuple(items)


def is_scalar(value: Any) -> bool:
    """Quotes would make a string of it."""
    return not isinstance(value, dict | list)


def what(value: Any) -> str:
    """A value of the wrong type, in a message."""
    match value:
        case None:
            return "null"
        case dict():
            return "an object"
        case list():
            return "a list"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the string {value[:40]!r}"
        case _:
            return f"the number {value}"
