# SPDX-License-Identifier: Apache-2.0
"""What `caplet explain` prints: whole outputs to review, and laws that hold whatever the names and the width."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from tests.explain.memory import image, web
from tests.report.cases import CASES, FIVE, PLAIN, STRICT, every, examples, judged

from caplet.kernel.caps import KNOWN
from caplet.report.cells import cells
from caplet.report.printable import UNSAFE_CATEGORIES
from caplet.report.text import report

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

SGR = re.compile(r"\x1b\[\d*m")
VERBATIM = re.compile(r"^ {12}")
"""What is to be copied is never broken: patches and commands."""


class Page(SingleFileSnapshotExtension):
    """A file for each output."""

    _write_mode = WriteMode.TEXT
    file_extension = "txt"


@pytest.fixture
def looks(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(Page)


@pytest.mark.parametrize("name", CASES)
def test_on_a_terminal_of_100(name: str, looks: SnapshotAssertion) -> None:
    assert "\n".join(report(CASES[name](), 100)) == looks


@pytest.mark.parametrize("name", ["inert-behind-a-wrapper", "defaults", "matrix"])
def test_wide(name: str, looks: SnapshotAssertion) -> None:
    assert "\n".join(report(CASES[name](), 160, wide=True)) == looks


def test_with_colour(looks: SnapshotAssertion) -> None:
    text = "\n".join(report(CASES["inert-behind-a-wrapper"](), 100, colour=True))
    assert text.replace("\x1b", "ESC") == looks


@pytest.mark.parametrize("name", CASES)
def test_colour_changes_no_text(name: str) -> None:
    """Nothing is said by colour alone."""
    plain = list(report(CASES[name](), 100))
    coloured = [SGR.sub("", line).replace(" → ", " -> ") for line in report(CASES[name](), 100, colour=True)]
    assert [line.split() for line in coloured] == [line.split() for line in plain]


@pytest.mark.parametrize("width", [10, 40, 64, 80, 100, 132, 200])
def test_keeps_to_the_width(width: int) -> None:
    for one in every():
        for line in report([one], width):
            assert cells(line) <= max(width, 40) or VERBATIM.match(line), line


def test_a_matrix_keeps_to_the_width() -> None:
    for line in report(judged(web(STRICT), PLAIN, FIVE), 60):
        assert cells(line) <= 60 or VERBATIM.match(line), line


@pytest.mark.parametrize("width", [40, 90, 150])
def test_every_cause_keeps_to_the_width_and_says_its_code(width: int) -> None:
    for one in examples():
        lines = list(report([one], width))
        assert all(cells(line) <= width or VERBATIM.match(line) for line in lines)
        assert all(any(found.cause.code in line for line in lines) for found in one.causes)


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("width", [None, 40, 120])
def test_no_name_moves_the_cursor(width: int | None, colour: bool) -> None:
    for line in report(CASES["hostile"](), width, colour=colour, wide=True):
        unsafe = [char for char in SGR.sub("", line) if unicodedata.category(char) in UNSAFE_CATEGORIES]
        assert not unsafe, line


@settings(deadline=None)
@given(st.text(max_size=40))
def test_no_reference_moves_the_cursor(reference: str) -> None:
    from dataclasses import replace

    (one,) = CASES["inert"]()
    explanation = one.explanation
    container = replace(explanation.container, image=reference)
    changed = replace(explanation, container=container, image=None, notes=(reference,))
    text = "\n".join(report([replace(one, explanation=changed)], 80))
    assert not {unicodedata.category(char) for char in text.replace("\n", "")} & UNSAFE_CATEGORIES


def test_wide_names_every_capability() -> None:
    text = "\n".join(report(CASES["privileged"](), 100, wide=True))
    assert all(name in text for name in KNOWN.names())


def test_nodes_that_agree_are_told_of_once() -> None:
    """CRI-O and containerd 1.7 make the same of a program without capabilities."""
    lines = list(report(judged(web(STRICT), PLAIN, "containerd:1.6,containerd:1.7,podman"), 100))
    assert sum(line.startswith("verdict") for line in lines) == 1
    assert any("on containerd:1.6, containerd:1.7" in line for line in lines)


def test_a_name_of_megabytes_is_cut() -> None:
    from dataclasses import replace

    (one,) = CASES["exec-fails"]()
    name = "\u202ex" * 1_000_000
    pod = replace(one.explanation.pod, name=name, namespace=name)
    container = replace(one.explanation.container, name=name, image=name)
    changed = replace(one.explanation, pod=pod, container=container, notes=(name,))
    text = "\n".join(report([replace(one, explanation=changed)], 80))
    assert 2_000 < len(text) < 20_000


def test_ports_of_one_answer_are_one_line() -> None:
    ports = "[{containerPort: 80}, {containerPort: 443}, {containerPort: 8080}]"
    text = "\n".join(report(judged(web(STRICT, ports=ports), PLAIN)))
    assert "port      :80, :443 cannot be bound: " in text
    assert "8080" not in text


@pytest.mark.parametrize(
    ("on", "line"),
    [
        ("containerd:1.7", 'event     exec: "ngnix": executable file not found in $PATH'),
        (
            "containerd:1.7+crun",
            "event     executable file `ngnix` not found in $PATH: No such file or directory",
        ),
    ],
)
def test_a_mistyped_program_is_an_event_in_the_runtimes_words(on: str, line: str) -> None:
    """There is no container then, and so no log."""
    said = list(report(judged(web(STRICT, command="[ngnix]"), PLAIN, on)))
    assert line in said
    assert not [one for one in said if one.startswith("log")]


def test_a_script_whose_interpreter_is_missing_has_a_log() -> None:
    script = image({"/run.sh": "#!/nope\n"}, Entrypoint=["/run.sh"])
    assert "log       exec /run.sh: no such file or directory" in list(report(judged(web(STRICT), script)))
