# SPDX-License-Identifier: Apache-2.0
"""The program that an image starts: along PATH, through links and `#!` lines. Shebangs are judged by this kernel."""

from __future__ import annotations

import errno
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput
from caplet.image.config import ImageConfig
from caplet.image.passwd import resolve_user
from caplet.image.program import find_program, image_argv, may_execute, shebang
from caplet.image.rootfs import File, Rootfs
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from pathlib import Path

ELF = b"\x7fELF" + bytes(60)
BIND = FileCaps.parse("cap_net_bind_service=ep")

IMAGE: dict[str | bytes, File | bytes] = {
    "/bin": File(link=b"usr/bin"),
    "/usr/bin/busybox": File(ELF, 0o755),
    "/usr/bin/sh": File(link=b"busybox"),
    "/usr/bin/app": File(ELF, 0o755, caps=BIND.encode()),
    "/usr/bin/suid": File(ELF, 0o4711, uid=3),
    "/usr/bin/data": File(b"data", 0o644),
    "/usr/bin/text": File(b"echo", 0o755),
    "/usr/bin/script": File(b"#!/bin/sh -e\n", 0o755, caps=BIND.encode()),
    "/usr/local/bin/data": File(ELF, 0o755),
    "/opt/here": File(b"#!../bin/app\targ with spaces \n", 0o755),
    "/opt/loop": File(b"#!/opt/loop\n", 0o755),
    "/opt/gone": File(b"#!/usr/bin/gone\n", 0o755),
    "/opt/private/app": File(ELF, 0o755),
    "/opt/private": File(directory=True, mode=0o700),
    "/cycle": File(link=b"cycle"),
}


@pytest.fixture(scope="module")
def rootfs() -> Rootfs:
    return Rootfs.of(IMAGE)


@pytest.mark.parametrize(
    ("argv", "chain"),
    [
        (["app"], ["/usr/bin/app"]),
        (["/bin/app", "-x"], ["/usr/bin/app"]),
        (["sh"], ["/usr/bin/busybox"]),
        (["script"], ["/usr/bin/script", "/usr/bin/busybox"]),
        (["data"], ["/usr/local/bin/data"]),
        (["./here"], ["/opt/here", "/usr/bin/app"]),
        (["private/../here"], ["/opt/here", "/usr/bin/app"]),
    ],
)
def test_the_chain_of_files(rootfs: Rootfs, argv: list[str], chain: list[str]) -> None:
    program = find_program(rootfs, argv, working_dir="/opt")
    assert program.problem is None
    assert [link.path.decode() for link in program.chain] == chain


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["gone"], errno.ENOENT, "not found along PATH"),
        (["/bin/gone"], errno.ENOENT, "not in the image"),
        (["here"], errno.ENOENT, "not found along PATH"),
        (["/bin"], errno.EACCES, "is a directory"),
        (["/bin/data"], errno.EACCES, "not executable: mode 0644"),
        (["/bin/app/x"], errno.ENOTDIR, "is not a directory"),
        (["/cycle"], errno.ELOOP, "symbolic links"),
        (["/bin/text"], errno.ENOEXEC, "neither an ELF program nor a script"),
        (["/opt/gone"], errno.ENOENT, "/opt/gone asks for /usr/bin/gone"),
        (["/opt/loop"], errno.ELOOP, "five #! lines"),
    ],
)
def test_why_it_does_not_start(rootfs: Rootfs, argv: list[str], code: int, message: str) -> None:
    problem = find_program(rootfs, argv).problem
    assert problem is not None
    assert (problem.errno, problem.name) == (code, errno.errorcode[code])
    assert message in problem.message


def test_path_comes_from_the_environment_and_its_last_mention_counts(rootfs: Rootfs) -> None:
    env = ["PATH=/opt", "PATH=/nowhere:/usr/bin"]
    assert find_program(rootfs, ["app"], env).file.path == b"/usr/bin/app"
    assert find_program(rootfs, ["app"], ["PATH=/opt"]).problem is not None
    assert find_program(rootfs, ["here"], ["PATH=:/bin"], "/opt").chain[0].path == b"/opt/here"


