# SPDX-License-Identifier: Apache-2.0
"""Manifests: what kubectl refuses is refused with its line, places are right, and no text takes the process down."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.kubernetes.document import Place, documents, stream
from caplet.kubernetes.reader import MAX_DEPTH

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
@settings(deadline=None)
def test_json_is_yaml(value: Any) -> None:
    found = documents(json.dumps({"value": value}), "x.json")
    assert found[0].data == {"value": value}


def test_json_that_is_no_yaml_is_read_as_json() -> None:
    (found,) = documents('\n{"a": "\\ud83d\\ude00", "b": [1.0, {"c": null}]}', "x.json")
    assert found.data == {"a": "\U0001f600", "b": [1, {"c": None}]}
    assert found.span(("b", 1)).start == Place(2, 1)
    with pytest.raises(InvalidInput, match=r"x\.json:1: key 'a' already set in map"):
        documents('{"a": "\\ud83d\\ude00", "a": 1}', "x.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "pod.yaml:3: key 'a' already set in map"),
        ("a: 1\n'a': 3\n", "pod.yaml:2: key 'a' already set in map"),
        ("x: &x {a: 1}\nz:\n  <<: *x\n  a: 2\n", "pod.yaml:4: key 'a' already set in map"),
        ("x:\n  <<: 3\n", "map merge requires map or sequence of maps as the value"),
        ("a: *nobody\n", "pod.yaml:1: unknown anchor 'nobody' referenced"),
        ("a: &a [*a]\n", "pod.yaml:1: anchor 'a' value contains itself"),
        ("a: [1, 2\nb: 3\n", "pod.yaml:2: did not find expected ',' or ']'"),
        ("a: b: c\n", "pod.yaml:1: mapping values are not allowed in this context"),
        ("a:\n\tb: 1\n", "pod.yaml:2: found character that cannot start any token"),
        ("? [a]\n: b\n", "a key is a mapping or a sequence"),
        ("~: b\n", "pod.yaml:1: a key is null"),
        ("a: 'open\n", "found unexpected end of stream"),
        ("a: \x00\n", "pod.yaml:1: unacceptable character #x0000"),
        ("a: \x07\n", "pod.yaml:1: unacceptable character #x0007"),
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


BOMBS = {
    "deep-flow": "'[' * 1_000_000",
    "deep-flow-maps": "'{a: ' * 500_000",
    "deep-block": "'- ' * 100_000 + 'x'",
    "deep-json": "'{\"a\":' * 1_000_000",
    "billion-laughs": "'a: &a [x,x,x,x,x,x,x,x,x]\\n' + ''.join("
    'f\'b{n}: &b{n} [{",".join(["*" + ("a" if n == 0 else f"b{n - 1}")] * 9)}]\\n\' for n in range(12))',
    "quadratic-aliases": "'a: &a [' + 'x,' * 5000 + ']\\nb: [' + '*a,' * 5000 + ']'",
    "huge-scalar": "'a: ' + 'x' * 50_000_000",
    "huge-quoted": "'a: \"' + 'x' * 50_000_000",
    "huge-json-string": "'{\"a\": \"' + 'x' * 50_000_000",
    "huge-block-scalar": "'a: |\\n' + '  x\\n' * 3_000_000",
    "huge-comment": "'#' * 50_000_000",
    "many-documents": "'---\\n' * 100_000 + 'a: *b\\n'",
    "many-small-documents": "'a: 1\\n---\\n' * 100_000 + 'a: *b\\n'",
    "many-anchors": "''.join(f'- &a{n} 1\\n' for n in range(1_000_000))",
    "many-keys": "''.join(f'a{n}: 1\\n' for n in range(400_000))",
    "many-nulls-in-json": "'{\"a\": [' + '0,' * 4_000_000",
    "same-key": "'a: 1\\n' * 400_000",
    "nul": "'a: 1\\n' * 10_000 + chr(0)",
    "many-tags": "'[' + '!a ,' * 2_000_000",
    "many-quotes": "'[' + chr(34) + chr(92) + '/' + chr(34) + ',' + '\"a\",' * 1_000_000",
    "many-merges": "'a: &a {' + ','.join(f'k{n}: 1' for n in range(1000)) + '}\\nb:\\n' + '- {<<: *a}\\n' * 100_000",
    "many-keys-in-json": "'{\"a\": 1, ' * 1 + ','.join(f'\"k{n}\": 1' for n in range(1_000_000)) + ', \"a\": 1}'",
    "utf-16": "('a: ' + 'x' * 20_000_000).encode('utf-16')",
    "invalid-utf-8": "b'a: ' + bytes([255, 0xC3, 0x28]) * 10_000_000",
    "many-empty-lists-in-json": "'{\"a\": [' + '[],' * 10_000_000",
    "no-line-end": "'---' * 10_000_000",
}

MEASURE = """
import resource, sys, time
from caplet.errors import InvalidInput
from caplet.kubernetes.document import stream
text = {text}
text = text if isinstance(text, bytes) else text.encode()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began, count = time.process_time(), 0
try:
    for document in stream((text[at : at + (1 << 20)] for at in range(0, len(text), 1 << 20)), "bomb.yaml"):
        count += 1
