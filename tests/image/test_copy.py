# SPDX-License-Identifier: Apache-2.0
"""What is written is whole, the same everywhere, read alike by other tools; what goes wrong leaves nothing behind."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from typing import TYPE_CHECKING

import pytest
from tests.conftest import missing
from tests.containerd import ctr
from tests.engines import Containerd, podman, run, tree, umoci
from tests.image import kill9
from tests.layouts import Layout, file, tar

from caplet.errors import CapletError, ImageError, InvalidInput
from caplet.image import copy, place
from caplet.image.blobs import InMemory
from caplet.image.config import History
from caplet.image.copy import is_proved, parts, spool_directory, write_image
from caplet.image.image import Image, Index, open_image
from caplet.image.newlayer import LayerWriter
from caplet.image.reference import parse_reference
from caplet.image.staging import is_staging
from caplet.image.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from caplet.image.descriptor import Descriptor

LAYER = tar([file("app", b"program" * 1000)])
ADDED = tar([file("etc-added", b"added")])
WHEN = "2020-01-01T00:00:00Z"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An image of two layers under the tag `latest`."""
    layout = Layout(str(tmp_path / "layout"))
    history = [{"created": WHEN, "created_by": "a test"}] * 2
    layout.image([LAYER, tar([file("big", os.urandom(3_000_000))])], more={"history": history})
    return layout


def granted(layout: Layout | str, rest: str = "") -> Image:
    """The image with a layer more."""
    image = open_image(f"oci:{layout.path if isinstance(layout, Layout) else layout}{rest}")
    assert isinstance(image, Image)
    with LayerWriter() as out:
        out.write(ADDED)
        return image.append(out.finish(), History("caplet grant"))


def snapshot(path: str) -> dict[str, tuple[int, int, str]]:
    """Every file below: mode, time and content."""
    found = {}
    for directory, _, files in os.walk(path):
        for name in files:
            full = os.path.join(directory, name)
            status = os.lstat(full)
            with open(full, "rb") as data:
                content = hashlib.file_digest(data, "sha256").hexdigest()
            found[os.path.relpath(full, path)] = (status.st_mode, status.st_mtime_ns, content)
    return found


def leftovers(path: Path) -> list[str]:
    return [
        name for _, directories, files in os.walk(path) for name in (*directories, *files) if is_staging(name)
    ]


def blob_paths(layout: str) -> dict[str, str]:
    return {
        name: os.path.join(where, name) for where, _, files in os.walk(f"{layout}/blobs") for name in files
    }


# What is written

DESTINATIONS = ["oci:{}/out", "oci:{}/out:v1", "oci-archive:{}/out.tar", "oci-archive:{}/out.tar:v1", "docker-archive:{}/out.tar:http:v1"]  # fmt: skip


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_written_and_read_again(layout: Layout, tmp_path: Path, destination: str) -> None:
    before = snapshot(layout.path)
    image = granted(layout)
    destination = destination.format(tmp_path)
    assert write_image(image, destination).digest == image.digest
    again = open_image(destination)
    assert again.digest == image.digest
    assert validate(again) == []
    assert snapshot(layout.path) == before, "the input is untouched"
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_every_source_to_every_destination(layout: Layout, tmp_path: Path, destination: str) -> None:
    """Copies of copies stay the same image."""
    image = granted(layout)
    for name in ("oci:{}/a:a", "oci-archive:{}/b.tar:b", "docker-archive:{}/c.tar:c:c"):
        middle = name.format(tmp_path)
        write_image(image, middle)
        place_of_copy = tmp_path / name.split("/")[1][0].upper()
        place_of_copy.mkdir()
        last = destination.format(place_of_copy)
        write_image(open_image(middle), last)
        assert open_image(last).digest == image.digest
        assert validate(open_image(last)) == []


