# SPDX-License-Identifier: Apache-2.0
"""The pages: complete, current, and without what no page may advise."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from caplet import causes
from caplet.causes.catalogue import CAUSES, named
from caplet.causes.cause import SECTIONS, Cause
from caplet.causes.pages import pages
from caplet.cli.main import COMMANDS
from caplet.runtimes.node import nodes

ROOT = Path(__file__).parents[2]
HERE = ROOT / "docs" / "causes"
PLUMBING = {"__init__", "__main__", "catalogue", "cause", "lines", "loss", "pages", "words"}

BY_CODE = pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.code)


def test_the_pages_on_disk_are_those_of_the_docstrings() -> None:
    """`make causes` writes them."""
    assert {path.name: path.read_text(encoding="utf-8") for path in HERE.iterdir()} == dict(pages())


def test_every_module_of_the_folder_is_listed() -> None:
    (folder,) = causes.__path__
    modules = {path.stem for path in Path(folder).glob("*.py")} - PLUMBING
    assert modules == {cause.name.replace("-", "_") for cause in CAUSES}


def test_codes_are_in_order_and_names_are_not_used_twice() -> None:
    codes = [cause.code for cause in CAUSES]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"CAP1\d\d", code) for code in codes)
    assert len({cause.name for cause in CAUSES}) == len(CAUSES)


@BY_CODE
def test_a_cause_is_found_by_its_names(cause: Cause) -> None:
    assert named(cause.code.lower()) is named(cause.name) is cause


@BY_CODE
def test_a_page_has_the_sections_in_order(cause: Cause) -> None:
    assert tuple(re.findall(r"^## (.+)$", cause.text, re.MULTILINE)) == SECTIONS
    parts = re.split(r"^## .+$", cause.text, flags=re.MULTILINE)
    assert all(part.strip() for part in parts)
    assert cause.text.splitlines()[0].endswith(".")
    assert len(cause.summary) < 130


@BY_CODE
def test_no_page_advises_more_privilege(cause: Cause) -> None:
    fix = re.split(r"^## (?:Fix|Where)$", cause.text, flags=re.MULTILINE)[1]
    assert "allowPrivilegeEscalation: true" not in fix
    assert not re.search(r"runAsUser: 0\b|privileged: true", fix)
    first = re.split(r"^2\. ", fix, flags=re.MULTILINE)[0]
    assert "SYS_ADMIN" not in first
    for interpreter in ("python", "/sh=", "bash=", "node="):
        assert f"grant IMAGE -o OUT /usr/bin/{interpreter}" not in fix


@BY_CODE
def test_codes_in_a_page_are_causes(cause: Cause) -> None:
    assert all(named(code) for code in re.findall(r"\bCAP\d{3}\b", cause.text))


@BY_CODE
def test_references_name_public_places_and_functions(cause: Cause) -> None:
    """An issue as owner/repo#n, a manual page, or a source file with its function."""
    references = cause.text.partition("## References")[2]
    lines = [line for line in references.splitlines() if line.startswith("- ")]
    assert lines
    assert all(
        re.search(r"\w/\w[\w.-]*#\d+|\w\(\d\)|\w+\(\)|[\w-]+/[\w./-]+|CVE-\d+", line) for line in lines
    ), lines


@BY_CODE
def test_commands_of_a_page_exist(cause: Cause) -> None:
    """Each command, its options, and the nodes that it names."""
    for name, words in re.findall(r"caplet ([a-z]+)([^`\n|#)]*)", cause.text):
        assert name in COMMANDS
        module = importlib.import_module(f"caplet.cli.{name}")
        known = {option for parameter in module.command.params for option in parameter.opts}
        assert set(re.findall(r"(?<=\s)--?[a-z]+", words)) <= known
        for on in re.findall(r"--on (\S+)", words):
            assert nodes(on)


@BY_CODE
def test_what_you_see_is_what_is_looked_for(cause: Cause) -> None:
    """Each line that the page shows matches one of the cause's own patterns."""
    if not cause.logs:
        return
    seen = cause.text.partition("## What you see")[2].partition("\n## ")[0]
    lines = [line.strip() for line in seen.splitlines() if line.startswith("    ")]
    assert lines
    assert all(any(log.match(line) for log in cause.logs) for line in lines), lines
