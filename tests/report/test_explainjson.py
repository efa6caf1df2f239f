# SPDX-License-Identifier: Apache-2.0
"""The JSON document keeps to its schema, and the schema and its page name every field."""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from tests.report.cases import CASES, HOSTILE, every, examples, judged

from caplet.causes.catalogue import CAUSES
from caplet.kernel.caps import Caps
from caplet.report.explainjson import SCHEMA_VERSION, document

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA: dict[str, Any] = json.loads(
    files("caplet.report").joinpath("explain.schema.json").read_text(encoding="utf-8")
)
PAGE = Path(__file__).parents[2] / "docs" / "explain-json.md"


def strict(schema: Any) -> Any:
    """The same, without a field that it does not name."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else {}
    return {key: strict(value) for key, value in schema.items()} | closed


VALIDATOR = jsonschema_rs.validator_for(strict(SCHEMA))


def problems(value: Any) -> list[str]:
    return [f"{error.instance_path}: {error.message}" for error in VALIDATOR.iter_errors(value)]


def test_the_schema_is_one() -> None:
    assert jsonschema_rs.meta.is_valid(SCHEMA)
    assert SCHEMA["properties"]["schemaVersion"] == {"const": SCHEMA_VERSION}


@pytest.mark.parametrize("name", CASES)
def test_keeps_to_the_schema(name: str) -> None:
    text = json.dumps(document(CASES[name]()))
    assert problems(json.loads(text)) == []


@pytest.mark.parametrize(
    "on", ["all", "containerd:1.6+crun,openshift,gke-autopilot,eks-fargate+containerd:1.7,containerd+runsc"]
)
@pytest.mark.parametrize(
    "security",
    [
        "{}",
        "{privileged: true}",
        "{runAsUser: 7, capabilities: {add: [ALL]}}",
        "{capabilities: {drop: [ALL], add: [CAP_NET_RAW, NO_SUCH]}}",
        "{runAsUser: 0, runAsNonRoot: true}",
    ],
)
def test_many_containers_keep_to_the_schema(security: str, on: str) -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: b}\nspec:\n  hostUsers: false\n"
        f"  initContainers: [{{name: i, image: i, securityContext: {security}}}]\n"
        f"  containers: [{{name: c, image: c, securityContext: {security}}}]\n"
    )
    facts = CASES["effective"]()[0].explanation.image
    assert problems(json.loads(json.dumps(document(judged(text, facts, on))))) == []


def test_every_cause_keeps_to_the_schema() -> None:
    for one in examples():
        assert problems(json.loads(json.dumps(document([one])))) == []


def test_a_missing_field_is_a_problem() -> None:
    value = document(CASES["inert"]())
    del value["explanations"][0]["steps"][0]["after"]
    assert problems(value)


def test_hex_is_the_names() -> None:
    for one in every():
        for caps in _sets(document([one])):
            assert Caps.parse(",".join(caps["names"]) or "none").mask == int(caps["hex"], 16)


def _sets(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if {"names", "hex"} <= value.keys():
            yield value
        for item in value.values():
            yield from _sets(item)
    elif isinstance(value, list):
        for item in value:
            yield from _sets(item)


def test_exact_bytes_of_a_path_are_kept() -> None:
    value = document(CASES["hostile"]())
    (link,) = value["explanations"][0]["steps"][1]["program"]["chain"]
    assert bytes.fromhex(link["pathHex"]) == os.fsencode(HOSTILE)
    assert link["path"] == HOSTILE.replace("\udcff", "\\xff")
    json.dumps(value, ensure_ascii=False).encode()


def test_a_cause_points_at_its_step() -> None:
    (one,) = document(CASES["inert-behind-a-wrapper"]())["explanations"]
    cause = next(cause for cause in one["causes"] if cause["code"] == "CAP103")
    assert one["steps"][cause["step"]]["title"].startswith("exec /usr/sbin/nginx")


def test_codes_are_as_the_schema_has_them() -> None:
    pattern = SCHEMA["$defs"]["cause"]["properties"]["code"]["pattern"]
    assert all(re.fullmatch(pattern, cause.code) for cause in CAUSES)


def test_the_page_has_every_field() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = {name for name in _fields(SCHEMA) if f"`{name}`" not in page}
    assert not missing


def _fields(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _fields(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict):
            yield from schema["properties"]
        for item in schema.values():
            yield from _fields(item)
