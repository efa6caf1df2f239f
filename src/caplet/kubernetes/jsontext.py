# SPDX-License-Identifier: Apache-2.0
"""A stream of JSON values one after another, as kubectl reads a manifest that begins with a brace.

apimachinery pkg/util/yaml/decoder.go YAMLOrJSONDecoder: where the first or second value is no JSON, the rest is YAML.
Numbers are what unstructured objects have: int64 where they fit, else float64. A key that stands twice is an error
here, which kubectl leaves to the server.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from caplet.errors import InvalidInput
from caplet.kubernetes import reader, scalar
from caplet.kubernetes.stream import MAX_DOCUMENT, SPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPACES = re.compile(r"[ \t\n\r]*")
_ESCAPE = re.compile(
    r"\\(?:u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|([dD][89a-fA-F][0-9a-fA-F]{2}))|.)",
    re.DOTALL,
)
"""An escape; the group: half of a surrogate pair, for which encoding/json puts U+FFFD."""
MAX_DIGITS = 400
"""Characters of a number; the largest float64 has 309 digits."""

MAX_VALUES = 2_000_000
"""Commas and opening brackets of one stream: what is to be built is known before it is; ten thousand running Pods."""
READ = 4
"""Bytes that consumeWhitespace reads at once, and must find."""


class Refused(Exception):
    """JSON, but not what an object may be: a key stands twice, a number is too large."""


@dataclass(frozen=True, slots=True)
class Value:
    data: Any
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Rest:
    """No JSON from here on: YAML, or broken."""

    begin: int


def values(text: str, name: str) -> Iterator[Value | Rest]:
    """The values of a stream. Raises InvalidInput where it is broken behind its second value."""
    if sum(map(text.count, ",[{")) > MAX_VALUES:
        raise InvalidInput(f"{name}: more than {MAX_VALUES:,} values")
    count, end = 0, 0
    while True:
        begin = _SPACES.match(text, end).end()  # type: ignore[union-attr]
        if begin == len(text):
            return
        try:
            data, next_end = _DECODER.raw_decode(text, begin)
        except Refused as error:
            raise _refused(text, begin, name, error) from None
        except RecursionError:
            raise InvalidInput(f"{name}:{_line(text, begin)}: too many levels of nesting") from None
        except ValueError as error:
            rest = _behind_line_end(text, end)
            if count > 1 or rest is None:
                position = error.pos if isinstance(error, json.JSONDecodeError) else begin
                message = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                raise InvalidInput(f"{name}:{_line(text, position)}: broken JSON: {message}") from None
            yield Rest(rest)
            return
        yield Value(data, begin, next_end)
        count, end = count + 1, next_end


def _refused(text: str, begin: int, name: str, error: Refused) -> InvalidInput:
    """With the line of the second key, which the reader of YAML finds."""
    line = _line(text, begin)
    try:
        reader.read(text[begin : begin + MAX_DOCUMENT], name, line - 1)
    except InvalidInput as found:
        if str(error) in found.message:
            return found
    return InvalidInput(f"{name}:{line}: {error}")


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _behind_line_end(text: str, position: int) -> int | None:
    """consumeWhitespace: up to the first line end, if nothing else stands before it; None where too little is left."""
    while len(text[position : position + READ].encode("utf-8", "replace")) >= READ:
        if text[position] not in SPACE:
            return position
        position += 1
        if text[position - 1] == "\n":
            return position
    return None


def without_halves(text: str) -> str:
    """The JSON text without halves of surrogate pairs."""
    return _ESCAPE.sub(lambda match: "\\ufffd" if match[1] else match[0], text) if "\\u" in text else text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        for key, _ in pairs:
            if key not in found:
                raise Refused(f"key {key!r} already set in map")
            del found[key]
    return found


def _number(text: str) -> Any:
    if len(text) > MAX_DIGITS:
        raise Refused(f"{text[:40]}... is a number with too many digits")
    value = scalar.resolve(text, None, plain=True)
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        raise Refused(f"{text} does not fit into a float64")
    return value


def _integer(text: str) -> Any:
    return int(text) if len(text) < 19 else _number(text)


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_number, parse_int=_integer, parse_constant=_constant
)
