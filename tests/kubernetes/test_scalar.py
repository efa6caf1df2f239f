# SPDX-License-Identifier: Apache-2.0
"""Scalars mean what they mean to kubectl: the values were printed by sigs.k8s.io/yaml v1.6 with go.yaml.in/yaml v2.4."""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput
from caplet.kubernetes.document import documents

REFUSED = object()

MEASURED: list[tuple[str, object]] = [
    ("0755", 493),
    ("0o755", 493),
    ("0O17", 15),
    ("0x1F", 31),
    ("0X1f", 31),
    ("0b101", 5),
    ("0b-101", -5),
    ("0b+1", 1),
    ("-0b11", -3),
    ("08", 8),
    ("0_7", 7),
    ("1_000", 1000),
    ("0x_1", 1),
    ("1__2", 12),
    ("_1", "_1"),
    ("1e3", 1000),
    ("1.", 1),
    (".5", 0.5),
    ("+.5", 0.5),
    (".5e1", 5),
    ("1.e5", 100000),
    ("1e-7", 1e-07),
    ("1e21", 1e21),
    ("1e999", "1e999"),
    ("18446744073709551615", 18446744073709551615),
    ("18446744073709551616", 18446744073709552000),
    ("+18446744073709551615", 18446744073709552000),
    ("-9223372036854775808", -9223372036854775808),
    ("-9223372036854775809", -9223372036854776000),
    ("y", True),
    ("Yes", True),
    ("yEs", "yEs"),
    ("n", False),
    ("on", True),
    ("OFF", False),
    ("TRUE", True),
    ("tRue", "tRue"),
    ("null", None),
    ("Null", None),
    ("~", None),
    ("nUll", "nUll"),
    ("", None),
    ("1:30", "1:30"),
    ("190:20:30", "190:20:30"),
    ("2020-01-01", "2020-01-01"),
    ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
    ("-", REFUSED),
    ("+", "+"),
    ("..", ".."),
    ("=", "="),
    ("0x", "0x"),
    ("'12'", "12"),
    ('"yes"', "yes"),
    ("''", ""),
    ("!!str 12", "12"),
    ('!!int "12"', 12),
    ("!!int foo", REFUSED),
    ("!!float 1", 1),
    ("!!bool yes", True),
    ("!!null ~", None),
    ("!!null x", REFUSED),
    ("!foo 1", "1"),
    ("! 12", "12"),
    ("!!binary aGk=", "hi"),
    ("!!binary a", REFUSED),
    ("!!timestamp 2020-01-01", "2020-01-01"),
    ("!!timestamp yes", REFUSED),
    (".inf", REFUSED),
    (".nan", REFUSED),
]


@pytest.mark.parametrize(("text", "value"), MEASURED, ids=[text for text, _ in MEASURED])
def test_a_scalar_is_what_kubectl_makes_of_it(text: str, value: object) -> None:
    manifest = f"key: {text}\n"
    if value is REFUSED:
        with pytest.raises(InvalidInput, match=r"pod\.yaml:1"):
            documents(manifest, "pod.yaml")
        return
    (document,) = documents(manifest, "pod.yaml")
    found = document.data["key"]
    assert (type(found), found) == (type(value), value)
