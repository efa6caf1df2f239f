# SPDX-License-Identifier: Apache-2.0
"""Where everything of one document stands in its text. Read only for documents of which something is to be said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from caplet.errors import InvalidInput
from caplet.kubernetes.reader import MAX_NODES, PARSER, is_merge, key_text, resolved
from caplet.kubernetes.stream import MAX_DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Callable


class Place(NamedTuple):
    """Where something stands in the text; both count from 1."""

    line: int
    column: int


class Span(NamedTuple):
    """From its first character to just behind its last."""

    start: Place
    end: Place


@dataclass(slots=True)
class Located:
    """One value with the places of what is in it."""

    span: Span
    keys: dict[str, Place]
    """Where each key of a mapping stands; of one that a merge brought, the value of the `<<`."""
    values: dict[str, Located]
    items: list[Located]

    @classmethod
    def of(cls, span: Span) -> Located:
        """A value with nothing in it."""
        return cls(span, _NO_KEYS, _NO_VALUES, _NO_ITEMS)


_NO_KEYS: dict[str, Place] = {}
_NO_VALUES: dict[str, Located] = {}
_NO_ITEMS: list[Located] = []
"""Those of every scalar; nothing is ever put into them."""


@dataclass(slots=True)
class _Open:
    located: Located
    mapping: bool
    key: tuple[str, Place] | None = None
    merge: bool = False


def locate(text: str, line: int) -> Located | None:
    """The places of a document that was read without an error; None for what is JSON and no YAML, or larger than YAML may be."""
    if len(text) > MAX_DOCUMENT:
        return None
    parser = PARSER(text)
    try:
        parser.get_event()
        if not isinstance(parser.get_event(), yaml.DocumentStartEvent):
            return None
        return _node(parser.get_event, line)
    except (yaml.YAMLError, InvalidInput):
        return None
    finally:
        parser.dispose()


def _node(next_event: Callable[[], Any], line: int) -> Located:
    anchors: dict[str | None, Located] = {}
    stack: list[_Open] = []
    count = 0
    while True:
        event = next_event()
        count += 1
        if count > 2 * MAX_NODES:  # a collection has two events; only JSON has more
            raise InvalidInput("too large")
        start, end = _place(event.start_mark, line), _place(event.end_mark, line)
        if isinstance(event, yaml.CollectionStartEvent):
            located = Located(Span(start, start), {}, {}, [])
            stack.append(_Open(located, isinstance(event, yaml.MappingStartEvent)))
            if event.anchor is not None:
                anchors[event.anchor] = stack[-1].located
            continue
        if isinstance(event, yaml.ScalarEvent):
            located = Located.of(Span(start, end))
            if event.anchor is not None:
                anchors[event.anchor] = located
        elif isinstance(event, yaml.AliasEvent):
            target = anchors[event.anchor]
            located = Located(Span(start, end), target.keys, target.values, target.items)
        else:
            located = stack.pop().located
            located.span = Span(located.span.start, end)
        if not stack:
            return located
        _put(stack[-1], located, event)


def _put(into: _Open, located: Located, event: Any) -> None:
    if not into.mapping:
        into.located.items.append(located)
    elif into.merge:
        into.merge = False
        for source in reversed(located.items) if located.items else [located]:
            into.located.values.update(source.values)
            into.located.keys.update(dict.fromkeys(source.values, located.span.start))
    elif into.key is not None:
        name, place = into.key
        into.key = None
        into.located.values[name] = located
        into.located.keys[name] = place
    elif not isinstance(event, yaml.ScalarEvent):
        raise InvalidInput("a key by an alias")
    elif is_merge(event):
        into.merge = True
    else:
        into.key = (key_text(resolved(event), event), located.span.start)


def _place(mark: Any, line: int) -> Place:
    return Place(line + mark.line + 1, mark.column + 1)
