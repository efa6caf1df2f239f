# SPDX-License-Identifier: Apache-2.0
"""Completion as the shells ask for it: in bash for real, with readline on a terminal; of zsh and fish the protocol."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, Layout, file

from caplet.cli.complete import equip
from caplet.cli.main import COMMANDS, caplet, run
from caplet.cli.shells import SHELLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PODS = """
kind: Pod
spec: {initContainers: [{name: prepare}], containers: [{name: web}, {name: worker}]}
"""

SECONDS = 20.0
"""For a shell on a busy machine to say something."""


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A layout with two tags, another with one, other directories, archives, a manifest."""
    monkeypatch.chdir(tmp_path)
    for name, tags in (("web", ("latest", "plain")), ("other", ("1.0",))):
        for tag in tags:
            Layout(name).image([[file("app", ELF)]], tag)
    wide = Layout("wide")
    one, two = (wide.image([[file("app", ELF)]], None, architecture=name) for name in ("amd64", "riscv64"))
    wide.index(
        [
            {**one, "platform": {"os": "linux", "architecture": "amd64"}},
            {**two, "platform": {"os": "linux", "architecture": "riscv64"}},
        ]
    )
    for name in ("my dir", ".hidden", "sub/in"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "image.tar").write_bytes(b"")
    (tmp_path / "broken").mkdir()
    for name in ("oci-layout", "index.json"):
        (tmp_path / "broken" / name).write_text("{")
    (tmp_path / "pod.yaml").write_text(PODS)
    return tmp_path


def asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str) -> list[str]:
    """The candidates for the last word of the line, as fish gets them: whole words."""
    monkeypatch.setenv("_CAPLET_COMPLETE", "fish_complete")
    monkeypatch.setenv("COMP_LINE", line)
    with pytest.raises(SystemExit) as left:
        run([])
    assert left.value.code == 0
    out, err = capsys.readouterr()
    assert not err
    return [one.split(",", 1)[1].split("\t")[0] for one in out.splitlines() if one]


CASES: list[tuple[str, list[str]]] = [
    ("caplet s", ["scan", "strip"]),
    ("caplet help st", ["strip"]),
    ("caplet scan ", ["oci:", "oci-archive:", "docker-archive:"]),
    ("caplet getcap docker-a", ["docker-archive:"]),
    ("caplet scan oci:", ["oci:broken", "oci:my dir/", "oci:other", "oci:sub/", "oci:web", "oci:wide"]),
    ("caplet scan oci:.h", ["oci:.hidden/"]),
    ("caplet scan oci:sub/", ["oci:sub/in/"]),
    ("caplet scan oci:we", ["oci:web", "oci:web:latest", "oci:web:plain"]),
    ("caplet scan oci:web:", ["oci:web:latest", "oci:web:plain"]),
    ("caplet scan oci:web:p", ["oci:web:plain"]),
    ("caplet scan 'oci:my", ["oci:my dir/"]),
    ("caplet scan oci:broken:", []),
    ("caplet scan oci:nowhere/", []),
    ("caplet scan docker:", []),
    ("caplet scan oci-archive:im", ["oci-archive:image.tar"]),
    ("caplet scan oci:wide --platform linux/", ["linux/amd64", "linux/riscv64"]),
    ("caplet scan oci:web --platform linux/arm", ["linux/arm", "linux/arm64"]),
    ("caplet grant oci:web -o oci:oth", ["oci:other", "oci:other:1.0"]),
    ("caplet grant oci:web NET_B", ["NET_BIND_SERVICE", "NET_BROADCAST"]),
    ("caplet grant oci:web /app=cap_sys_pt", ["/app=cap_sys_ptrace"]),
    ("caplet grant oci:web /app=sys_pt", ["/app=sys_ptrace"]),
    ("caplet grant oci:web /app=CAP_KILL,CAP_KI", []),
    ("caplet grant oci:web /app=CAP_KILL,CAP_SYS_PT", ["/app=CAP_KILL,CAP_SYS_PTRACE"]),
    ("caplet grant oci:web /ap", []),
    ("caplet pack server=NET_R", ["server=NET_RAW"]),
    ("caplet pack server --caps=NET_R", ["--caps=NET_RAW"]),
    ("caplet run --image=oci:web:p", ["--image=oci:web:plain"]),
    ("caplet run --image web=oci:web:p", ["web=oci:web:plain"]),
    ("caplet run pod.yaml --container ", ["prepare", "web", "worker"]),
    ("caplet run --container ", []),
    ("caplet run --on conta", ["containerd"]),
    ("caplet run --on containerd:1.7", ["containerd:1.7"]),
    ("caplet run --runtime ", ["runc", "crun", "embedded"]),
    ("caplet run --probe ht", ["http://:"]),
    ("caplet run --pro", ["--probe"]),
    ("caplet run --debu", ["--debug"]),
    ("caplet completion ", ["bash", "zsh", "fish"]),
]


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line for line, _ in CASES])
def test_candidates(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    expected: list[str],
) -> None:
    assert asked(monkeypatch, capsys, line) == expected


