# SPDX-License-Identifier: Apache-2.0
"""A manifest's text as data, read as kubectl reads it, with the place of every field.

kubectl turns YAML into JSON with sigs.k8s.io/yaml and decodes that strictly: a key that stands twice is an error, also
where a merge key brings the second one. The parser's events are read one by one, so that depth, size and the
expansion of aliases are bounded before anything is built.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import yaml

from caplet.errors import InvalidInput
from caplet.kubernetes import scalar

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_TEXT = 64 << 20
"""Characters of one text; a cluster's API server takes 3 MiB of JSON for one object."""
MAX_NODES = 250_000
"""Keys, values and items of one text: a thousand Pods, read within seconds."""
MAX_DEPTH = 1000
"""Levels of one inside another. The deepest fields of the API are some fifteen deep; kubectl stops at 10,000."""
MAX_EXPANSION = 10
"""Nodes after aliases were followed, for each node of the text: kubectl has its own bound ("excessive aliasing")."""
FREE_EXPANSION = 10_000
"""Nodes that are never too many."""

Path: TypeAlias = "tuple[str | int, ...]"
"""Keys and indexes from the document's top: ("spec", "containers", 0, "image")."""


class Place(NamedTuple):
    """Where something stands in the text; both count from 1."""

    line: int
    column: int


class Span(NamedTuple):
    """From its first character to just behind its last."""

    start: Place
    end: Place


class Mapping(dict[str, Any]):
    """An object, with the span of each value and the place of each key."""

    __slots__ = ("keys_at", "values_at")

    def __init__(self) -> None:
        super().__init__()
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Span] = {}


class Sequence(list[Any]):
    """An array, with the span of each item."""

    __slots__ = ("items_at",)

    def __init__(self) -> None:
        super().__init__()
        self.items_at: list[Span] = []


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a manifest: nothing but str, int, float, bool, None, Mapping and Sequence."""

    name: str
    """The file's name, for messages."""
    data: Any
    whole: Span

    def span(self, path: Path) -> Span:
        """Where the value stands; of a field that is not there, the nearest one above it."""
        found, value = self.whole, self.data
        for step in path:
            if isinstance(value, Mapping) and step in value:
                found, value = value.values_at[str(step)], value[str(step)]
            elif isinstance(value, Sequence) and isinstance(step, int) and step < len(value):
                found, value = value.items_at[step], value[step]
            else:
                break
        return found

    def at(self, path: Path) -> Any:
        """The value there; None where nothing is."""
        value = self.data
        for step in path:
            if isinstance(value, Mapping) and step in value:
                value = value[str(step)]
            elif isinstance(value, Sequence) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def error(self, path: Path, message: str, hint: str = "") -> InvalidInput:
        """An exception that says where: `pod.yaml:12: spec.containers[0].image: message`."""
        where = f"{self.name}:{self.span(path).start.line}: "
        return InvalidInput(where + (f"{dotted(path)}: " if path else "") + message, hint)


def dotted(path: Path) -> str:
    """The path as Kubernetes writes it: `spec.containers[0].image`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def documents(text: str | bytes, name: str) -> list[Document]:
    """All documents of a manifest that are not empty, in order. Raises InvalidInput with the line of the first error."""
    if len(text) > MAX_TEXT:
        raise InvalidInput(f"{name}: more than {MAX_TEXT >> 20} MiB of YAML")
    try:
        return [document for document in _read(text, name) if document.data is not None]
    except yaml.MarkedYAMLError as error:
        if (document := _as_json(text, name)) is not None:
            return [document]
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        message = f"{name}{line}: {error.problem or error.context or 'broken YAML'}"
        raise InvalidInput(message, _tab_hint(text, mark)) from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise InvalidInput(f"{name}: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: not UTF-8: byte {error.start}") from None


def _as_json(text: str | bytes, name: str) -> Document | None:
    """The text as JSON, which kubectl tries first where it begins with a brace; places are not known then.

    Some JSON is no YAML 1.1: a character beyond 16 bits as two escapes.
    """
    brace = b"{" if isinstance(text, bytes) else "{"
    if not text.lstrip().startswith(brace):  # type: ignore[arg-type]
        return None
    whole = Span(Place(1, 1), Place(1, 1))
    try:
        data = json.loads(
            text, object_pairs_hook=lambda pairs: _json_object(pairs, whole), parse_float=_json_float
        )
    except (ValueError, RecursionError):
        return None
    return Document(name, _json_lists(data, whole), whole)


def _json_object(pairs: list[tuple[str, Any]], whole: Span) -> Mapping:
    mapping = Mapping()
    for key, value in pairs:
        if key in mapping:
            raise ValueError(key)
        mapping[key] = _json_lists(value, whole)
        mapping.keys_at[key], mapping.values_at[key] = whole.start, whole
    return mapping


def _json_lists(value: Any, whole: Span) -> Any:
    """Plain lists below this value with places; those inside objects have them already."""
    if type(value) is not list:
        return value
    sequence = Sequence()
    for item in value:
        sequence.append(_json_lists(item, whole))
        sequence.items_at.append(whole)
    return sequence


def _json_float(text: str) -> Any:
    return scalar.resolve(text, None, plain=True)


def _tab_hint(text: str | bytes, mark: Any) -> str:
    if mark is None:
        return ""
    lines = (text if isinstance(text, str) else text.decode("utf-8", "replace")).splitlines()
    line = lines[mark.line] if mark.line < len(lines) else ""
    indented = line[: len(line) - len(line.lstrip())]
    return "indent with spaces, not tabs" if "\t" in indented else ""


@dataclass(slots=True)
class _Node:
    """One node of the text with its value, kept for aliases."""

    value: Any
    span: Span
    size: int = 1
    """Nodes below, itself included, after aliases were followed."""
    merge: bool = False
    """A plain `<<`."""
    finished: bool = True


@dataclass(slots=True)
class _Reader:
    events: Iterator[Any]
    name: str
    anchors: dict[str, _Node] = field(default_factory=dict)
    parsed: int = 0
    expanded: int = 0


def _read(text: str | bytes, name: str) -> Iterator[Document]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, which kubectl's parser is a port of
    reader = _Reader(iter(yaml.parse(text, Loader=loader)), name)
    for event in reader.events:
        if isinstance(event, yaml.DocumentStartEvent):
            reader.anchors.clear()
            node = _document(reader)
            yield Document(name, node.value, node.span)


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    node: _Node
    start: Place
    anchor: str | None
    key: _Node | None = None
    """The key whose value comes next."""


def _document(reader: _Reader) -> _Node:
    """The document's one node. Not recursive: the text decides the depth."""
    stack: list[_Open] = []
    for event in reader.events:
        if isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            if len(stack) >= MAX_DEPTH:
                raise _error(reader, event, f"more than {MAX_DEPTH} levels of nesting")
            start = _place(event.start_mark)
            value: Mapping | Sequence = Mapping() if isinstance(event, yaml.MappingStartEvent) else Sequence()
            node = _Node(value, Span(start, start), finished=False)
            _count(reader, event)
            if event.anchor is not None:
                reader.anchors[event.anchor] = node
            stack.append(_Open(node, start, event.anchor))
            continue
        if isinstance(event, yaml.ScalarEvent):
            node = _scalar(reader, event)
        elif isinstance(event, yaml.AliasEvent):
            node = _alias(reader, event)
        else:  # the end of a collection
            done = stack.pop()
            node = done.node
            node.span = Span(done.start, _place(event.end_mark))
            node.finished = True
        if not stack:
            return node
        _put(reader, stack[-1], node, event)
    raise InvalidInput(f"{reader.name}: the document ends too early")


