# SPDX-License-Identifier: Apache-2.0
"""Grant, strip, relax and pack of hostile input: one clear line and nothing left behind, or an output that holds what it says."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import (
    BIND,
    RAW,
    caps,
    directory,
    file,
    hardlink,
    header,
    opaque,
    pax,
    symlink,
    tar,
    whiteout,
)
from tests.hostile.case import Case, Refused, stack
from tests.hostile.tables import cases
from tests.hostile.test_scan import assert_refusal, is_safe, limited, scan

from caplet.cli.main import run
from caplet.image.image import open_image
from caplet.image.validate import validate

if TYPE_CHECKING:
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]

ADMIN = "cap_net_admin=ep"
REFUSED = {
    name: case
    for name, case in cases().items()
    if isinstance(case.expected, Refused) and len(case.layers) in (0, 1)
}
"""Of a stack only the layers down to the file are read: a damaged layer below is no concern of a change above."""
CHANGED = {
    name: case
    for name, case in cases(
        "traversal", "links", "whiteouts", "attributes", "parsers", "streams", "controls"
    ).items()
    if not isinstance(case.expected, Refused)
    and case.expected.files
    and "\\" not in min(case.expected.files)  # an argument cannot spell what is escaped here
}
VERBS = {
    "grant": ("grant", f"/x={ADMIN}"),
    "strip-rewrite": ("strip", "--rewrite", "--all"),
}


def change(capsys: Capture, image: str, output: str, verb: str, *arguments: str) -> tuple[int, str, str]:
    with limited():
        code = run([verb, image, "-o", output, *arguments])
    captured = capsys.readouterr()
    assert is_safe(captured.out + captured.err)
    return code, captured.out, captured.err


def everything(directory: Path) -> dict[str, tuple[int, int]]:
    """Every file there, its size and inode: what a verb must not touch."""
    found = {}
    for top, _, names in os.walk(directory):
        for name in names:
            status = os.lstat(os.path.join(top, name))
            found[os.path.join(top, name)] = status.st_size, status.st_ino
    return found


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_refused_image_gives_no_output(
    name: str, verb: tuple[str, ...], tmp_path: Path, capsys: Capture
) -> None:
    given, target = tmp_path / "given", tmp_path / "target"
    given.mkdir()
    target.mkdir()
    reference = REFUSED[name].make(str(given))
    before = everything(given)
    code, out, err = change(capsys, reference, f"oci:{target}/out:tag", *verb)
    assert_refusal(code, out, err)
    assert os.listdir(target) == []
    assert everything(given) == before


@pytest.mark.parametrize("name", CHANGED)
def test_a_granted_file_has_it_and_no_other_changes(name: str, tmp_path: Path, capsys: Capture) -> None:
    """The scan before and after differ in the file's names alone; granting again changes nothing; strip undoes all."""
    given = tmp_path / "given"
    given.mkdir()
    reference = CHANGED[name].make(str(given))
    before = files(capsys, reference)
    path = min(before)
    output = f"oci:{tmp_path}/out:tag"
    code, _, err = change(capsys, reference, output, "grant", f"{path}={ADMIN}")
    assert code == 0, err
    after = files(capsys, output)
    touched = {one for one in {*before, *after} if before.get(one) != after.get(one)}
    assert path in touched or ADMIN in before[path]
    assert all(ADMIN in after[one] and before.get(one, before[path]) == before[path] for one in touched)
    assert validate(open_image(output)) == []
    digest = open_image(output).digest
    assert change(capsys, output, output, "grant", "--in-place", f"{path}={ADMIN}")[0] == 0
    assert open_image(output).digest == digest
    assert change(capsys, output, output, "strip", "--in-place", "--all", "--rewrite")[0] == 0
    assert not any("cap_" in text or "attribute" in text for text in files(capsys, output).values())
    assert validate(open_image(output)) == []


def files(capsys: Capture, reference: str) -> dict[str, str]:
    """Path -> what a scan says of it; names that hold spaces are told apart by JSON."""
    code, out, err = scan(capsys, "-o", "json", reference)
    assert code == 0, err
    (image,) = json.loads(out)["images"]
    found: dict[str, str] = {}
    for one in image["files"]:
        text = one["capability"]["text"] if one["capability"] else None
        described = f"{text if text is not None else 'attribute' if one['capability'] else ''} {one['mode']} {one['uid']}:{one['gid']}"
        found |= {path["path"]: described for path in (one, *one["links"])}
    return found


# The cases of grant: image, arguments, and what the scan of the output says, or why not.