def test_untouched_blobs_are_linked(layout: Layout, tmp_path: Path) -> None:
    write_image(granted(layout), f"oci:{tmp_path}/out")
    source, output = blob_paths(layout.path), blob_paths(f"{tmp_path}/out")
    layers = [one["digest"].removeprefix("sha256:") for one in layout.manifest()["layers"]]
    assert len(layers) == 2
    for name in layers:
        assert os.path.samefile(source[name], output[name])
    written = sum(os.path.getsize(path) for name, path in output.items() if name not in source)
    assert written < 4096 + len(ADDED)


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("way", ["copy_file_range", "read and write"])
def test_another_file_system(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Where no link can be made the bytes are copied, by the kernel or by us."""
    if way == "read and write":

        def refuse(*arguments: object) -> int:
            raise OSError(errno.EXDEV, "not here")

        monkeypatch.setattr(os, "copy_file_range", refuse)
    with mounted(tmp_path / "tmpfs", "size=32m"):
        write_image(granted(layout), f"oci:{tmp_path}/tmpfs/out")
        assert validate(open_image(f"oci:{tmp_path}/tmpfs/out")) == []
        assert leftovers(tmp_path) == []


def test_what_was_read_is_not_read_again(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = granted(layout)
    for layer in image.layers:
        for _ in layer.chunks():
            pass
    assert all(is_proved(image.source, one) for one in parts(image))

    def refuse(*arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(copy, "_read_through", refuse)
    write_image(image, f"oci:{tmp_path}/out")
    assert validate(open_image(f"oci:{tmp_path}/out")) == []


def test_what_was_read_and_then_changed_is_read_again(layout: Layout, tmp_path: Path) -> None:
    image = granted(layout)
    for layer in image.layers:
        for _ in layer.chunks():
            pass
    path = layout.blob_path(layout.manifest()["layers"][1]["digest"])
    with open(path, "r+b") as blob:
        blob.seek(1000)
        blob.write(b"!!!!")
    with pytest.raises(ImageError, match="does not match its digest"):
        write_image(image, f"oci:{tmp_path}/out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_wrong_blob_is_not_copied(layout: Layout, tmp_path: Path, destination: str) -> None:
    with open(layout.blob_path(layout.manifest()["layers"][1]["digest"]), "r+b") as blob:
        blob.seek(1000)
        blob.write(b"!!!!")
    with pytest.raises(ImageError, match="does not match its digest"):
        write_image(granted(layout), destination.format(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ["layout"]


def test_a_foreign_layer_stays_where_it_is(layout: Layout, tmp_path: Path) -> None:
    manifest = layout.manifest()
    foreign = {
        "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "digest": "sha256:" + "0" * 64,
        "size": 5,
        "urls": ["https://example.com/layer"],
    }
    manifest["layers"][0] = foreign
    layout.tag(layout.blob(layout.resolve()["mediaType"], json.dumps(manifest).encode()), "latest")
    write_image(granted(layout), f"oci:{tmp_path}/out")
    written = open_image(f"oci:{tmp_path}/out")
    assert isinstance(written, Image)
    assert written.manifest["layers"][0] == foreign


# The same everywhere

PROGRAM = """
import os, sys
os.umask(int(sys.argv[3], 8))
from tests.image.test_copy import granted
from caplet.image.copy import write_image
print(write_image(granted(sys.argv[1]), sys.argv[2]).digest)
"""


def test_the_same_everywhere(tmp_path: Path) -> None:
    """Hash seed, time zone, locale, umask, time of day and working directory: one digest, one archive."""
    path = str(tmp_path / "layout")
    Layout(path).image([LAYER])
    found = set()
    worlds = [
        ("0", "UTC", "C", "022"),
        ("1", "Asia/Tokyo", "C.UTF-8", "077"),
        ("2", "America/Lima", "POSIX", "000"),
    ]
    for number, (seed, zone, locale, umask) in enumerate(worlds):
        more = {
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": locale,
            "LANG": locale,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        for scheme in ("oci-archive", "docker-archive"):
            archive = f"{tmp_path}/{number}.{scheme}"
            command = [sys.executable, "-c", PROGRAM, path, f"{scheme}:{archive}:a:b", umask]
            done = subprocess.run(
                command, env=os.environ | more, check=True, capture_output=True, text=True, cwd=os.getcwd()
            )
            with open(archive, "rb") as data:
                found.add((scheme, done.stdout, hashlib.file_digest(data, "sha256").hexdigest()))
            assert os.stat(archive).st_mode & 0o777 == 0o666 & ~int(umask, 8), "as cp(1) makes files"
    assert len(found) == 2, "one for each kind of archive"


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_modes_follow_the_umask(layout: Layout, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_image(granted(layout), f"oci:{tmp_path}/out")
    finally:
        os.umask(before)
    assert os.stat(tmp_path / "out").st_mode & 0o777 == 0o777 & ~umask
    assert os.stat(tmp_path / "out/index.json").st_mode & 0o777 == 0o666 & ~umask
    assert os.stat(tmp_path / "out/blobs/sha256").st_mode & 0o777 == 0o777 & ~umask


# What is there already


def test_a_tag_is_added(layout: Layout, tmp_path: Path) -> None:
    """Also to the layout that the image came from; what was there stays."""
    before = snapshot(layout.path)
    write_image(granted(layout), f"oci:{layout.path}:granted")
    after = snapshot(layout.path)
    assert {name: after[name] for name in before if name != "index.json"} == {
        name: one for name, one in before.items() if name != "index.json"
    }
    assert layout.entries()[0] == {**layout.resolve(), "digest": layout.resolve()["digest"]}
    for tag in ("latest", "granted"):
        assert validate(open_image(f"oci:{layout.path}:{tag}")) == []
    assert leftovers(tmp_path) == []


def test_a_tag_is_replaced(layout: Layout) -> None:
    image = granted(layout)
    write_image(image, f"oci:{layout.path}:other")
    write_image(image, f"oci:{layout.path}:latest")
    assert [one["annotations"] for one in layout.entries()] == [
        {"org.opencontainers.image.ref.name": "latest"},
        {"org.opencontainers.image.ref.name": "other"},
    ]
    assert layout.resolve()["digest"] == str(image.digest)


def test_the_only_image_without_a_tag_is_replaced(layout: Layout, tmp_path: Path) -> None:
    write_image(open_image(f"oci:{layout.path}"), f"oci:{tmp_path}/out")
    image = granted(Layout(f"{tmp_path}/out"))
    write_image(image, f"oci:{tmp_path}/out")
    assert [one["digest"] for one in Layout(f"{tmp_path}/out").entries()] == [str(image.digest)]


def test_beside_tags_a_tag_is_needed(layout: Layout) -> None:
    before = snapshot(layout.path)
    with pytest.raises(InvalidInput, match="already holds tagged images") as caught:
        write_image(granted(layout), f"oci:{layout.path}")
    assert "oci:DIR:latest" in caught.value.hint
    assert snapshot(layout.path)["index.json"] == before["index.json"]


def test_a_broken_blob_that_is_there_is_mended(layout: Layout, tmp_path: Path) -> None:
    image = granted(layout)
    write_image(image, f"oci:{tmp_path}/out:a")
    name = str(image.layers[1].descriptor.digest).removeprefix("sha256:")
    target = blob_paths(f"{tmp_path}/out")[name]
    size = os.path.getsize(target)
    for broken in (b"short", bytes(size)):
        os.unlink(target)  # it is the input's too
        with open(target, "wb") as out:
            out.write(broken)
        write_image(image, f"oci:{tmp_path}/out:b")
        assert validate(open_image(f"oci:{tmp_path}/out:b")) == []
    assert leftovers(tmp_path) == []


def test_an_empty_directory_becomes_a_layout(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir(mode=0o750)
    write_image(granted(layout), f"oci:{tmp_path}/out")
    assert validate(open_image(f"oci:{tmp_path}/out")) == []
    assert os.stat(tmp_path / "out").st_mode & 0o777 == 0o750, "it was made for us with a mode"


def test_an_output_behind_a_link(layout: Layout, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_image(granted(layout), f"oci:{tmp_path}/link")
    assert (tmp_path / "link").is_symlink()
    assert validate(open_image(f"oci:{tmp_path}/real")) == []
    (tmp_path / "link.tar").symlink_to("real.tar")
    write_image(granted(layout), f"oci-archive:{tmp_path}/link.tar")
    assert validate(open_image(f"oci-archive:{tmp_path}/real.tar")) == []


@pytest.mark.parametrize("scheme", ["oci-archive", "docker-archive"])
def test_an_archive_is_replaced(layout: Layout, tmp_path: Path, scheme: str) -> None:
    """Also by what was made from itself."""
    destination = f"{scheme}:{tmp_path}/out.tar"
    write_image(open_image(f"oci:{layout.path}"), destination)
    image = open_image(destination)
    assert isinstance(image, Image)
    with LayerWriter() as out:
        out.write(ADDED)
        changed = image.append(out.finish(), History("again"))
    write_image(changed, destination)
    assert open_image(destination).digest == changed.digest
    assert validate(open_image(destination)) == []


def occupied(tmp_path: Path) -> dict[str, str]:
    """Things that are not ours to replace, and where to write over them."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/notes.txt").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    with tarfile.open(tmp_path / "other.tar", "w") as other:
        other.addfile(tarfile.TarInfo("x"), io.BytesIO())
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer/oci-layout").write_text('{"imageLayoutVersion":"2.0.0"}')
    (tmp_path / "newer/index.json").write_text('{"schemaVersion":2,"manifests":[]}')
    return {
        "oci:{}/notes.txt": "not a directory",
        "oci:{}/dir": "not an OCI image layout",
        "oci:{}/fifo": "not a directory",
        "oci:{}/newer": "2.0.0",
        "oci-archive:{}/notes.txt": "could be replaced",
        "docker-archive:{}/notes.txt": "could be replaced",
        "oci-archive:{}/other.tar": "could be replaced",
        "oci-archive:{}/dir": "not a regular file",
        "oci-archive:{}/fifo": "not a regular file",
        "oci:{}/none/out": "No such file",
        "oci-archive:{}/none/out.tar": "No such file",
        "oci:{}/notes.txt/out": "Not a directory",
    }


