# SPDX-License-Identifier: Apache-2.0
"""`caplet scan` of every case: the expected files and notes, or one clear line and exit code 2; never anything else."""

from __future__ import annotations

import json
import signal
import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.hostile.case import Case, Refused
from tests.hostile.tables import cases

from caplet.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS = 10
MOST = 2100
"""Characters of a line: what an image says may have megabytes."""
CASES = cases()
UNSAFE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """A hang is a failure."""

    def over(number: int, frame: object) -> None:
        raise TimeoutError(f"over {seconds} seconds")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def scan(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with limited():
        code = run(["scan", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def is_safe(text: str) -> bool:
    """No byte below a space but newline, nothing that moves a cursor or turns a line around."""
    return all(char == "\n" or unicodedata.category(char) not in UNSAFE for char in text)


def engines(stderr: str) -> tuple[str, ...]:
    """Every engine that a note of difference names."""
    notes = [line.split(": ", 3) for line in stderr.splitlines() if line.startswith("caplet: divergent: ")]
    return tuple(sorted({engine for note in notes for engine in note[3].split(": ")[0].split(", ")}))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_scan_says_what_is_expected(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = case.make(str(tmp_path))
    code, out, err = scan(capsys, reference)
    assert is_safe(out)
    assert is_safe(err)
    if isinstance(case.expected, Refused):
        assert case.expected.message in err
        assert_refusal(code, out, err)
        return
    assert (code, sorted(out.splitlines())) == (
        0,
        sorted(f"{path} {text}" for path, text in case.expected.files.items()),
    )
    assert engines(err) == case.expected.divergent


def assert_refusal(code: int, out: str, err: str) -> None:
    """One line that says what and where, at most one more that says what to do."""
    lines = err.splitlines()
    assert (code, out) == (2, "")
    assert lines[0].startswith("caplet: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("  "))
    assert all(len(line) < MOST for line in lines)
    assert "Traceback" not in err


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_json_has_the_same_files(case: Case, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference = case.make(str(tmp_path))
    code, out, err = scan(capsys, "-o", "json", reference)
    assert is_safe(out)
    if isinstance(case.expected, Refused):
        assert_refusal(code, out, err)
        return
    (image,) = json.loads(out)["images"]
    paths = [one["path"] for file in image["files"] for one in (file, *file["links"])]
    assert len(paths) == len(case.expected.files)
    assert bool(image["divergent"]) == bool(case.expected.divergent)
