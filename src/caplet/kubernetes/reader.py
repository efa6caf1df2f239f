# SPDX-License-Identifier: Apache-2.0
"""One YAML document as data, read as sigs.k8s.io/yaml 1.6 reads it strictly: go.yaml.in/yaml v2.4, then JSON.

A key that stands twice is an error, also where a merge key brings the second one. The parser's events are read one by
one, so that depth, size and the expansion of aliases are bounded before anything is built; a value that an alias
names is shared, not copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from yaml.events import AliasEvent, DocumentStartEvent, MappingStartEvent, ScalarEvent, SequenceStartEvent

from caplet.errors import InvalidInput
from caplet.kubernetes import scalar
from caplet.kubernetes.stream import AS_JSON

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_NODES = 250_000
"""Keys, values and items of one document: a List of a thousand Pods, read within a second."""
MAX_DEPTH = 1000
"""Levels of one inside another. The deepest fields of the API are some fifteen deep; kubectl stops at 10,000."""
MAX_ALIASED = 0.99
"""Of a document's nodes, how many aliases may bring: go-yaml decode.go allowedAliasRatio, of less than 400,000."""
MAX_KEPT = 4096
"""Words whose meaning is remembered, each of at most MAX_KEPT_LENGTH characters."""
MAX_KEPT_LENGTH = 40

PARSER: Any = getattr(yaml.cyaml, "CParser", None) if yaml.__with_libyaml__ else yaml.SafeLoader
"""libyaml, which go-yaml is a port of; PyYAML's own parser where PyYAML was built without it."""
QUESTION = "a word within brackets ends there for kubectl: put it in quotes"
"""go-yaml scannerc.go yaml_parser_scan_plain_scalar; libyaml 0.2.2 and later read on."""
TWICE = "kubectl apply takes the last of the two and says nothing"
MERGE_TAG = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class _Anchor:
    value: Any
    begun: int
    """What was counted before it."""
    size: int = 0
    """Nodes below, itself included, after aliases were followed."""
    finished: bool = False


@dataclass(slots=True)
class _Open:
    """A collection that is being read."""

    value: dict[str, Any] | list[Any]
    anchor: _Anchor | None
    flow: bool
    """Within brackets or braces."""
    key: str | None = None
    """The key whose value comes next."""
    merge: bool = False
    """The next value is that of a `<<`."""

    @property
    def expects_key(self) -> bool:
        return isinstance(self.value, dict) and self.key is None and not self.merge


def read(text: str, name: str, line: int = 0) -> Any:
    """The first document of the text; None where there is none. What follows `...` is not read, as by kubectl.

    `line` counts from 0 and is that of the text's first character in the manifest, for messages.
    """
    return _Reader(text, name, line).read()


