# SPDX-License-Identifier: Apache-2.0
"""Manifests read as kubectl reads them: kubectl.jsonl has a thousand texts, and what its own library made of each.

Recorded with k8s.io/apimachinery pkg/util/yaml of commit eed236ceee2c (YAMLOrJSONDecoder, as cli-runtime's
StreamVisitor uses it, behind golang.org/x/text BOMOverride; the objects decoded as unstructured ones), sigs.k8s.io/yaml
v1.6.0 and go.yaml.in/yaml/v2 v2.4.4. The one thing changed was Unmarshal to UnmarshalStrict: a key that stands twice is
an error. `here` says where this reader knowingly refuses what that one takes.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from caplet.errors import InvalidInput
from caplet.kubernetes.document import documents

RECORDED = [json.loads(line) for line in (Path(__file__).parent / "kubectl.jsonl").read_text().splitlines()]

REFUSED_HERE = (
    "found unexpected ':'",  # libyaml does not take `[a:]`, go-yaml reads the string "a:"
    "a byte order mark within the text",  # kubectl takes it for the first character of a key
    "a comma behind a tag",  # `[!foo, 1]`: kubectl takes the comma for a part of the tag
    "already set in map",  # `1: a` and `"1": b`: kubectl takes one of them, not always the same
    "a key is a mapping or a sequence",  # `[]: 1`: kubectl reads the list and forgets the rest
)


def given(row: dict[str, Any]) -> bytes:
    return row["text"].encode() if "text" in row else base64.b64decode(row["base64"])


def floats(value: Any) -> Any:
    """Numbers as JSON has them: 1 and 1.0 are the same, and beyond 64 bits an unstructured object has a float."""
    match value:
        case bool() | None | str():
            return value
        case int() | float():
            return float(value)
        case list():
            return [floats(item) for item in value]
        case _:
            return {key: floats(item) for key, item in value.items()}


def outcome(data: bytes) -> list[Any] | str:
    try:
        return [document.data for document in documents(data, "x")]
    except InvalidInput as error:
        return error.message


@pytest.mark.parametrize("row", RECORDED, ids=[f"{given(row)[:40]!r}" for row in RECORDED])
def test_as_kubectl(row: dict[str, Any]) -> None:
    found = outcome(given(row))
    if row.get("here") == "refused":
        assert isinstance(found, str)
        assert any(reason in found for reason in REFUSED_HERE)
    elif "error" in row:
        assert isinstance(found, str), row["error"]
    else:
        assert json.dumps(floats(found), sort_keys=True) == json.dumps(
            floats(row["documents"]), sort_keys=True
        )


def test_the_record_is_there() -> None:
    assert len(RECORDED) > 900
    assert sum("here" in row for row in RECORDED) < 30
