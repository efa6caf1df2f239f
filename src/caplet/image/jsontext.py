# SPDX-License-Identifier: Apache-2.0
"""JSON of an image, read so strictly that no two readers can see two documents in it.

RFC 8259 leaves open what duplicate names, huge numbers and deep nesting mean, and Go's encoding/json, which the
engines use, also matches names without regard to case. One document that two programs read differently is an attack
(GHSA-77vh-xpmg-72qh, "ambiguous OCI manifest parsing"), so whatever is ambiguous is refused here.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MAX_DEPTH = 128
"""Nesting of arrays and objects. An image's documents nest about six deep; recursive readers die at some thousand."""

MAX_INTEGER = 2**63 - 1
"""Go reads sizes as int64; a larger number is an error there or loses digits elsewhere."""

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
"""A string or a bracket. A string that does not end is taken to the end: looking for its end from each quote in it would take
quadratic time."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")

Object = dict[str, Any]


def parse(data: bytes, what: str) -> Any:
    """The value of the JSON text `data`; `what` names the document in messages."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{what} is not UTF-8: byte {data[error.start]:#04x} at {error.start}") from None
    _refuse_depth(data, what)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique(what),
            parse_constant=_no_constant(what),
            parse_int=_integer(what),
            parse_float=_finite(what),
        )
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{what} is not JSON: {error.msg} at byte {error.pos}") from None
    except RecursionError:
        raise InvalidInput(f"{what} nests more than {MAX_DEPTH} levels") from None
    if b"\\ud" in data or b"\\uD" in data:
        _refuse_lone_surrogates(value, what)
    return value


def parse_object(data: bytes, what: str) -> Object:
    """As `parse`, for a document that must be an object."""
    return as_object(parse(data, what), what)


def dump(value: object) -> bytes:
    """The compact text of `value`, in the order of its names: the same bytes for the same value everywhere."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def as_object(value: object, what: str) -> Object:
    if not isinstance(value, dict):
        raise InvalidInput(f"{what} is not a JSON object but {_kind(value)}")
    return value


def spelled(value: Mapping[str, Any], names: Iterable[str], what: str) -> None:
    """Refuse a name that Go's encoding/json takes for one of `names` and a case-sensitive reader does not."""
    folded = {name.casefold(): name for name in names}
    for name in value:
        meant = folded.get(name.casefold())
        if meant is not None and name != meant:
            raise InvalidInput(f"{what}: the field {name!r} is ambiguous: engines read it as {meant!r}")


def string(value: Mapping[str, Any], name: str, what: str, default: str | None = None) -> str:
    """The text under `name`; `default` where it is absent or null, an error where there is no default."""
    found = value.get(name)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        raise InvalidInput(f"{what}: {name!r} must be a string, is {_kind(found)}")
    return found


def integer(value: Mapping[str, Any], name: str, what: str) -> int:
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, int):
        raise InvalidInput(f"{what}: {name!r} must be an integer, is {_kind(found)}")
    return found


def strings(value: Mapping[str, Any], name: str, what: str) -> tuple[str, ...]:
    """The list of texts under `name`; empty where it is absent or null."""
    found = value.get(name)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise InvalidInput(f"{what}: {name!r} must be a list of strings")
    return tuple(found)


def texts(value: Mapping[str, Any], name: str, what: str) -> dict[str, str]:
    """The map of texts under `name`, as annotations and labels are; empty where it is absent or null."""
    found = value.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise InvalidInput(f"{what}: {name!r} must map strings to strings")
    return found


def objects(value: Mapping[str, Any], name: str, what: str) -> tuple[Object, ...]:
    """The list of objects under `name`; empty where it is absent or null."""
    found = value.get(name)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise InvalidInput(f"{what}: {name!r} must be a list, is {_kind(found)}")
    return tuple(as_object(one, f"{what}: {name}[{place}]") for place, one in enumerate(found))


def _kind(value: object) -> str:
    if value is None:
        return "missing or null"
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), type(value).__name__)


def _refuse_depth(data: bytes, what: str) -> None:
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for token in _TOKEN.finditer(data):
        first = token[0][:1]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidInput(f"{what} nests more than {MAX_DEPTH} levels")
        elif first in b"]}":
            depth -= 1


def _unique(what: str) -> Any:
    def build(pairs: Sequence[tuple[str, Any]]) -> Object:
        value = dict(pairs)
        if len(value) != len(pairs):
            seen: set[str] = set()
            twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            raise InvalidInput(f"{what} has the field {twice!r} twice in one object")
        return value

    return build


def _no_constant(what: str) -> Any:
    def refuse(text: str) -> NoReturn:
        raise InvalidInput(f"{what} is not JSON: {text} is not a number")

    return refuse


def _integer(what: str) -> Any:
    def read(text: str) -> int:
        # The length first: converting a million digits takes quadratic time.
        if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
            raise InvalidInput(f"{what} has an integer beyond 64 bits: {text[:24]}")
        return int(text)

    return read


def _finite(what: str) -> Any:
    def read(text: str) -> float:
        value = float(text)
        if math.isinf(value):
            raise InvalidInput(f"{what} has a number beyond the range of a double: {text[:24]}")
        return value

    return read


def _refuse_lone_surrogates(value: object, what: str) -> None:
    """Half of a UTF-16 pair is no character: Go replaces it, Python keeps it, UTF-8 cannot write it."""
    if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise InvalidInput(f"{what} has half of a surrogate pair in a string")