LOWER = tar(directory("usr/bin"), symlink("bin", "usr/bin"), file("usr/bin/a", cap=RAW), file("usr/bin/b"))
GRANTS: dict[str, tuple[list[bytes], tuple[str, ...], dict[str, str] | str]] = {
    "through-a-directory-link": (
        [LOWER],
        (f"/bin/b={ADMIN}",),
        {"/usr/bin/a": "cap_net_raw=ep", "/usr/bin/b": ADMIN},
    ),
    "through-a-file-link": ([tar(file("a"), symlink("l", "a"))], (f"/l={ADMIN}",), {"/a": ADMIN}),
    "through-a-climbing-link": (
        [tar(file("a"), symlink("d/l", "../../../a"))],
        (f"/d/l={ADMIN}",),
        {"/a": ADMIN},
    ),
    "through-a-circle": ([tar(symlink("a", "b"), symlink("b", "a"))], (f"/a={ADMIN}",), "too many"),
    "through-a-dangling-link": ([tar(symlink("a", "b"), file("x"))], (f"/a={ADMIN}",), "not in the image"),
    "with-dots": ([tar(file("d/a"))], (f"/d/../d/./a={ADMIN}",), {"/d/a": ADMIN}),
    "climbing": ([tar(file("a"))], (f"/../../a={ADMIN}",), {"/a": ADMIN}),
    "directory": ([tar(directory("d"), file("x"))], (f"/d={ADMIN}",), "directory"),
    "device": ([tar(file("x"), b"")], (f"/nothing={ADMIN}",), "not in the image"),
    "below-a-file": ([tar(file("x"))], (f"/x/y={ADMIN}",), "not a directory"),
    "removed": ([tar(file("x")), tar(whiteout("x"))], (f"/x={ADMIN}",), "not in the image"),
    "hidden-by-opaque": (
        [tar(file("d/x")), tar(directory("d"), opaque("d"))],
        (f"/d/x={ADMIN}",),
        "not in the image",
    ),
    "in-the-middle": (
        [tar(file("x", b"1")), tar(file("x", b"2")), tar(file("y"))],
        (f"/x={ADMIN}",),
        {"/x": ADMIN},
    ),
    "hard-linked": (
        [tar(file("a"), hardlink("b", "a"), hardlink("c", "b"))],
        (f"/b={ADMIN}",),
        {"/a": ADMIN, "/b": ADMIN, "/c": ADMIN},
    ),
    "hard-link-half-hidden": (
        [tar(file("a"), hardlink("b", "a")), tar(whiteout("b"))],
        (f"/a={ADMIN}",),
        {"/a": ADMIN},
    ),
    "two-names-of-one-file": (
        [tar(file("a"), hardlink("b", "a"))],
        (f"/a={ADMIN}", "/b=cap_net_raw+ep"),
        "one file",
    ),
    "same-file-twice": ([tar(file("a"))], (f"/a={ADMIN}", f"/a={ADMIN}"), {"/a": ADMIN}),
    "replaces": ([tar(file("a", cap=BIND))], (f"/a={ADMIN}",), {"/a": ADMIN}),
    "replaces-revision-3": (
        [tar(file("a", cap=caps(1 << 13, magic=0x03000001, rootid=1000)))],
        (f"/a={ADMIN}",),
        {"/a": ADMIN},
    ),
    "set-user-id": ([tar(file("a", mode=0o4755))], (f"/a={ADMIN}",), {"/a": f"{ADMIN} setuid=0 mode=4755"}),
    "script": ([tar(file("a", b"#!/bin/sh\n"))], (f"/a={ADMIN}",), {"/a": ADMIN}),
    "unknown-capability": ([tar(file("a"))], ("/a=cap_net_bind_servise+ep",), "net_bind_service"),
    "no-capability": ([tar(file("a"))], ("/a=",), "strip"),
    "no-path-and-no-entrypoint": ([tar(file("a"))], (ADMIN,), "program"),
    "relative-path": ([tar(file("a"))], (f"a={ADMIN}",), "begins with /"),
    "empty-path": ([tar(file("a"))], (f"/={ADMIN}",), "directory"),
    "root-user-id": ([tar(file("a"))], ("/a=cap_net_raw=ep [rootid=1000]",), "root user id"),
    "nul-free-garbage": ([tar(file("a"))], ("/a=\x1b[2J+ep",), "\\x1b[2J"),
    "no-layers": ([], (f"/a={ADMIN}",), "not in the image"),
    "name-with-equals": ([tar(file("a=b"))], (f"/a=b={ADMIN}",), {"/a=b": ADMIN}),
    "name-of-200-directories": (
        [tar(file("d/" * 200 + "a"))],
        ("/" + "d/" * 200 + f"a={ADMIN}",),
        {"/" + "d/" * 200 + "a": ADMIN},
    ),
    "name-not-utf-8": ([tar(file(b"\xff"))], (f"/\udcff={ADMIN}",), {"/\\xff": ADMIN}),
}


