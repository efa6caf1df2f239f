# SPDX-License-Identifier: Apache-2.0
"""Protocol Buffers' wire format, as far as CRI needs it: https://protobuf.dev/programming-guides/encoding/.

A few messages of a stable interface need neither a compiler nor generated code: a message is its fields by number.

>>> message({1: "a", 2: 5, 3: None}).hex()
'0a01611005'
>>> fields(bytes.fromhex("0a01611005"))
{1: [b'a'], 2: [5]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from caplet.errors import InvalidInput

Value: TypeAlias = "int | str | bytes | Sequence[int | str | bytes] | Mapping[str, str] | None"
"""bytes are a message or bytes, and are sent also where they are empty; of the others, what is empty is left out."""

Fields: TypeAlias = "dict[int, list[int | bytes]]"
"""Number -> every value that came, in order."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def message(values: Mapping[int, Value]) -> bytes:
    """The message with these fields."""
    return b"".join(_field(number, value) for number, value in values.items())


def _field(number: int, value: Value) -> bytes:
    match value:
        case None | 0 | "" | False:
            return b""
        case int():
            return _varint(number << 3 | _VARINT) + _varint(value)
        case str():
            return _bytes(number, value.encode())
        case bytes():
            return _bytes(number, value)
        case Mapping():
            return b"".join(_bytes(number, message({1: key, 2: item})) for key, item in value.items())
    return b"".join(_item(number, item) for item in value)


def _item(number: int, item: int | str | bytes) -> bytes:
    """One of a repeated field: sent also where it is empty or 0."""
    if isinstance(item, int):
        return _varint(number << 3 | _VARINT) + _varint(item)
    return _bytes(number, item.encode() if isinstance(item, str) else item)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | _LENGTH) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are sent in two's complement, ten bytes long
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def fields(data: bytes) -> Fields:
    """The fields of a message. Raises InvalidInput where it is none."""
    found: Fields = {}
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        kind = key & 7
        value: int | bytes
        if kind == _VARINT:
            value, at = _read_varint(data, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if kind == _LENGTH:
                size, at = _read_varint(data, at)
            if size is None or at + size > len(data):
                raise InvalidInput("not a protobuf message: it ends early, or has a field of no known kind")
            value, at = data[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 70:
        value |= (data[at] & 0x7F) << shift
        if data[at] < 0x80:
            return value & (1 << 64) - 1, at + 1
        at, shift = at + 1, shift + 7
    raise InvalidInput("not a protobuf message: it ends early, or has a field of no known kind")


def text(found: Fields, number: int) -> str:
    """The last value of a string field; empty where it was not sent."""
    value = found.get(number, [b""])[-1]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def number(found: Fields, field: int) -> int:
    """The last value of an int32 or int64 field; 0 where it was not sent."""
    value = found.get(field, [0])[-1]
    if isinstance(value, bytes):
        raise InvalidInput(f"protobuf field {field} is not a number")
    return value - (1 << 64) if value >> 63 else value


def inner(found: Fields, field: int) -> Fields:
    """The last value of a message field."""
    value = found.get(field, [b""])[-1]
    if isinstance(value, int):
        raise InvalidInput(f"protobuf field {field} is not a message")
    return fields(value)


def mapping(found: Fields, field: int) -> dict[str, str]:
    """A map<string, string> field."""
    entries = [fields(entry) for entry in found.get(field, []) if isinstance(entry, bytes)]
    return {text(entry, 1): text(entry, 2) for entry in entries}