def test_what_is_not_ours_is_not_replaced(layout: Layout, tmp_path: Path) -> None:
    cases = occupied(tmp_path)
    before = (
        snapshot(str(tmp_path / "dir")),
        (tmp_path / "notes.txt").read_text(),
        sorted(os.listdir(tmp_path)),
    )
    for destination, message in cases.items():
        with pytest.raises(ImageError, match=re.escape(message)):
            write_image(granted(layout), destination.format(tmp_path))
    after = (
        snapshot(str(tmp_path / "dir")),
        (tmp_path / "notes.txt").read_text(),
        sorted(os.listdir(tmp_path)),
    )
    assert after == before
    assert leftovers(tmp_path) == []


def test_an_archive_with_other_images_is_not_replaced(layout: Layout, tmp_path: Path) -> None:
    layout.image([LAYER], "second")
    with tarfile.open(tmp_path / "two.tar", "w") as archive:
        archive.add(layout.path, ".")
    with pytest.raises(ImageError, match="several images"):
        write_image(granted(layout, ":second"), f"oci-archive:{tmp_path}/two.tar")


def test_an_output_is_named_by_a_tag(layout: Layout, tmp_path: Path) -> None:
    for rest in (f"@sha256:{'0' * 64}", ":@0"):
        with pytest.raises(InvalidInput, match="named by a tag"):
            write_image(granted(layout), f"oci:{tmp_path}/out{rest}")