@pytest.mark.parametrize("way", ["--append", "--rewrite"])
@pytest.mark.parametrize("name", GRANTS)
def test_a_grant(name: str, way: str, tmp_path: Path, capsys: Capture) -> None:
    layers, arguments, expected = GRANTS[name]
    given = tmp_path / "given"
    given.mkdir()
    case: Case = stack(name, layers, {})
    output = tmp_path / "out"
    code, out, err = change(capsys, case.make(str(given)), f"oci:{output}:tag", "grant", way, *arguments)
    if isinstance(expected, str):
        assert expected in err.lower() or expected in err
        assert_refusal(code, out, err)
        assert os.listdir(tmp_path) == ["given"]
        return
    assert code == 0, err
    code, out, err = scan(capsys, f"oci:{output}:tag")
    assert sorted(out.splitlines()) == sorted(f"{path} {text}" for path, text in expected.items())
    assert validate(open_image(f"oci:{output}:tag")) == []


def test_a_file_of_a_pebibyte(tmp_path: Path, capsys: Capture) -> None:
    """A sparse file costs its author nothing. It is not copied; its attribute can be changed where it is."""
    sparse = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "x",
        "GNU.sparse.realsize": str(1 << 50),
    }
    layer = tar(pax(sparse), header("x", size=512), b"0\n".ljust(512, b"\0"))
    reference = stack("sparse", layer, {}).make(str(tmp_path))
    output = f"oci:{tmp_path}/out:tag"
    assert_refusal(*change(capsys, reference, output, "grant", f"/x={ADMIN}"))
    assert change(capsys, reference, output, "grant", "--rewrite", f"/x={ADMIN}")[0] == 0
    assert scan(capsys, output)[:2] == (0, f"/x {ADMIN}\n")


def test_a_mistyped_path_among_very_many_names(tmp_path: Path, capsys: Capture) -> None:
    """The nearest name is a courtesy: it may not take minutes."""
    names = tar(*(header(f"{number:05}{'a' * 80}") for number in range(30_000)))
    reference = stack("names", names, {}).make(str(tmp_path))
    path = f"/0{'a' * 85}"
    assert_refusal(*change(capsys, reference, f"oci:{tmp_path}/out", "grant", f"{path}={ADMIN}"))


# Pack

PACKS: dict[str, tuple[bytes | None, str]] = {
    "nothing": (b"", "empty"),
    "one-byte": (b"\x7f", "ELF"),
    "magic-only": (b"\x7fELF", "ELF"),
    "script": (b"#!/bin/sh\nexit 0\n", "script"),
    "text": (b"hello", "ELF"),
    "missing": (None, "o such file"),
    "windows": (b"MZ" + bytes(100), "Windows"),
    "header-only": (b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0\x3e\0" + bytes(44), ""),
    "header-table-far-away": (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + b"\x02\0\x3e\0\x01\0\0\0"
        + bytes(8)
        + b"\xff" * 8
        + bytes(8)
        + bytes(4)
        + b"\x40\0\x38\0\xff\xff"
        + bytes(6),
        "",
    ),
}


@pytest.mark.parametrize("name", PACKS)
def test_packing_what_is_no_program(name: str, tmp_path: Path, capsys: Capture) -> None:
    content, message = PACKS[name]
    program = tmp_path / "program"
    if content is not None:
        program.write_bytes(content)
    before = os.listdir(tmp_path)
    with limited():
        code = run(["pack", str(program), "-o", f"oci:{tmp_path}/out"])
    captured = capsys.readouterr()
    assert_refusal(code, captured.out, captured.err)
    assert message in captured.err
    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("place", ["/dev/zero", "/dev/stdin", "/", "/proc/self/mem"])
def test_packing_what_is_no_file(place: str, tmp_path: Path, capsys: Capture) -> None:
    with limited():
        code = run(["pack", f"{place}:/app", "-o", f"oci:{tmp_path}/out"])
    captured = capsys.readouterr()
    assert_refusal(code, captured.out, captured.err)
    assert os.listdir(tmp_path) == []