except InvalidInput as error:
    print(time.process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, error.message[:200])
else:
    raise SystemExit(f"accepted: {{count}} documents")
"""


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused_quickly(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(text=text)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seconds, kibibytes, message = done.stdout.split(" ", 2)
    assert message.startswith("bomb.yaml:")
    assert float(seconds) < 4  # 2 where nothing else runs
    assert int(kibibytes) < 200_000


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
    found = documents("---\n---\n# nothing\n---\na: 1\n---\nb: 2\n", "x")
    assert [document.data for document in found] == [{"a": 1}, {"b": 2}]


def test_places_are_those_of_the_text() -> None:
    text = "spec:\n  containers:\n  - name: web\n    image: app\n  - name: side\n"
    (document,) = documents(text, "x")
    span = document.span(("spec", "containers", 0, "image"))
    assert (span.start, span.end) == (Place(4, 12), Place(4, 15))
    assert document.span(("spec", "containers", 1)).start == Place(5, 5)
    assert document.span(("spec", "containers", 7)).start.line == 3
    assert document.error(("spec", "containers", 0), "no").message == "x:3: spec.containers[0]: no"


def test_places_of_later_documents_count_from_the_top() -> None:
    first, second = documents("---\n# one\na: 1\n---\n\nb:\n- c: &x 2\n  d: *x\n", "x")
    assert first.span(("a",)).start == Place(3, 4)
    assert second.span(("b", 0, "c")).start == Place(7, 6)
    assert second.span(("b", 0, "d")).start == Place(8, 6)
    assert second.key_place(("b", 0, "d")) == Place(8, 3)
    assert second.key_place(("b", 0)) == Place(7, 3)
    assert second.error(("b",), "no").message == "x:6: b: no"


def test_places_of_json_are_those_of_the_text() -> None:
    first, second = documents('{"a": 1}\n{\n\t"b": [\n\t\t2,\n\t\t3]}\n', "x")
    assert first.span(("a",)).start == Place(1, 7)
    assert second.span(("b", 1)).start == Place(5, 3)


def test_a_second_key_in_json_has_its_line() -> None:
    with pytest.raises(InvalidInput, match=r"x:4: key 'c' already set in map"):
        documents('{"a": 1}\n{"b": {\n"c": 1,\n"c": 2}}', "x")


def test_places_of_what_is_too_large_are_those_of_its_begin() -> None:
    (document,) = documents('{"a":[' + "0," * 600_000 + "0]}", "x")
    assert document.span(("a", 3)).start == Place(1, 1)
    assert document.error(("a", 3), "no").message == "x:1: a[3]: no"


def test_what_a_merge_brings_stands_where_it_was_written() -> None:
    (document,) = documents("x: &x {a: 1}\nz:\n  <<: *x\n  b: 2\n", "x")
    assert document.span(("z", "a")).start == Place(1, 11)
    assert document.key_place(("z", "a")) == Place(3, 7)


@given(
    st.lists(st.sampled_from(["a: 1\n", "---\n", "--- # c\n", "b: |\n  x\n", "\r\n", "é: ü\r\n", "# c\n"])),
    st.integers(1, 7),
)
@settings(deadline=None)
def test_blocks_may_end_anywhere(lines: list[str], size: int) -> None:
    """Whole or in pieces: the same documents with the same places."""
    data = "".join(lines).encode()

    def read(blocks: list[bytes]) -> list[Any] | str:
        try:
            return [(found.data, found.line) for found in stream(blocks, "x")]
        except InvalidInput as error:
            return error.message

    assert read([data[at : at + size] for at in range(0, len(data), size)]) == read([data])
