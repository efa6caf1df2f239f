# SPDX-License-Identifier: Apache-2.0
"""Sessions of the documentation run for real: ```console blocks, whose lines with `$ ` are commands, and the others their output.

A session runs where its page's reader stands: in a directory that examples/playground.sh made, on a terminal of 100 columns
without colours. What a command leaves in the directory is there for the next one, also of the blocks that follow.
"""

from __future__ import annotations

import difflib
import fcntl
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
COLUMNS = 100
TOOLS = ROOT / "tests" / "standins"
"""What the sessions call and not every machine has."""

BLOCK = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = r"((?:.*\\\n)*.*)\n?((?s:.*))"
"""A command, which goes on behind a backslash, and its output."""
NODE_RUNTIME = re.compile(r"/ (?:runc|crun|embedded)(?: \S+)?: (?=started|did not start)")
"""`caplet verify --on` says which OCI runtime the machine has: the one thing in which machines may differ."""


@dataclass(frozen=True, slots=True)
class Command:
    line: int
    text: str
    output: str


def blocks(page: Path) -> list[tuple[str, int, str]]:
    """Language, line and content of each fenced block."""
    text = page.read_text()
    return [(found[1], text.count("\n", 0, found.start()) + 1, found[2]) for found in BLOCK.finditer(text)]


def commands(page: Path) -> list[Command]:
    """In the page's order. A command ends where a line does not end with a backslash."""
    result = []
    for language, line, content in blocks(page):
        if language != "console":
            continue
        for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
            text, output = re.findall(COMMAND, part)[0]
            result.append(Command(line, text, output))
    return result


@dataclass(slots=True)
class Console:
    """A shell's terminal in a directory; `$?` is the exit code of the command before."""

    directory: Path
    last: int = 0
    environment: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        bin_ = self.directory.parent / "bin"
        bin_.mkdir(exist_ok=True)
        caplet = bin_ / "caplet"
        caplet.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m caplet "$@"\n')
        caplet.chmod(0o755)
        path = f"{bin_}:{TOOLS}:{os.environ['PATH']}"
        kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        self.environment = kept | {
            "PATH": path,
            "NO_COLOR": "1",
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(ROOT / "src"),
        }
        subprocess.run(
            ["sh", ROOT / "examples" / "playground.sh", self.directory],
            env=self.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def run(self, command: str) -> str:
        """What the terminal shows of it."""
        with _terminal() as (shown, terminal):
            process = subprocess.Popen(
                ["bash", "-c", f"(exit {self.last})\n{command}"],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=terminal,
            )
            os.close(terminal)
            output = b"".join(_until_closed(shown))
            self.last = process.wait(60)
        return output.decode().replace("\r\n", "\n")


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    shown, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    try:
        yield shown, terminal
    finally:
        os.close(shown)


def _until_closed(descriptor: int) -> Iterator[bytes]:
    """A terminal that nobody has open any more reads as EIO."""
    while True:
        try:
            data = os.read(descriptor, 1 << 16)
        except OSError:
            return
        if not data:
            return
        yield data


def comparable(output: str) -> str:
    """Without what may differ from machine to machine."""
    return NODE_RUNTIME.sub("/ OCI runtime: ", output)


def surprises(page: Path, scratch: Path) -> str:
    """Where running the page's sessions shows something else than the page, as a diff; empty: nowhere."""
    console = Console(scratch / "here")
    result = ["a traceback\n"] if "Traceback (most recent call last)" in page.read_text() else []
    for command in commands(page):
        expected, shown = comparable(command.output), comparable(console.run(command.text))
        if expected == shown:
            continue
        where = f"{page.name}:{command.line}: $ {command.text}\n"
        result += [
            where,
            *difflib.unified_diff(expected.splitlines(True), shown.splitlines(True), "page", "run"),
        ]
    return "".join(result)


def written(page: Path, scratch: Path) -> str:
    """The page with the outputs that its commands have now."""
    console = Console(scratch / "here")

    def block(found: re.Match[str]) -> str:
        if found[1] != "console":
            return found[0]
        parts = re.split(r"^\$ ", found[2], flags=re.MULTILINE)[1:]
        texts = [re.findall(COMMAND, part)[0][0] for part in parts]
        return "```console\n" + "".join(f"$ {text}\n{console.run(text)}" for text in texts) + "```"

    return BLOCK.sub(block, page.read_text())


if __name__ == "__main__":
    # python -m tests.console PAGE...: writes the outputs of its sessions anew, to be read before they are committed.
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as directory:
            Path(name).write_text(written(Path(name), Path(directory)))
