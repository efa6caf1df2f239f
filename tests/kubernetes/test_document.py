# SPDX-License-Identifier: Apache-2.0
"""Manifests: what kubectl refuses is refused with its line, places are right, and no text takes the process down."""

from __future__ import annotations

import json
import resource
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.kubernetes.document import MAX_DEPTH, Place, documents

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn", "Co"))),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON)
def test_json_is_yaml(value: Any) -> None:
    found = documents(json.dumps({"value": value}), "x.json")
    assert found[0].data == {"value": value}


def test_json_that_is_no_yaml_is_read_as_json() -> None:
    (found,) = documents('\n{"a": "\\ud83d\\ude00", "b": [1.0, {"c": null}]}', "x.json")
    assert found.data == {"a": "\U0001f600", "b": [1, {"c": None}]}
    assert found.span(("b", 1)).start == Place(1, 1)
    with pytest.raises(InvalidInput, match="invalid Unicode character escape code"):
        documents('{"a": "\\ud83d\\ude00", "a": 1}', "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "pod.yaml:3: key 'a' already set in map"),
        ("a: 1\n'a': 3\n", "pod.yaml:2: key 'a' already set in map"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n  a: 2\n", "pod.yaml:4: key 'a' already set in map"),
        ("x:\n  <<: 3\n", "map merge requires map or sequence of maps as the value"),
        ("a: *nobody\n", "pod.yaml:1: unknown anchor 'nobody' referenced"),
        ("a: &a [*a]\n", "pod.yaml:1: anchor 'a' value contains itself"),
        ("a: [1, 2\nb: 3\n", "pod.yaml:2: did not find expected ',' or ']'"),
        ("a: b: c\n", "pod.yaml:1: mapping values are not allowed in this context"),
        ("a:\n\tb: 1\n", "pod.yaml:2: found character that cannot start any token"),
        ("? [a]\n: b\n", "a key is a mapping or a sequence"),
        ("~: b\n", "pod.yaml:1: a key is null"),
        ("a: 'open\n", "found unexpected end of stream"),
        ("a: \x00\n", "pod.yaml: unacceptable character #x0000"),
        ("a: \x07\n", "pod.yaml: unacceptable character #x0007"),
        ("%YAML 3.0\n---\na: 1\n", "found incompatible YAML document"),
    ],
)
def test_broken_yaml_is_one_line_with_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        documents(text, "pod.yaml")
    assert message in caught.value.message
    assert "\n" not in caught.value.message


def test_a_tab_gets_a_hint() -> None:
    with pytest.raises(InvalidInput) as caught:
        documents("a:\n\tb: 1\n", "pod.yaml")
    assert caught.value.hint == "indent with spaces, not tabs"


@pytest.mark.parametrize("data", [b"a: \xff\n", b"\xff\xfea\x00:", b"a: \xc3\x28\n"])
def test_bytes_that_are_no_text_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        documents(data, "pod.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{a: " * 500_000,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(
            f"b{n}: &b{n} [{','.join(['*' + ('a' if n == 0 else f'b{n - 1}')] * 9)}]\n" for n in range(12)
        ),
        "- " * 100_000 + "x",
        "---\n" * 50_000 + "a: *b\n",
        "".join(f"- &a{number} 1\n" for number in range(600_000)),
    ],
    ids=["deep-flow", "deep-flow-maps", "billion-laughs", "deep-block", "many-documents", "many-anchors"],
)
def test_bombs_are_refused_quickly(text: str) -> None:
    began, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InvalidInput):
        documents(text, "bomb.yaml")
    assert time.process_time() - began < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 200_000


def test_depth_up_to_the_limit_is_fine() -> None:
    text = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert documents(text, "x")
    with pytest.raises(InvalidInput, match="nesting"):
        documents(f"[[{text}]]", "x")


def test_aliases_and_merges_give_the_same_as_writing_it_out() -> None:
    (found,) = documents("x: &x {a: 1}\nv: {<<: *x, b: 2}\nz: [*x, *x]\nw:\n  <<: [{c: 1}, {d: 2}]\n", "x")
    assert found.data == {
        "x": {"a": 1},
        "v": {"a": 1, "b": 2},
        "z": [{"a": 1}, {"a": 1}],
        "w": {"c": 1, "d": 2},
    }


def test_empty_documents_are_left_out() -> None:
    found = documents("---\n---\n# nothing\n---\na: 1\n...\n---\nb: 2\n", "x")
    assert [document.data for document in found] == [{"a": 1}, {"b": 2}]


def test_places_are_those_of_the_text() -> None:
    text = "spec:\n  containers:\n  - name: web\n    image: app\n  - name: side\n"
    (document,) = documents(text, "x")
    span = document.span(("spec", "containers", 0, "image"))
    assert (span.start, span.end) == (Place(4, 12), Place(4, 15))
    assert document.span(("spec", "containers", 1)).start == Place(5, 5)
    assert document.span(("spec", "containers", 7)).start.line == 3
    assert document.error(("spec", "containers", 0), "no").message == "x:3: spec.containers[0]: no"
