# SPDX-License-Identifier: Apache-2.0
"""YAML that PyYAML and kubectl read back as what was written."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.report.cases import CASES

from caplet.image.wrappers.model import Unsure
from caplet.kubernetes.document import documents
from caplet.report.explainjson import document
from caplet.report.yamltext import yaml_text

WORDS = ["y", "N", "yes", "on", "null", "~", "0x10", "0o14", "014", "1e3", "00000000000001e5", "1_000", ".5", "1:30",
         "=", "<<", "-", "- a", "a: b", "#", "", " ", "2024-01-01", ".inf", "0b11", "+1", "1.", "@a", "%a", "`", "\u202e", "a\nb", "---"]  # fmt: skip


def kubectl(text: str) -> Any:
    """As kubectl reads it."""
    (found,) = documents(text, "x.yaml")
    return found.data


@pytest.mark.parametrize("word", WORDS)
def test_a_word_stays_a_word(word: str) -> None:
    text = yaml_text({"key": word, "list": [word]})
    assert yaml.safe_load(text) == kubectl(text) == {"key": word, "list": [word]}


def test_a_word_of_another_type_of_str_is_a_word() -> None:
    assert yaml.safe_load(yaml_text({"key": Unsure("$(x)"), "list": [Unsure("yes")]})) == {
        "key": "$(x)",
        "list": ["yes"],
    }


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_any_text_stays_itself(word: str) -> None:
    text = yaml_text({"key": word})
    assert text.isascii()
    assert yaml.safe_load(text) == kubectl(text) == {"key": word}


@given(st.from_regex(r"[-+.0-9a-fA-FxoXOeE_:nNyY~]{1,8}", fullmatch=True))
def test_nothing_becomes_a_number(word: str) -> None:
    text = yaml_text({"key": word})
    assert yaml.safe_load(text) == kubectl(text) == {"key": word}


@pytest.mark.parametrize("name", CASES)
def test_a_document_stays_itself(name: str) -> None:
    value = document(CASES[name]())
    text = yaml_text(value)
    assert yaml.safe_load(text) == value
    assert text.startswith("schemaVersion: 1\nexplanations:\n")
    assert "&id" not in text