@pytest.mark.parametrize(
    ("line", "breaks", "replies"),
    [
        ("caplet scan oci:we", "\"'@><=;|&(:", ["prefix", "web"]),
        ("caplet scan oci:other:", "=:", ["plain", "1.0"]),
        ("caplet scan oci:other:", " =", ["plain", "oci:other:1.0"]),
        ("caplet run --image=oci:other:", "=:", ["plain", "1.0"]),
        ("caplet run --image=oci:other:", "=", ["plain", "oci:other:1.0"]),
        ("caplet scan oci:my", ":", ["prefix", "my\\ dir/"]),
        ('caplet scan "oci:my', ":", ["prefix", "oci:my dir/"]),
        ("caplet grant oci:web /a=cap_kill,cap_sys_pt", "=:", ["plain", "cap_kill,cap_sys_ptrace"]),
        ("caplet run pod.y", "=:", ["file", "pod.y"]),
    ],
)
def test_bash_gets_what_it_puts_behind_the_last_word_break(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
    breaks: str,
    replies: list[str],
) -> None:
    for name, value in {
        "COMP_LINE": line + " more",
        "COMP_POINT": str(len(line)),
        "COMP_WORDBREAKS": breaks,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("_CAPLET_COMPLETE", "bash_complete")
    with pytest.raises(SystemExit):
        run([])
    kinds = capsys.readouterr().out.splitlines()
    if line.endswith("oci:we"):  # the layout and its two tags
        assert kinds == ["plain,web", "plain,web:latest", "plain,web:plain"]
    else:
        assert kinds == [",".join(replies)]


def test_zsh_gets_three_lines_a_candidate(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_WORDS", "caplet scan oci:other:")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_CAPLET_COMPLETE", "zsh_complete")
    with pytest.raises(SystemExit):
        run([])
    assert capsys.readouterr().out == "plain\noci:other:1.0\n_\n"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert f"_CAPLET_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_an_unknown_shell_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", "tcsh"]) == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in capsys.readouterr().err


def test_each_command_can_be_completed() -> None:
    """With no words of its own each offers its options, and `equip` leaves closed lists alone."""
    import click

    for name in COMMANDS:
        command = caplet.get_command(click.Context(caplet), name)
        assert command is not None
        kinds = [param.type for param in command.params if isinstance(param.type, click.Choice)]
        equip(command)
        assert [one.type for one in command.params if isinstance(one.type, click.Choice)] == kinds
        offered = command.shell_complete(click.Context(command), "--de")
        assert [item.value for item in offered] == ["--debug"]


# bash itself


def test_the_script_has_no_errors(tool: Callable[[str], str]) -> None:
    script = SHELLS["bash"].source_template
    ended = subprocess.run([tool("bash"), "-n"], input=script, text=True, capture_output=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


class Terminal:
    """An interactive bash on a terminal of its own, with caplet's completion and nobody's start-up files."""

    def __init__(self, bash: str, path: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(
                bash,
                ["bash", "--norc", "--noprofile", "-i"],
                {"PATH": path, "TERM": "dumb", "PS1": "", "HOME": "/"},
            )
        self.enter(
            "PS1=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; echo re''ady", "ready"
        )

    def enter(self, line: str, until: str) -> str:
        """Type the line and Enter; what was shown up to the line that begins with `until`."""
        os.write(self.fd, line.encode() + b"\n")
        return self._shown(until)

    def _shown(self, until: str) -> str:
        seen = b""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                seen += os.read(self.fd, 65536)
            for line in seen.decode(errors="replace").split("\n")[:-1]:
                if line.strip("\r").startswith(until):
                    return line.strip("\r\n")
        pytest.fail(f"{until!r} did not come within {SECONDS} s: {seen!r}")

    def close(self) -> None:
        os.close(self.fd)
        os.waitpid(self.pid, 0)


@pytest.fixture
def terminal(directory: Path, tool: Callable[[str], str]) -> Iterator[Terminal]:
    """Its caplet answers what bash asks, and else shows its arguments."""
    program = directory / "bin" / "caplet"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        f'[ -z "$_CAPLET_COMPLETE" ] || exec {sys.executable} -m caplet "$@"\n'
        "printf got; printf ' <%s>' \"$@\"; echo\n"
    )
    program.chmod(0o755)
    (directory / "script").write_text(SHELLS["bash"].source_template)
    bash = Terminal(tool("bash"), f"{program.parent}:/usr/bin:/bin")
    try:
        bash.enter(f"cd {directory}; . ./script; echo lo''aded", "loaded")
        yield bash
    finally:
        bash.close()


def test_readline_completes_words_with_colons_equals_signs_and_spaces(terminal: Terminal) -> None:
    for typed, given in [
        ("caplet sca\t oci:web:pl\t-o json", "got <scan> <oci:web:plain> <-o> <json>"),
        ("caplet scan oci:my\t", "got <scan> <oci:my dir/>"),
        ("caplet run --image=oci:oth\t:\t-o json", "got <run> <--image=oci:other:1.0> <-o> <json>"),
        ("caplet grant oci:web /app=cap_sys_pt\t-n", "got <grant> <oci:web> </app=cap_sys_ptrace> <-n>"),
        ("caplet run po\t--on containerd:1.7", "got <run> <pod.yaml> <--on> <containerd:1.7>"),
    ]:
        assert terminal.enter(typed, "got") == given
