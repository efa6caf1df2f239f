# SPDX-License-Identifier: Apache-2.0
"""Whatever the text is: documents and Pods, or an InvalidInput that says where; and places that lead back to the value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.kubernetes.test_pod import WHOLE

from caplet.errors import InvalidInput
from caplet.kubernetes.document import Document, documents
from caplet.kubernetes.pod import Reading, read
from caplet.kubernetes.podapi import fields_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.document import Path

TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co", "Zl", "Zp"), exclude_characters="\ufeff")
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(-1e9, 1e9) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)

PIECES = st.sampled_from(
    [*"[]{}:-,?&*!|>'\"%@`#~\\\t\r\n \0\x85\ufeff", "---\n", "...\n", "<<: ", "*x", "&x ", "!!int ", "null", "0x", "{{ a }}", "\n  "]
)  # fmt: skip


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path, value


def cut(text: str, document: Document, path: Path) -> str:
    """What stands in the text where the value is said to be."""
    start, end = document.span(path)
    lines = text.split("\n")[start.line - 1 : end.line]
    lines[-1] = lines[-1][: end.column - 1]
    lines[0] = lines[0][start.column - 1 :]
    return "\n".join(lines)


@given(
    st.dictionaries(TEXT, JSON, min_size=1, max_size=4),
    st.sampled_from(["block", "flow", "json", "indented"]),
)
@settings(max_examples=200, deadline=None)
def test_every_place_leads_back_to_its_value(data: dict[str, Any], style: str) -> None:
    if style == "json":
        text = json.dumps(data, ensure_ascii=False)
    elif style == "indented":
        text = json.dumps(data, ensure_ascii=False, indent=1)
    else:
        text = yaml.safe_dump(data, default_flow_style=style == "flow", allow_unicode=True, width=20)
    try:
        (document,) = documents(text, "x")
    except InvalidInput:
        return  # PyYAML writes `y` and the like without quotes: as keys they may meet
    for path, value in leaves(document.data):
        written = cut(text, document, path)
        found = documents(f"- {written}\n", "x")[0].data if written.strip(" ") else [None]
        assert found == [value], (path, written)


def read_or_refuse(text: str | bytes) -> Reading:
    try:
        reading = read(documents(text, "x"))
    except InvalidInput as error:
        reading = Reading(problems=[error])
    assert all(problem.message.startswith("x:") for problem in reading.problems)
    return reading


@pytest.mark.parametrize("text", [WHOLE, json.dumps(yaml.safe_load(WHOLE)), f"{WHOLE}---\n{WHOLE}"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_mutated_manifest_is_read_or_refused(text: str, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + data.draw(PIECES) + text[at + data.draw(st.integers(0, 9)) :]
    reading = read_or_refuse(text)
    for pod in reading.pods:
        for container in pod.every_container:
            assert pod.document.at(container.path)["name"] == container.name


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_bytes_are_read_or_refused(data: bytes) -> None:
    read_or_refuse(data)


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 1.5, "a", [], {}, [None], [{}], {"a": None}, 2**40]
)


def objects_of(kind: str, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with fields of the right names, rightly and wrongly typed."""

    def value(holds: str) -> st.SearchStrategy[Any]:
        if holds.startswith("[]"):
            return st.lists(value(holds[2:]), max_size=2)
        if holds.startswith("{}"):
            return st.dictionaries(st.sampled_from("ab"), value(holds[2:]), max_size=2)
        if len(holds) == 1 or holds == "any" or depth == 0:
            return VALUES
        return objects_of(holds, depth - 1)

    fields = [st.tuples(st.just(name), value(holds)) for name, holds in fields_of(kind).items()]
    pairs: st.SearchStrategy[list[tuple[str, Any]]] = st.lists(st.one_of(fields), max_size=6)
    return pairs.map(dict)


@given(objects_of("PodSpec", 3))
@settings(max_examples=300, deadline=None)
def test_right_names_with_wrong_values(spec: dict[str, Any]) -> None:
    spec = {"containers": [{"name": "a"}]} | spec
    text = json.dumps({"kind": "Pod", "spec": spec})
    reading = read(documents(text, "x"))
    assert bool(reading.pods) != bool(reading.problems)