class _Reader:
    def __init__(self, text: str, name: str, line: int) -> None:
        self.text = text
        self.name = name
        self.line = line
        self.anchors: dict[str, _Anchor] = {}
        self.count = 0
        """What go-yaml calls decodeCount."""
        self.escapes = "\\/" in text
        self.questions = "?" in text
        self.aliased = 0
        """aliasCount: those of them that aliases brought."""

    def read(self) -> Any:
        inner = _INNER_MARK.search(self.text) if "\ufeff" in self.text else None
        if inner is not None:
            line = self.text.count("\n", 0, inner.end())
            raise self.error(
                line, "a byte order mark within the text", "kubectl takes it for a part of the key"
            )
        try:
            parser = PARSER(self.text)
            try:
                parser.get_event()  # the stream's start
                begun = isinstance(parser.get_event(), DocumentStartEvent)
                value = self.node(parser.get_event) if begun else None
                if begun:
                    parser.get_event()  # what comes behind the value is looked at before it is taken
            finally:
                parser.dispose()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = error.problem or error.context or "broken YAML"
            raise self.error(0 if mark is None else mark.line, message) from None
        except yaml.YAMLError as error:
            raise self.unacceptable(error) from None
        except UnicodeEncodeError:  # half of a surrogate pair, which no decoded text has
            raise self.error(0, "a character that Unicode does not have") from None
        return value

    def node(self, next_event: Callable[[], Any]) -> Any:
        """The document's one value. Not recursive: the text decides the depth."""
        stack: list[_Open] = []
        while True:
            event = next_event()
            kind = type(event)
            if kind is ScalarEvent:
                value = self.word(event, stack)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self.open(stack, event, {} if kind is MappingStartEvent else [])
                continue
            elif kind is AliasEvent:
                value = self.alias(event)
            else:
                value = self.close(stack.pop())
            if not stack:
                return value
            top = stack[-1]
            into = top.value
            if isinstance(into, list):
                into.append(value)
            elif top.key is not None:
                into[top.key] = value
                top.key = None
            elif top.merge:
                self.merge(top, value, event)
            else:
                self.key(top, value, event)

    def open(self, stack: list[_Open], event: Any, value: dict[str, Any] | list[Any]) -> None:
        if len(stack) >= MAX_DEPTH:
            raise self.error(event.start_mark.line, f"more than {MAX_DEPTH} levels of nesting")
        stack.append(_Open(value, self.anchor(event, value), bool(event.flow_style)))
        self.counted(1, event)

    def close(self, done: _Open) -> Any:
        if done.anchor is not None:
            done.anchor.size = self.count - done.anchor.begun
            done.anchor.finished = True
        return done.value

    def word(self, event: Any, stack: list[_Open]) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            self.counted(0, event)
        text = event.value
        if self.questions and "?" in text and not event.style and stack and stack[-1].flow:
            raise self.error(event.start_mark.line, "did not find expected ',' or ']' before '?'", QUESTION)
        if event.style or event.tag is not None or text not in _KEPT:
            text = self.resolved(event, stack)
        else:
            text = _KEPT[text]
        if event.anchor is not None:
            anchor = self.anchor(event, text)
            anchor.size, anchor.finished = 1, True
        return text

    def resolved(self, event: Any, stack: list[_Open]) -> Any:
        try:
            if self.escapes and event.style == '"':
                self.check_escapes(event)
            if event.tag is not None and stack and stack[-1].flow:
                self.check_tag(event)
            value = resolved(event)
        except InvalidInput as error:
            if stack and stack[-1].expects_key and event.value.endswith(_NOT_FINITE):
                return event.value  # `.inf` is no value of JSON, but it is a key
            raise self.error(event.start_mark.line, error.message) from None
        plain = not event.style and event.tag is None
        if plain and len(event.value) <= MAX_KEPT_LENGTH and len(_KEPT) < MAX_KEPT:
            _KEPT[event.value] = value
        return value

    def check_escapes(self, event: Any) -> None:
        r"""go-yaml does not have YAML 1.2's `\/`."""
        text = self.text[event.start_mark.index : event.end_mark.index]
        if any(match[0] == "\\/" for match in _ESCAPE.finditer(text)):
            raise InvalidInput("found unknown escape character")

    def check_tag(self, event: Any) -> None:
        """`[!tag, a]` is one item to go-yaml, whose tags have commas."""
        if not event.value and not event.style and self.text.startswith(",", event.end_mark.index):
            raise InvalidInput("a comma behind a tag")

    def anchor(self, event: Any, value: Any) -> Any:
        if event.anchor is None:
            return None
        anchor = self.anchors[event.anchor] = _Anchor(value, self.count)
        return anchor

    def alias(self, event: Any) -> Any:
        anchor = self.anchors.get(event.anchor)
        if anchor is None:
            raise self.error(event.start_mark.line, f"unknown anchor {event.anchor!r} referenced")
        if not anchor.finished:
            raise self.error(event.start_mark.line, f"anchor {event.anchor!r} value contains itself")
        self.aliased += anchor.size
        self.counted(1 + anchor.size, event)
        if self.aliased > 100 and self.count > 1000 and self.aliased > MAX_ALIASED * self.count:
            raise self.error(event.start_mark.line, "document contains excessive aliasing")
        return anchor.value

    def counted(self, nodes: int, event: Any) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            raise self.error(event.start_mark.line, f"more than {MAX_NODES:,} values", AS_JSON)

    def key(self, top: _Open, value: Any, event: Any) -> None:
        """What was read is a key."""
        line = event.start_mark.line
        if value == "<<" and isinstance(event, ScalarEvent) and is_merge(event):
            top.merge = True
            return
        if type(value) is not str or value.endswith(_NOT_FINITE):
            value = self.key_text(value, event)
        if value in top.value:
            raise self.error(line, f"key {value!r} already set in map", TWICE)
        top.key = value

    def key_text(self, value: Any, event: Any) -> str:
        line = event.start_mark.line
        try:
            return key_text(value, event)
        except InvalidInput as error:
            raise self.error(line, error.message) from None

    def merge(self, top: _Open, value: Any, event: Any) -> None:
        """A `<<` key: of several mappings the later are set first, and none may set a key again."""
        top.merge = False
        line, into = event.start_mark.line, top.value
        sources = reversed(value) if isinstance(value, list) else iter([value])
        if isinstance(value, list) and isinstance(event, AliasEvent):
            sources = iter([None])  # go-yaml follows no alias to a list here
        for source in sources:
            if not isinstance(source, dict) or not isinstance(into, dict):
                raise self.error(line, "map merge requires map or sequence of maps as the value")
            for key in source:
                if key in into:
                    raise self.error(line, f"key {key!r} already set in map", TWICE)
            into.update(source)

    def error(self, line: int, message: str, hint: str = "") -> InvalidInput:
        return InvalidInput(f"{self.name}:{self.line + line + 1}: {message}", hint or self.hint(line))

    def unacceptable(self, error: yaml.YAMLError) -> InvalidInput:
        """A character that YAML does not allow: the parser says at which byte."""
        position = getattr(error, "position", None)
        before = self.text.encode("utf-8", "replace")[:position] if isinstance(position, int) else b""
        return self.error(before.count(b"\n"), " ".join(str(error).split()).split(' in "', 1)[0])

    def hint(self, number: int) -> str:
        """What the line looks like that has the error."""
        lines = self.text.split("\n", number + 1)
        line = lines[number] if number < len(lines) else ""
        if "{{" in line:
            return "a template? Give what it becomes: helm template CHART | caplet ... -f -"
        indented = line[: len(line) - len(line.lstrip())]
        return "indent with spaces, not tabs" if "\t" in indented else ""


def resolved(event: Any) -> scalar.Scalar:
    """What a scalar means."""
    plain = bool(event.implicit[0]) and event.tag is None  # `! word` is a string
    return scalar.resolve(event.value, None if plain else event.tag, plain=plain)


def is_merge(event: Any) -> bool:
    """go-yaml decode.go isMerge."""
    return event.value == "<<" and (bool(event.implicit[0]) or event.tag == MERGE_TAG)


def key_text(value: Any, event: Any) -> str:
    """The key as JSON has it; the event is the one that ended it."""
    if isinstance(value, dict | list):
        raise InvalidInput("a key is a mapping or a sequence")
    if isinstance(event, ScalarEvent):
        plain = bool(event.implicit[0]) and event.tag is None
        value = scalar.meaning(event.value, None if plain else event.tag, plain=plain)
    return scalar.key(value)


_NOT_FINITE = (".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN")
_INNER_MARK = re.compile("[\n\r\x85\u2028\u2029]\ufeff")
"""libyaml passes over it, go-yaml does not."""
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_KEPT: dict[str, scalar.Scalar] = {}
