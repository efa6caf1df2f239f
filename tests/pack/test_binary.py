# SPDX-License-Identifier: Apache-2.0
"""FILE[:PATH][=CAPS], and which files are refused with a reason."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.errors import InvalidInput
from caplet.kernel.filecaps import FileCaps
from caplet.pack.binary import Binary, image_path, open_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BIND = FileCaps.parse("cap_net_bind_service=ep")
RAW_INHERITABLE = FileCaps.parse("cap_net_raw=ei")

SPELLINGS = {
    "a file": ("./server", Binary("./server", b"/server")),
    "a file in a directory": ("dist/linux_amd64/server", Binary("dist/linux_amd64/server", b"/server")),
    "Kubernetes' spelling": ("./server=NET_BIND_SERVICE", Binary("./server", b"/server", BIND)),
    "libcap's spelling": ("server=cap_net_bind_service=ep", Binary("server", b"/server", BIND)),
    "with plus": ("server=cap_net_bind_service+ep", Binary("server", b"/server", BIND)),
    "a path": ("./server-amd64:/usr/bin/server", Binary("./server-amd64", b"/usr/bin/server")),
    "both": ("a:/b=cap_net_raw=ei", Binary("a", b"/b", RAW_INHERITABLE)),
    "a path in a path with a colon": ("a:b:/c:d", Binary("a:b", b"/c:d")),
    "an equals sign in the name": ("a=b=NET_BIND_SERVICE", Binary("a=b", b"/a=b", BIND)),
    "not UTF-8": (os.fsdecode(b"./\xff:/\xfe"), Binary(os.fsdecode(b"./\xff"), b"/\xfe")),
    "a space": ("./my server", Binary("./my server", b"/my server")),
}


@pytest.mark.parametrize(("text", "binary"), SPELLINGS.values(), ids=list(SPELLINGS))
def test_a_spelling_means(text: str, binary: Binary) -> None:
    assert Binary.parse(text) == binary


WRONG = {
    "nothing": ("", "names no file"),
    "no file": (":/server", "names no file"),
    "an unknown capability": ("./server=NET_BIND_SERVIC", "(?i)net_bind_service"),
    "no capability": ("./server=", "no capabilities"),
    "a root user id": ("./server=cap_net_raw=ep [rootid=1000]", "root user id has no place"),
    "the root": ("./server:/", "is a directory of the image"),
    "dot dot": ("./server:/../etc/passwd", "not a plain path"),
    "dot": ("./server:/./server", "not a plain path"),
    "a directory": ("./server:/usr/bin/", "is a directory of the image"),
    "an empty part": ("./server://server", "not a plain path"),
    "a whiteout": ("./server:/usr/.wh.server", "deletes a file"),
    "an opaque mark": (".wh..wh..opq", "deletes a file"),
    "a long part": ("./server:/" + "x" * 256, "no file can have this path"),
    "a long path": ("./server:" + "/x" * 2048, "no file can have this path"),
    "the current directory": (".", ". is a directory"),
    "the parent": ("..", ".. is a directory"),
}


@pytest.mark.parametrize(("text", "why"), WRONG.values(), ids=list(WRONG))
def test_a_wrong_spelling_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        Binary.parse(text)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        binary = Binary.parse(text)
    except (InvalidInput, UnicodeEncodeError):  # lone surrogates that no argv holds
        return
    assert image_path(os.fsdecode(binary.path)) == binary.path
    assert binary.file
    assert text.startswith(binary.file)


def test_a_static_program_is_opened(server: Path) -> None:
    file, elf = open_program(str(server))
    with file:
        assert str(elf.platform) == "linux/amd64"


def test_a_dynamic_program_is_refused_with_its_loader_and_a_way_out(
    tmp_path: Path, tool: Callable[[str], str]
) -> None:
    program = tmp_path / "cat"
    shutil.copy(tool("cat"), program)
    with pytest.raises(
        InvalidInput, match=r"cat: it is dynamically linked: the image would lack its loader, /lib"
    ) as caught:
        open_program(str(program))
    assert "CGO_ENABLED=0" in caught.value.hint


REFUSED = {
    "script": (b"#!/bin/sh\nexec sleep 1\n", "a script"),
    "empty": (b"", "empty"),
    "macOS": (b"\xcf\xfa\xed\xfe" + bytes(60), "a macOS program"),
    "truncated": (b"\x7fELF\x02\x01\x01", "cut off"),
}


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=list(REFUSED))
def test_what_is_no_program_is_refused_with_its_name(content: bytes, why: str, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"program: .*{why}"):
        open_program(str(program))


def test_a_directory_a_fifo_and_nothing_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a directory"):
        open_program(str(tmp_path))
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidInput, match="is not a regular file"):
        open_program(str(tmp_path / "fifo"))
    with pytest.raises(InvalidInput, match="missing: no such file"):
        open_program(str(tmp_path / "missing"))


MEANT = {
    "a relative path": ("server:server", "a path in the image begins with /: server:/server"),
    "a dotted path": ("server:./bin/server", "server:/bin/server"),
    "no path": ("server:", "write server, or server:/PATH"),
    "capabilities behind a colon": ("server:NET_RAW", "server=NET_RAW"),
    "a second capability": ("NET_ADMIN", "joined by commas"),
    "a bundle": ("ca.pem", "--ca-certificates=ca.pem"),
    "anything": ("sever", "write FILE[:PATH][=CAPS]"),
}


@pytest.mark.parametrize(("file", "hint"), MEANT.values(), ids=list(MEANT))
def test_a_file_that_is_not_there_may_be_meant_otherwise(
    file: str, hint: str, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(server.parent)
    with pytest.raises(InvalidInput, match="no such file") as caught:
        open_program(Binary.parse(file).file)
    assert hint in caught.value.hint


MIXED_UP = {
    "a path behind an equals sign": ("./s=/bin/s", "write ./s:/bin/s"),
    "a path behind capabilities": ("./s=NET_RAW:/bin/s", "write ./s:/bin/s=NET_RAW"),
    "the root": ("./s:/", "write ./s:/s"),
    "a directory": ("./s:/usr/bin/", "write ./s:/usr/bin/s"),
    "other separators": ("./s=NET_RAW;KILL", "separate them by commas: NET_RAW,KILL"),
}


@pytest.mark.parametrize(("text", "hint"), MIXED_UP.values(), ids=list(MIXED_UP))
def test_a_wrong_order_is_told_with_the_right_one(text: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Binary.parse(text)
    assert hint in caught.value.hint
    right = caught.value.hint.removeprefix("write ")
    if right != caught.value.hint:
        assert Binary.parse(right).file == "./s"