def test_an_index_is_no_docker_archive(layout: Layout, tmp_path: Path) -> None:
    layout.index([layout.resolve()], "index")
    with pytest.raises(InvalidInput, match="one platform"):
        write_image(open_image(f"oci:{layout.path}:index"), f"docker-archive:{tmp_path}/out.tar")
    assert isinstance(open_image(f"oci:{layout.path}:index"), Index)


def test_spool_directory(tmp_path: Path) -> None:
    assert spool_directory(parse_reference(f"oci:{tmp_path}/out")) == str(tmp_path)
    assert spool_directory(parse_reference(f"oci-archive:{tmp_path}/out.tar")) == str(tmp_path)


# What goes wrong


@contextlib.contextmanager
def mounted(path: Path, options: str) -> Iterator[None]:
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False
    )
    if done.returncode:
        missing("the right to mount a tmpfs")
    try:
        yield
    finally:
        run("umount", str(path))


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    "name", ["oci:{}/out", "oci:{}", "oci-archive:{}/out.tar", "docker-archive:{}/out.tar"]
)
def test_no_space(layout: Layout, tmp_path: Path, name: str) -> None:
    before = snapshot(layout.path)
    with mounted(tmp_path / "full", "size=64k"):
        with pytest.raises(ImageError, match="No space left") as caught:
            write_image(granted(layout), name.format(tmp_path / "full"))
        assert "nothing was left behind" in caught.value.hint
        assert os.listdir(tmp_path / "full") == []
        assert leftovers(tmp_path) == []
    assert snapshot(layout.path) == before


