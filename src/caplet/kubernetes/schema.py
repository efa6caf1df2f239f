# SPDX-License-Identifier: Apache-2.0
"""Every field that the API server would refuse: unknown ones, and those that hold the wrong type.

As `kubectl apply` has it decoded (fieldValidation=Strict, apimachinery pkg/runtime/serializer/json): names are
compared with case, null is as good as not set. The types are finitely deep, so is the recursion.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from caplet.kubernetes.document import dotted
from caplet.kubernetes.fields import is_scalar, what
from caplet.kubernetes.podapi import KNOWN, fields_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from caplet.errors import InvalidInput
    from caplet.kubernetes.document import Document, Path

MAX_PROBLEMS = 100
"""Of one document: nobody reads more."""
MAX_COMPARED = 64
"""Characters of a name that still looks for the nearest one; the API's longest has 37."""

HOMES = {
    "Capabilities": "a container's securityContext.capabilities",
    "SecurityContext": "a container's securityContext",
    "PodSecurityContext": "the Pod's securityContext",
    "Container": "a container",
    "PodSpec": "the Pod's spec",
    "ObjectMeta": "metadata",
    "VolumeMount": "a volumeMount of a container",
    "DeploymentSpec": "a Deployment's spec",
    "JobSpec": "a Job's spec",
}
"""Where a field may belong that stands elsewhere, innermost first."""

_INT32 = range(-(1 << 31), 1 << 31)
_INT64 = range(-(1 << 63), 1 << 63)


@dataclass(slots=True)
class _Walk:
    document: Document
    path: list[str | int]
    more: Collection[str]
    found: list[InvalidInput] = field(default_factory=list)

    def add(self, message: str, hint: str = "") -> None:
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(self.document.error(tuple(self.path), message, hint))


def problems(
    document: Document, path: Path, value: Any, name: str, more: Collection[str] = ()
) -> list[InvalidInput]:
    """What is wrong with the value as an API object of the type `name`; `more` are fields that it may have besides."""
    walk = _Walk(document, list(path), more)
    _value(walk, value, name)
    return walk.found


def _value(walk: _Walk, value: Any, kind: str) -> None:
    if value is None or kind == "any":
        return
    if kind in _LEAVES:
        types, words, quote = _LEAVES[kind]
        if type(value) not in types:  # true is no integer here, though bool is an int to Python
            walk.add(f"must be {words}, not {what(value)}", quote if is_scalar(value) else "")
        elif type(value) is int and kind in _RANGES and value not in _RANGES[kind]:
            walk.add(f"{value} does not fit into {_RANGES[kind].stop.bit_length()} bits")
    elif kind.startswith("[]"):
        _list(walk, value, kind[2:])
    elif kind.startswith("{}"):
        _map(walk, value, kind[2:])
    else:
        _object(walk, value, kind)


def _list(walk: _Walk, value: Any, kind: str) -> None:
    if not isinstance(value, list):
        walk.add(f"must be a list, not {what(value)}")
        return
    for index, item in enumerate(value):
        walk.path.append(index)
        if item is None and kind not in _LEAVES:
            walk.add("must be an object, not null")
        _value(walk, item, kind)
        walk.path.pop()


def _map(walk: _Walk, value: Any, kind: str) -> None:
    if not isinstance(value, dict):
        walk.add(f"must be an object, not {what(value)}")
        return
    for key, item in value.items():
        walk.path.append(key)
        _value(walk, item, kind)
        walk.path.pop()


def _object(walk: _Walk, value: Any, kind: str) -> None:
    if not isinstance(value, dict):
        walk.add(f"must be an object, not {what(value)}")
        return
    known = fields_of(kind)
    more, walk.more = walk.more, ()
    for key, item in value.items():
        walk.path.append(key)
        if key in known:
            _value(walk, item, known[key])
        elif key not in more:
            walk.add(f'unknown field "{dotted(tuple(walk.path))}"', _hint(key, kind, known))
        walk.path.pop()


def _hint(name: str, kind: str, known: dict[str, str]) -> str:
    if len(name) <= MAX_COMPARED:
        same = [field for field in known if field.lower() == name.lower()]
        homes = [words for home, words in HOMES.items() if home != kind and name in fields_of(home)]
        if homes and not same:
            return f"{name} is a field of {homes[0]}"
        import difflib

        near = same or difflib.get_close_matches(name, known, n=1)
        if near:
            return f"did you mean {near[0]}?"
    return f"not known in Kubernetes <= {KNOWN}"


_QUOTE = "put it in quotes"
_LEAVES: dict[str, tuple[tuple[type, ...], str, str]] = {
    "s": ((str,), "a string", _QUOTE),
    "t": ((str,), "a string", _QUOTE),
    "b": ((bool,), "true or false", ""),
    "i": ((int,), "a whole number", ""),
    "l": ((int,), "a whole number", ""),
    "n": ((int, str), "a whole number or a string", ""),
    "q": ((str, int, float), "a quantity", ""),
}
_RANGES = {"i": _INT32, "n": _INT32, "l": _INT64}