def _count(reader: _Reader, event: Any) -> None:
    reader.parsed += 1
    if reader.parsed > MAX_NODES:
        raise _error(reader, event, f"more than {MAX_NODES:,} values")


def _scalar(reader: _Reader, event: Any) -> _Node:
    _count(reader, event)
    plain = bool(event.implicit[0]) and event.tag is None  # `! word` is a string
    try:
        value = scalar.resolve(event.value, None if plain else event.tag, plain=plain)
    except InvalidInput as error:
        raise _error(reader, event, error.message) from None
    merge = event.value == "<<" and (plain or event.tag == "tag:yaml.org,2002:merge")
    node = _Node(value, _span(event), merge=merge)
    if event.anchor is not None:
        reader.anchors[event.anchor] = node
    return node


def _alias(reader: _Reader, event: Any) -> _Node:
    target = reader.anchors.get(event.anchor)
    if target is None:
        raise _error(reader, event, f"unknown anchor {event.anchor!r} referenced")
    if not target.finished:
        raise _error(reader, event, f"anchor {event.anchor!r} value contains itself")
    reader.expanded += target.size
    if reader.expanded > max(FREE_EXPANSION, MAX_EXPANSION * reader.parsed):
        raise _error(reader, event, "document contains excessive aliasing")
    return _Node(target.value, _span(event), target.size)


def _put(reader: _Reader, into: _Open, node: _Node, event: Any) -> None:
    """The next item of a sequence, key or value of a mapping."""
    into.node.size += node.size
    value = into.node.value
    if isinstance(value, Sequence):
        value.append(node.value)
        value.items_at.append(node.span)
    elif into.key is None:
        into.key = node
    else:
        key, into.key = into.key, None
        if key.merge:
            _merge(reader, value, node, event)
        else:
            _set(reader, value, _key(reader, key, event), node.value, key.span.start, node.span)


def _set(reader: _Reader, mapping: Mapping, key: str, value: Any, place: Place, span: Span) -> None:
    if key in mapping:
        raise InvalidInput(f"{reader.name}:{place.line}: key {key!r} already set in map")
    mapping[key] = value
    mapping.keys_at[key] = place
    mapping.values_at[key] = span


def _key(reader: _Reader, node: _Node, event: Any) -> str:
    """The key as JSON has it; sigs.k8s.io/yaml convertToJSONableObject."""
    match node.value:
        case str():
            return node.value
        case bool():
            return "true" if node.value else "false"
        case int():
            return str(node.value)
        case float():
            return format(node.value, "g")
        case None:
            raise _error(reader, event, "a key is null")
        case _:
            raise _error(reader, event, "a key is a mapping or a sequence")


def _merge(reader: _Reader, into: Mapping, node: _Node, event: Any) -> None:
    """A `<<` key: of several mappings the later are set first, and in strict decoding none may set a key again."""
    sources = list(reversed(node.value)) if isinstance(node.value, Sequence) else [node.value]
    for source in sources:
        if not isinstance(source, Mapping):
            raise _error(reader, event, "map merge requires map or sequence of maps as the value")
        for key, value in source.items():
            _set(reader, into, key, value, node.span.start, source.values_at[key])


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _span(event: Any) -> Span:
    return Span(_place(event.start_mark), _place(event.end_mark))


def _error(reader: _Reader, event: Any, message: str) -> InvalidInput:
    return InvalidInput(f"{reader.name}:{event.start_mark.line + 1}: {message}")