@pytest.mark.usefixtures("root")
def test_a_mount_point_becomes_a_layout(layout: Layout, tmp_path: Path) -> None:
    """It cannot be renamed over: it is filled in place, index.json last."""
    with mounted(tmp_path / "mount", "size=16m"):
        write_image(granted(layout), f"oci:{tmp_path}/mount:v1")
        assert validate(open_image(f"oci:{tmp_path}/mount:v1")) == []
        assert sorted(os.listdir(tmp_path / "mount")) == ["blobs", "index.json", "oci-layout"]
    assert leftovers(tmp_path) == []


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("name", ["oci:{}/out", "oci-archive:{}/out.tar"])
def test_read_only(layout: Layout, tmp_path: Path, name: str) -> None:
    with mounted(tmp_path / "ro", "size=64k,ro"), pytest.raises(ImageError, match="Read-only file system"):
        write_image(granted(layout), name.format(tmp_path / "ro"))


def in_child(action: Callable[[], object], before: Callable[[], object]) -> str:
    """What the action raised in a forked child, after a change of the child's own state."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            before()
            action()
            message = "done"
        except BaseException as error:  # noqa: BLE001
            message = f"{type(error).__name__}: {error}"
        os.write(writer, message.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("name", ["oci:{}/out", "oci-archive:{}/out.tar", "oci:{}/layout:new"])
def test_no_permission(layout: Layout, tmp_path: Path, name: str) -> None:
    for one in (tmp_path, *tmp_path.parents):
        if one.stat().st_uid == 0 and len(one.parts) > 2:
            one.chmod(0o755)
    os.chmod(layout.path, 0o755)
    image = granted(layout)
    destination = name.format(tmp_path)
    found = in_child(lambda: write_image(image, destination), lambda: os.setresuid(65534, 65534, 65534))
    assert re.match("ImageError: cannot write .*Permission denied", found)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("name", ["oci:{}/out", "oci-archive:{}/out.tar"])
def test_a_limit_on_file_size(layout: Layout, tmp_path: Path, name: str) -> None:
    """RLIMIT_FSIZE; the archive is the source, so that nothing can be linked."""
    write_image(open_image(f"oci:{layout.path}"), f"oci-archive:{tmp_path}/source.tar")
    image = open_image(f"oci-archive:{tmp_path}/source.tar")
    found = in_child(
        lambda: write_image(image, name.format(tmp_path)),
        lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert re.match("ImageError: cannot write .*File too large", found)
    assert sorted(os.listdir(tmp_path)) == ["layout", "source.tar"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(layout: Layout, tmp_path: Path, number: signal.Signals) -> None:
    """At random moments: the write ends at once, and takes away what it began."""
    chance = random.Random(number)
    reference = kill9.source(str(tmp_path))
    image = kill9.granted(reference)
    start = time.perf_counter()
    write_image(image, f"oci:{tmp_path}/first")
    duration = time.perf_counter() - start
    for place_number in range(4):
        out = f"{tmp_path}/out{place_number}"
        for destination in (f"oci:{out}", f"oci-archive:{out}.tar"):
            write = functools.partial(wait, image, destination)
            status = kill9.strike(write, chance.uniform(0.01, duration), number)
            # Before and after the write SIGTERM has its own effect; within, the child exits by itself.
            assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) in (0, 2)
            if os.path.lexists(destination.split(":")[1]):
                assert validate(open_image(destination)) == []
            assert leftovers(tmp_path) == []


def wait(image: Image, destination: str) -> None:
    """Write, then wait for the signal, should it be late: with SIGTERM's own action the child would look killed."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL if number is not signal.SIGINT else signal.default_int_handler)
    write_image(image, destination)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def test_kill() -> None:
    """`make kill9` does it 200 times."""
    outcomes = kill9.rounds(10, seed=9)
    assert sum(outcomes.values()) == 10


