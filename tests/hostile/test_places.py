# SPDX-License-Identifier: Apache-2.0
"""What is named as an image or an output is a FIFO, a device, a terabyte of nothing, not readable, not writable: one line each."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.hostile.blocks import RAW, file, tar
from tests.hostile.test_scan import assert_refusal, limited, scan
from tests.layouts import Layout

from caplet.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Capture = pytest.CaptureFixture[str]

SCHEMES = ("oci", "oci-archive", "docker-archive")
NOBODY = 65534
TERABYTE = 1 << 40


def sparse(path: str) -> None:
    with open(path, "wb") as out:
        out.truncate(TERABYTE)


def sparse_behind_an_archive(path: str) -> None:
    with open(path, "wb") as out:
        out.write(tar(file("a", b"x")))
        out.truncate(TERABYTE)


def empty(path: str) -> None:
    with open(path, "wb"):
        pass


PLACES: dict[str, Callable[[str], None]] = {
    "missing": lambda _: None,
    "fifo": os.mkfifo,
    "directory": os.mkdir,
    "empty": empty,
    "sparse": sparse,
    "sparse-behind-an-archive": sparse_behind_an_archive,
    "link-to-itself": lambda path: os.symlink(path, path),
    "link-to-nothing": lambda path: os.symlink("nowhere", path),
    "link-to-zeros": lambda path: os.symlink("/dev/zero", path),
    "link-to-a-terminal": lambda path: os.symlink("/dev/tty", path),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_an_image_that_is_something_else(
    scheme: str, place: Callable[[str], None], tmp_path: Path, capsys: Capture
) -> None:
    path = str(tmp_path / "image")
    place(path)
    assert_refusal(*scan(capsys, f"{scheme}:{path}"))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "path",
    [
        "/dev/zero",
        "/dev/null",
        "/dev/random",
        "/dev/full",
        "/proc/self/mem",
        "/proc/kmsg",
        "/sys",
        "/proc",
        "/",
    ],
)
def test_an_image_that_is_a_device(scheme: str, path: str, capsys: Capture) -> None:
    assert_refusal(*scan(capsys, f"{scheme}:{path}"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_standard_input_is_no_image(scheme: str) -> None:
    """A pipe cannot be read twice, as an archive must be; and nothing waits for it."""
    with subprocess.Popen(
        (sys.executable, "-m", "caplet", "scan", f"{scheme}:/dev/stdin"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        code = process.wait(timeout=20)
        assert_refusal(code, process.stdout.read(), process.stderr.read())


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "oci",
        "oci:",
        ":",
        "oci::tag",
        "oci:a\0b",
        "oci:\x1b[2J",
        "oci:x:\u202etag",
        "docker-archive:",
        "oci:" + "x" * 5000,
        "oci:x@sha256:" + "0" * 63,
        "nginx",
        "docker://nginx",
        "./missing.tar",
        "-",
        "--",
        "oci:x:@99999",
    ],
)
def test_a_reference_that_is_none(reference: str, capsys: Capture) -> None:
    with limited():
        code = run(["scan", "--", reference])
    captured = capsys.readouterr()
    assert_refusal(code, captured.out, captured.err)


@pytest.fixture
def image(tmp_path: Path) -> str:
    layout = Layout(str(tmp_path / "image"))
    layout.image([tar(file("x", cap=RAW))])
    return f"oci:{layout.path}"


def as_nobody(work: Path, *arguments: str) -> tuple[int, str, str]:
    """caplet in a child that is an ordinary user. `work` and what is above it is opened for it."""
    for directory in (work, *work.parents):
        if directory == directory.parent or str(directory) == "/tmp":
            break
        os.chmod(directory, 0o755)
    out, err = (os.open(str(work / name), os.O_RDWR | os.O_CREAT, 0o666) for name in ("stdout", "stderr"))
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            sys.stdout.flush()
            sys.stdout, sys.stderr = os.fdopen(out, "w"), os.fdopen(err, "w")
            code = run(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    texts = [os.pread(one, 1 << 20, 0).decode() for one in (out, err)]
    os.close(out)
    os.close(err)
    return code, texts[0], texts[1]


@pytest.mark.root
@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "which", ["image", "image/index.json", "image/oci-layout", "image/blobs", "image/blobs/sha256"]
)
def test_an_image_that_may_not_be_read(which: str, image: str, tmp_path: Path) -> None:
    os.chmod(tmp_path / which, 0)
    code, out, err = as_nobody(tmp_path, "scan", image)
    assert_refusal(code, out, err)
    assert "ermission denied" in err


OUTPUTS: dict[str, Callable[[str], None]] = {
    "file": empty,
    "fifo": os.mkfifo,
    "directory-with-other-files": lambda path: (os.mkdir(path), empty(f"{path}/precious"))[0],  # type: ignore[func-returns-value]
    "link-to-itself": lambda path: os.symlink(path, path),
    "link-to-a-device": lambda path: os.symlink("/dev/null", path),
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("place", OUTPUTS.values(), ids=OUTPUTS)
def test_an_output_that_is_something_else(
    scheme: str, place: Callable[[str], None], image: str, tmp_path: Path, capsys: Capture
) -> None:
    """It stays as it is."""
    path = tmp_path / "out"
    place(str(path))
    before = os.lstat(path)
    assert_refusal(*grant(capsys, image, f"{scheme}:{path}"))
    after = os.lstat(path)
    assert (before.st_ino, before.st_mode, before.st_size) == (after.st_ino, after.st_mode, after.st_size)
    assert sorted(os.listdir(tmp_path)) == ["image", "out"]


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "path", ["missing/out", "image/oci-layout/out", "/proc/out", "/dev/null/out", "x" * 300]
)
def test_an_output_where_none_can_be(
    scheme: str, path: str, image: str, tmp_path: Path, capsys: Capture
) -> None:
    assert_refusal(*grant(capsys, image, f"{scheme}:{os.path.join(tmp_path, path)}"))
    assert sorted(os.listdir(tmp_path)) == ["image"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_output_larger_than_files_may_be(scheme: str, tmp_path: Path) -> None:
    """RLIMIT_FSIZE: EFBIG, and SIGXFSZ must not kill."""
    layout = Layout(str(tmp_path / "image"))
    layout.image([tar(file("x", os.urandom(200_000)))], compression="none")
    done = subprocess.run(
        (
            sys.executable,
            "-m",
            "caplet",
            "grant",
            f"oci:{layout.path}",
            "-o",
            f"{scheme}:{tmp_path}/out",
            "/x=cap_net_raw+ep",
        ),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refusal(done.returncode, done.stdout, done.stderr)
    assert sorted(os.listdir(tmp_path)) == ["image"]


@pytest.mark.root
@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_an_output_that_may_not_be_written(scheme: str, image: str, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o755)
    code, out, err = as_nobody(
        tmp_path, "grant", image, "-o", f"{scheme}:{closed}/out", "/x=cap_net_admin+ep"
    )
    assert_refusal(code, out, err)
    assert "may not write" in err
    assert os.listdir(closed) == []


@pytest.mark.root
@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_full_disk(scheme: str, tmp_path: Path, capsys: Capture) -> None:
    layout = Layout(str(tmp_path / "image"))
    layout.image([tar(file("x", os.urandom(300_000)))], compression="none")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(small)), check=True)
    try:
        assert_refusal(*grant(capsys, f"oci:{layout.path}", f"{scheme}:{small}/out"))
        assert os.listdir(small) == []
    finally:
        subprocess.run(("umount", str(small)), check=True)


def grant(capsys: Capture, image: str, output: str) -> tuple[int, str, str]:
    with limited():
        code = run(["grant", image, "-o", output, "/x=cap_net_admin+ep"])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_an_output_inside_the_input(image: str, tmp_path: Path, capsys: Capture) -> None:
    """The input stays a layout that reads; the output does not become a part of it."""
    path = image.removeprefix("oci:")
    code, out, err = grant(capsys, image, f"oci:{path}/blobs/out")
    if code:
        assert_refusal(code, out, err)
    assert scan(capsys, image)[:2] == (0, "/x cap_net_raw=ep\n")
    shutil.rmtree(path)
