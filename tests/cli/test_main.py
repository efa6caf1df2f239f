"""The group: names, aliases, help with an example in each command, errors in one line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from caplet.cli.main import ALIASES, COMMANDS, caplet, explain_error, run
from caplet.cli.settings import DEBUG
from caplet.errors import InvalidInput, Unavailable

ROOT = Path(__file__).parents[2]


def command(name: str) -> click.Command:
    found = caplet.get_command(click.Context(caplet), name)
    assert found is not None
    return found


@pytest.mark.parametrize("name", [*COMMANDS, *ALIASES])
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"Examples?[^\n]*:\n\s+caplet ", text), f"caplet {name} --help shows no example"
    assert re.search(r"^\s+Exit codes?: ", text, re.MULTILINE), f"caplet {name} --help names no exit code"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"caplet {name} {parameter.opts} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_page_and_changelog_line(name: str) -> None:
    assert (ROOT / "docs" / "cli" / f"{name}.md").is_file()
    assert f"`caplet {name}`" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_on_the_page(name: str) -> None:
    page = (ROOT / "docs" / "cli" / f"{name}.md").read_text()
    for parameter in command(name).params:
        if isinstance(parameter, click.Option) and parameter is not DEBUG:
            longest = max(parameter.opts, key=len)
            assert longest in page, f"docs/cli/{name}.md does not tell {longest}"


def test_a_mistyped_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scna"]) == 2
    assert "'scan'" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["help"], ["help", "run"], ["help", "getcap"]])
def test_help_is_a_word_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    asked = capsys.readouterr().out
    assert run([*arguments[1:], "--help"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == asked.splitlines()[1:]


@pytest.mark.parametrize("arguments", [["frobnicate"], ["help", "frobnicate"]])
def test_an_unknown_command_says_where_the_known_are(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err == "caplet: No such command 'frobnicate'.\n  see: caplet --help\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--debug", "scan", "nothing"],
        ["scan", "--debug", "nothing"],
        ["scan", "nothing", "--debug"],
        ["getcap", "nothing", "--debug"],
    ],
)
def test_debug_is_taken_anywhere(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    first, *_, message, _ = capsys.readouterr().err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert message.startswith("caplet: 'nothing' ")


def test_debug_behind_two_dashes_is_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pack", "/nowhere", "-o", "oci:x", "--", "--debug"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_no_command_prints_the_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "Commands:" in err


def test_an_error_is_one_line_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain_error(Unavailable("runc is missing", "apt-get install runc")) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err == "caplet: runc is missing\n  apt-get install runc\n"


def test_an_error_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    explain_error(InvalidInput("bad name \x1b[2J\u202e"))
    assert capsys.readouterr().err == "caplet: bad name \\x1b[2J\\u202e\n"


def test_an_os_error_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    explain_error(FileNotFoundError(2, "No such file or directory", "x.tar"))
    assert capsys.readouterr().err == "caplet: x.tar: No such file or directory\n"


def test_a_reader_that_goes_away_is_no_error_of_ours() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "caplet", "cause"], stdout=write, stderr=subprocess.PIPE, check=False
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
