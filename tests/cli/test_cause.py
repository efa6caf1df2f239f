# SPDX-License-Identifier: Apache-2.0
"""`caplet cause`: by code, by number, by name, all, as JSON, none."""

from __future__ import annotations

import json

import pytest

from caplet.causes.catalogue import CAUSES
from caplet.cli.main import run


@pytest.mark.parametrize("word", ["CAP102", "cap102", "102", "exec-eperm-bounding", "Exec-EPERM-Bounding"])
def test_one_cause_by_any_of_its_names(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cause", word]) == 0
    assert capsys.readouterr().out.startswith("# CAP102 exec-eperm-bounding\n\nThe program does not start")


def test_all_causes_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cause"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[cause.code, cause.name] for cause in CAUSES]
    assert all(cause.summary in line for cause, line in zip(CAUSES, lines, strict=True))


def test_one_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cause", "CAP103", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {name: document[name] for name in ("schemaVersion", "code", "name", "weight")} == {
        "schemaVersion": 1,
        "code": "CAP103",
        "name": "wrapper-drops-caps",
        "weight": "breaks",
    }
    assert document["logs"]
    assert "## Fix" in document["page"]


def test_all_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cause", "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in document["causes"]] == [cause.code for cause in CAUSES]


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("wrapper-drop-caps", "did you mean wrapper-drops-caps?"),
        ("CAP1022", "did you mean CAP1"),
        ("\x1b[31m" * 100, "no cause"),
    ],
    ids=["name", "code", "hostile"],
)
def test_an_unknown_cause_names_the_nearest(word: str, near: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cause", word]) == 2
    captured = capsys.readouterr()
    assert near in captured.err
    assert "caplet cause lists them all" in captured.err
    assert "\x1b" not in captured.err
    assert not captured.out