@pytest.mark.parametrize("existing", [False, True], ids=["a new layout", "an existing layout"])
def test_writers_side_by_side(layout: Layout, tmp_path: Path, existing: bool) -> None:
    """Eight processes add a tag each: none is lost."""
    image = granted(layout)
    for round_number in range(3):
        out = f"{tmp_path}/out{round_number}"
        if existing:
            write_image(open_image(f"oci:{layout.path}"), f"oci:{out}:old")
        children = [fork(image, f"oci:{out}:t{number}") for number in range(8)]
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
        tags = sorted(
            one["annotations"]["org.opencontainers.image.ref.name"] for one in Layout(out).entries()
        )
        assert tags == sorted([*(["old"] if existing else []), *(f"t{number}" for number in range(8))])
        for tag in tags:
            assert validate(open_image(f"oci:{out}:{tag}")) == []
        assert leftovers(tmp_path) == []


def fork(image: Image, destination: str) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        write_image(image, destination)
        code = 0
    finally:
        os._exit(code)


def test_what_a_killed_writer_left_is_cleared_up(layout: Layout, tmp_path: Path) -> None:
    """What is locked by a living one is not."""
    for name in (".out.caplet-dead", ".out.caplet-alive", ".other.caplet-dead"):
        (tmp_path / name / "blobs").mkdir(parents=True)
    alive = os.open(tmp_path / ".out.caplet-alive", os.O_RDONLY)
    import fcntl

    fcntl.flock(alive, fcntl.LOCK_EX)
    try:
        write_image(granted(layout), f"oci:{tmp_path}/out")
    finally:
        os.close(alive)
    assert sorted(leftovers(tmp_path)) == [".other.caplet-dead", ".out.caplet-alive"]


