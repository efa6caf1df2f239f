# SPDX-License-Identifier: Apache-2.0
"""What a scalar of a manifest means to kubectl: go.yaml.in/yaml v2.4 resolve.go, then sigs.k8s.io/yaml's JSON.

Neither YAML 1.1 nor 1.2: `0755` and `0o755` are 493, `y`, `yes` and `on` are true, `1:30` and dates are strings, `08` is 8.
"""

from __future__ import annotations

import base64
import math
import re
import struct
from typing import TypeAlias

from caplet.errors import InvalidInput

Scalar: TypeAlias = "str | int | float | bool | None"

_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), math.inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -math.inf),
}

_TAG = "tag:yaml.org,2002:"
_NUMERIC = frozenset("+-0123456789.")
"""First characters of what may be a number; a word is looked up whole."""

_INTEGER = re.compile(
    r"([-+]?)(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0[oO]([0-7]+)|0([0-7]+)|([1-9][0-9]*|0))", re.ASCII
)
"""strconv.ParseInt with base 0, after the underscores were taken out."""
_BASES = (16, 2, 8, 8, 10)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
"""yamlStyleFloat of resolve.go."""
_SIGNED_BINARY = re.compile(r"0b([-+]?[01]+)", re.ASCII)
"""`0b-101`: resolve.go parses what follows 0b with its own sign."""

_MIN_INT64, _MAX_INT64, _MAX_UINT64 = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1

_JSON_EXPONENT = 1e21
"""From here on encoding/json writes a whole float with an exponent, and no integer field takes it."""


def resolve(text: str, tag: str | None, *, plain: bool) -> Scalar:
    """The value of a scalar as JSON has it. `tag`: as the parser gives it, None for none; `plain`: no quotes, no tag.

    Raises InvalidInput where the tag demands what the text is not, and for numbers that JSON has not.
    """
    value = meaning(text, tag, plain=plain)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise InvalidInput(f"{text} is not a number that JSON has")
    if not value.is_integer() or abs(value) >= _JSON_EXPONENT:
        return value
    from decimal import Decimal

    return int(Decimal(repr(value)))  # encoding/json writes the shortest digits, then zeros


def meaning(text: str, tag: str | None, *, plain: bool) -> Scalar:
    """The value of a scalar to go-yaml: a float is one also where it is whole or infinite."""
    if plain:
        return _plain(text)
    if tag is None or tag == _TAG + "str" or not tag.startswith(_TAG):
        return text
    kind = tag.removeprefix(_TAG)
    if kind == "binary":
        return _binary(text)
    if kind == "timestamp":
        if not _is_timestamp(text):
            raise InvalidInput(f"cannot decode `{text}` as a !!timestamp")
        return text
    if kind not in {"bool", "int", "float", "null"}:
        return text
    value = _plain(text)
    found = _kind(value)
    if found == "int" and kind == "float":
        return float(value or 0)
    if found != kind:
        raise InvalidInput(f"cannot decode !!{found} `{text}` as a !!{kind}")
    return value


def key(value: Scalar) -> str:
    """The key of an object that a scalar means, as sigs.k8s.io/yaml convertToJSONableObject writes it."""
    match value:
        case str():
            return value
        case None:
            raise InvalidInput("a key is null")
        case bool():
            return "true" if value else "false"
        case int():
            if value > _MAX_INT64:
                raise InvalidInput("a key is a number that does not fit into 64 bits")
            return str(value)
        case float():
            return _float32(value)


def _float32(value: float) -> str:
    """strconv.FormatFloat(value, 'g', -1, 32): the fewest digits that give the same float32."""
    if math.isnan(value):
        return ".nan"
    try:
        single = struct.pack("f", value)
    except OverflowError:
        single = struct.pack("f", math.copysign(math.inf, value))
    (value,) = struct.unpack("f", single)
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    shortest = (f"{value:.{digits}e}" for digits in range(9))
    text = next(text for text in shortest if struct.pack("f", float(text)) == single)
    from decimal import Decimal

    exponent = int(text.partition("e")[2])
    return text if not -4 <= exponent < 6 else format(Decimal(text), "f")


_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})"
    r"(?:([Tt ])([0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2})(?:[.,][0-9]+)?(Z|[-+][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
"""resolve.go allowedTimestampFormats: with T or t a zone must follow, with a space none may."""


def _is_timestamp(text: str) -> bool:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return False
    date, separator, time, zone = match.groups()
    if separator is not None and (separator == " ") == (zone is not None):
        return False
    import datetime as dt

    try:
        year, month, day = map(int, date.split("-"))
        dt.date(year, month, day)
        if time is not None:
            hour, minute, second = map(int, time.split(":"))
            dt.time(hour, minute, second)
    except ValueError:
        return False
    return True


def _plain(text: str) -> Scalar:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if text[0] == ".":
        return _float(text, text)
    bare = text.replace("_", "")
    number = _integer(bare)
    return _float(bare, text) if number is None else number


def _integer(text: str) -> int | None:
    match = _INTEGER.fullmatch(text)
    if match is None:
        signed = _SIGNED_BINARY.fullmatch(text)
        value = int(signed[1], 2) if signed else None
        return value if value is not None and _MIN_INT64 <= value <= _MAX_UINT64 else None
    sign, *digits = match.groups()
    if sum(map(len, filter(None, digits))) > 64:
        return None
    value = next(int(text, base) for text, base in zip(digits, _BASES, strict=True) if text is not None)
    if sign == "-":
        value = -value
    return value if _MIN_INT64 <= value <= (_MAX_INT64 if sign else _MAX_UINT64) else None


def _float(text: str, original: str) -> float | str:
    """Too large for a float: a string."""
    if not _FLOAT.fullmatch(text):
        return original
    value = float(text)
    return original if math.isinf(value) else value


def _kind(value: Scalar) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "str"


_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
"""encoding/base64 StdEncoding, which passes over line ends and nothing else."""


def _binary(text: str) -> str:
    digits = text.replace("\n", "").replace("\r", "")
    if not _BASE64.fullmatch(digits):
        raise InvalidInput("!!binary value contains invalid base64 data")
    found = base64.b64decode(digits).decode("utf-8", "surrogateescape")
    return _ESCAPED_BYTE.sub("\ufffd", found)


_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