def test_the_last_file_of_the_chain_gives_the_credentials(rootfs: Rootfs) -> None:
    program = find_program(rootfs, ["script"])
    assert program.chain[0].caps == BIND
    assert program.file.caps is None
    kernel = program.for_kernel()
    assert kernel.caps == BIND
    assert kernel.interpreter is not None
    assert kernel.interpreter.caps is None
    assert find_program(rootfs, ["suid"]).for_kernel().setuid == 3


def test_who_may_execute_it(rootfs: Rootfs) -> None:
    private = find_program(rootfs, ["/opt/private/app"]).file
    suid = find_program(rootfs, ["suid"]).file
    nobody, root = resolve_user(rootfs, "65534"), resolve_user(rootfs, "0")
    problem = may_execute(rootfs, private, nobody)
    assert problem is not None
    assert problem.message.startswith("/opt/private has mode 0700")
    assert may_execute(rootfs, private, root) is None
    assert may_execute(rootfs, suid, nobody) is None


def config(**process: object) -> ImageConfig:
    return ImageConfig(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": []},
            "config": process,
        }
    )


@pytest.mark.parametrize(
    ("process", "command", "args", "argv"),
    [
        ({"Entrypoint": ["/e"], "Cmd": ["c"]}, (), (), ("/e", "c")),
        ({"Entrypoint": ["/e"], "Cmd": ["c"]}, (), ("a",), ("/e", "a")),
        ({"Entrypoint": ["/e"], "Cmd": ["c"]}, ("/x",), (), ("/x",)),
        ({"Entrypoint": ["/e"], "Cmd": ["c"]}, ("/x",), ("a",), ("/x", "a")),
        ({"Entrypoint": [""], "Cmd": ["c"]}, (), (), ("c",)),
        ({"Cmd": ["sh", "-c", "x"]}, (), (), ("sh", "-c", "x")),
    ],
)
def test_what_is_started(
    process: dict[str, object], command: tuple[str, ...], args: tuple[str, ...], argv: tuple[str, ...]
) -> None:
    assert image_argv(config(**process), command, args) == argv


def test_nothing_to_start() -> None:
    with pytest.raises(InvalidInput, match="neither ENTRYPOINT nor CMD"):
        image_argv(config())


LINES = {
    "plain": b"#!%b\nx",
    "argument": b"#!%b a b\t c \n",
    "spaces before": b"#! \t %b\n",
    "no newline": b"#!%b",
    "no newline, argument": b"#!%b arg",
    "carriage return": b"#!%b\r\n",
    "nothing": b"#!\n",
    "spaces only": b"#!   \n",
    "nul": b"#!%b\0x y\n",
    "argument with nul": b"#!%b a\0b\n",
    "long argument": b"#!%b " + b"a" * 400 + b"\n",
    "long name": b"#!%b" + b"/" * 300 + b"\n",
    "long spaces": b"#!" + b" " * 300 + b"%b\n",
    "exactly full": b"#!%b " + b"b" * 200,
    "name to the brim": b"#!/" + b"." * 252 + b"/x",
}


@pytest.mark.parametrize("name", LINES)
def test_this_kernel_reads_the_line_the_same(name: str, tmp_path: Path) -> None:
    """The interpreter is a link to a program that shows its arguments."""
    shown = tmp_path / "show"
    shown.write_bytes(b'#!/bin/sh\nfor arg; do printf "%s\\n" "$arg"; done\n')
    shown.chmod(0o755)
    interpreter = os.fsencode(shown)
    line = LINES[name].replace(b"%b", interpreter)
    script = tmp_path / "script"
    script.write_bytes(line)
    script.chmod(0o755)
    parsed = shebang(line[:256])
    refused, done = 0, None
    try:
        done = subprocess.run([script, "last"], capture_output=True, check=False)
    except OSError as error:
        refused = error.errno or -1
    if refused:
        assert refused == (errno.ENOEXEC if parsed is None else errno.ENOENT)
        assert parsed is None or parsed[0] != interpreter
        return
    assert parsed is not None
    assert done is not None
    assert os.path.normpath(parsed[0]) == interpreter
    words = done.stdout.split(b"\n")
    assert words[:-1] == [*([parsed[1]] if parsed[1] else []), os.fsencode(script), b"last"]