@pytest.mark.parametrize("name", ["oci:{}/out", "oci:{}/layout:new", "oci-archive:{}/out.tar"])
def test_only_the_output_is_written(
    layout: Layout, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    """strace(1): what is opened for writing or renamed lies in the output or beside it; no socket connects."""
    log = tmp_path / "log"
    calls = (
        "trace=open,openat,creat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,connect"
    )
    command = [
        tool("strace"),
        "-f",
        "-y",
        "-qq",
        "-e",
        calls,
        "-o",
        str(log),
        sys.executable,
        "-B",
        "-c",
        PROGRAM,
    ]
    destination = name.format(tmp_path)
    subprocess.run(
        [*command, layout.path, destination, "022"],
        check=True,
        capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    output = re.escape(destination.split(":")[1])
    beside = rf"{re.escape(str(tmp_path))}/\.out(\.tar)?\.caplet-[0-9a-f]+"
    allowed = re.compile(rf"({output}|{beside})(/.*)?")
    seen = 0
    for line in log.read_text().splitlines():
        assert "connect(" not in line, line
        writing = re.search(r"O_WRONLY|O_RDWR|O_CREAT|rename|unlink|mkdir", line)
        if writing is None or " = -1 " in line:
            continue
        seen += 1
        for where, name_there in re.findall(r'(?:<([^>]*)>, )?"([^"]*)"', line):
            path = os.path.join(where, name_there)
            assert path == "/dev/null" or allowed.fullmatch(path), line
    assert seen >= 2


# Other tools read it


@pytest.mark.usefixtures("root")
def test_engines_read_it(layout: Layout, tmp_path: Path, tool: Callable[[str], str]) -> None:
    """umoci and Podman unpack what was written: the old files and the new one."""
    for name in ("umoci", "podman", "skopeo"):
        tool(name)
    image = granted(layout)
    write_image(image, f"oci:{tmp_path}/out:v1")
    for unpacked in (umoci(str(tmp_path), f"{tmp_path}/out", "v1"), podman(f"{tmp_path}/out", "v1")):
        with unpacked as root:
            assert {"app", "big", "etc-added"} <= tree(root).keys()


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_skopeo_reads_and_writes_it(
    layout: Layout, tmp_path: Path, tool: Callable[[str], str], destination: str
) -> None:
    """`skopeo copy` out of each form and back: it verifies every digest; the content stays the same."""
    skopeo = tool("skopeo")
    image = granted(layout)
    destination = destination.format(tmp_path)
    write_image(image, destination)
    shown = json.loads(run(skopeo, "inspect", "--raw", destination))
    assert len(shown["layers"]) == 3
    run(skopeo, "copy", "--insecure-policy", destination, f"oci:{tmp_path}/back:v1")
    back = open_image(f"oci:{tmp_path}/back:v1")
    assert isinstance(back, Image)
    assert back.config.diff_ids == image.config.diff_ids
    if not destination.startswith("docker"):
        assert back.digest == image.digest
    assert validate(back) == []


@pytest.mark.usefixtures("root")
@pytest.mark.e2e
def test_containerd_imports_it(layout: Layout, tmp_path: Path, tool: Callable[[str], str]) -> None:
    """`ctr images import` of both archives, under the right names; unpacked through the layout."""
    for name in ("containerd", "ctr", "skopeo"):
        tool(name)
    image = granted(layout)
    with tempfile.TemporaryDirectory(prefix="ctr") as work, Containerd.started(work) as engine:
        write_image(image, f"docker-archive:{tmp_path}/docker.tar:http:v1")
        write_image(image, f"oci-archive:{tmp_path}/oci.tar:v1")
        run(*ctr(work, "images", "import", "--no-unpack", f"{tmp_path}/docker.tar"))
        base = ("--base-name", "tests.example/http")
        run(*ctr(work, "images", "import", "--no-unpack", *base, f"{tmp_path}/oci.tar"))
        listed = run(*ctr(work, "images", "ls"))
        assert "docker.io/library/http:v1" in listed
        assert "tests.example/http:v1" in listed
        assert listed.count(str(image.digest)) == 2, "the digest is the same for containerd"
        write_image(image, f"oci:{tmp_path}/out:v1")
        with engine.mounted(f"{tmp_path}/out", "v1") as root:
            assert {"app", "big", "etc-added"} <= tree(root).keys()


def test_blobs_are_placed_or_not_at_all(tmp_path: Path) -> None:
    place.place(InMemory(b"x"), str(tmp_path / "a"))
    with pytest.raises(FileExistsError):
        place.place(InMemory(b"y"), str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b"x"


def test_errors_are_ours(layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(CapletError):
        write_image(granted(layout), f"{tmp_path}/out")


def described(image: Image) -> list[Descriptor]:
    return list(parts(image))


def test_parts_come_before_what_names_them(layout: Layout) -> None:
    image = granted(layout)
    listed = described(image)
    assert [one.digest for one in listed[:3]] == [layer.descriptor.digest for layer in image.layers]
    assert listed[-1].digest == image.digest
    assert len(listed) == 5
