# SPDX-License-Identifier: Apache-2.0
"""The README's sessions are run, and their output is the README's, digests included; what pages name is there."""

from __future__ import annotations

import platform
import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from tests.console import ROOT, commands, surprises

from caplet.cli.main import COMMANDS

if TYPE_CHECKING:
    from pathlib import Path

README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
PAGES = [
    README,
    CONTRIBUTING,
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]

PLACES = ("src/", "tests/", "docs/", "bench/", "examples/", "caplet/")
"""How a path of the checkout begins where a page names it in backticks."""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the pages have the digests of amd64")
@pytest.mark.usefixtures("root")
def test_sessions(tmp_path: Path) -> None:
    if found := surprises(README, tmp_path):
        pytest.fail(found, pytrace=False)


def test_the_first_session_shows_the_problem() -> None:
    first, *others = commands(README)
    assert first.text.startswith("caplet explain")
    assert {command.text.split()[1] for command in others} == {"explain", "grant", "run", "verify", "why"}


def test_every_command_is_told() -> None:
    text = README.read_text()
    assert [name for name in COMMANDS if f"(docs/cli/{name}.md)" not in text] == []


def test_the_index_has_every_page() -> None:
    docs = ROOT / "docs"
    text = (docs / "README.md").read_text()
    every = {str(page.relative_to(docs)) for page in [*docs.glob("*.md"), *(docs / "cli").glob("*.md")]}
    assert {page for page in every - {"README.md"} if f"({page})" not in text} == set()


def test_the_changelog_has_every_command() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name in COMMANDS if f"`caplet {name}`" not in text] == []


def test_python_and_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = README.read_text()
    assert f"Python {project['requires-python'].removeprefix('>=')} or newer" in text
    extras = set(re.findall(r"`[^`]*\[(\w+)\]'?`", text)) & {"report", "cri", "dev"}
    assert extras == set(project["optional-dependencies"]) - {"dev"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        there = page.parent / target if target else page
        assert there.exists(), f"a link to {target}"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"a link to {target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_paths_that_contributors_are_told_of_exist() -> None:
    """NAME in a path stands for what is to be added; then the directory must be there."""
    named = {
        word.split("::")[0]
        for word in re.findall(r"`([^`\s]+)`", CONTRIBUTING.read_text())
        if word.startswith(PLACES)
    }
    assert len(named) > 20
    for word in named:
        path = ROOT / ("src/" if word.startswith("caplet/") else "") / word
        assert (path.parent if "NAME" in path.name else path).exists(), word


def test_targets_that_contributors_are_told_of_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in (README, CONTRIBUTING):
        for target in re.findall(r"`make ([\w-]+)", page.read_text()):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


def test_names_that_contributors_are_told_of_exist() -> None:
    """`NAME` in FILE: as the text says `CAUSES` in `src/caplet/causes/catalogue.py`."""
    named = re.findall(r"`(\w+)` (?:in|of) `([^`\s]+\.py)`", CONTRIBUTING.read_text())
    assert named
    for name, file in named:
        assert re.search(rf"^\s*(?:def |class )?{name}\b", (ROOT / file).read_text(), re.MULTILINE), (
            f"{name} in {file}"
        )
