# SPDX-License-Identifier: Apache-2.0
"""pack(): what is in the image, what is refused, and that nothing but the contents decides about the digest."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from tests.pack.conftest import program

from caplet.errors import InvalidInput
from caplet.image.compression import Compression
from caplet.image.descriptor import Platform
from caplet.image.image import Image, Index
from caplet.image.rootfs import Rootfs
from caplet.kernel.filecaps import FileCaps
from caplet.pack import Content, pack
from caplet.pack.binary import Binary
from caplet.pack.process import Process, User
from caplet.programs import shipped

if TYPE_CHECKING:
    from pathlib import Path

BIND = FileCaps.parse("cap_net_bind_service=ep")


def single(*texts: str, **options: Any) -> Image:
    image = pack([Binary.parse(text) for text in texts], **options)
    assert isinstance(image, Image)
    return image


def members(image: Image) -> list[tarfile.TarInfo]:
    """Every entry, lowest layer first, as another reader sees it."""
    found: list[tarfile.TarInfo] = []
    for layer in image.layers:
        with tarfile.open(fileobj=BytesIO(b"".join(layer.chunks()))) as tar:
            found += tar.getmembers()
    return found


def test_the_image_holds_the_program_with_its_capabilities(server: Path) -> None:
    image = single(f"{server}=NET_BIND_SERVICE")
    rootfs = Rootfs(image.layers)
    node = rootfs.resolve(b"/server").node
    assert rootfs.read(node) == server.read_bytes()
    assert (node.mode, node.uid, node.gid) == (0o755, 0, 0)
    assert node.xattrs == {b"security.capability": BIND.encode()}
    assert image.platform == Platform("linux", "amd64")
    assert image.config.entrypoint == ("/server",)
    assert image.config.user == "65532:65532"
    assert [path for path, _ in rootfs.walk()] == [b"/etc", b"/etc/group", b"/etc/passwd", b"/server"]


def test_every_entry_has_the_same_owner_and_time(server: Path) -> None:
    content = Content({b"/usr/share/zoneinfo/UTC": b"TZif", b"/usr/share/zoneinfo/Zulu": b"TZif"})
    image = single(f"{server}:/usr/bin/server", process=Process(working_dir="/data/x"), content=content)
    entries = members(image)
    names = [entry.name for entry in entries]
    assert names == [
        "data", "data/x", "etc", "etc/group", "etc/passwd", "usr", "usr/share", "usr/share/zoneinfo",
        "usr/share/zoneinfo/UTC", "usr/share/zoneinfo/Zulu", "usr", "usr/bin", "usr/bin/server",
    ]  # fmt: skip
    assert {(entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime) for entry in entries} == {
        (0, 0, "", "", 0)
    }
    zulu = entries[names.index("usr/share/zoneinfo/Zulu")]
    assert (zulu.islnk(), zulu.linkname) == (True, "usr/share/zoneinfo/UTC")


def test_programs_of_several_platforms_make_an_index(tmp_path: Path) -> None:
    for architecture in shipped.ARCHITECTURES:
        program(tmp_path / architecture / "server", architecture)
    index = pack([Binary.parse(f"{tmp_path}/arm64/server"), Binary.parse(f"{tmp_path}/amd64/server=NET_RAW")])
    assert isinstance(index, Index)
    images = index.images()
    assert [str(image.platform) for image in images] == ["linux/amd64", "linux/arm64"]
    for image in images:
        rootfs = Rootfs(image.layers)
        node = rootfs.resolve(b"/server").node
        assert rootfs.read(node) == shipped.path("http", image.platform.architecture).read_bytes()
        assert node.xattrs[b"security.capability"] == FileCaps.parse("cap_net_raw=ep").encode()
    assert images[0].layers[0].descriptor == images[1].layers[0].descriptor


def test_the_order_of_platforms_does_not_matter(tmp_path: Path) -> None:
    texts = [
        f"{program(tmp_path / architecture / 'server', architecture)}"
        for architecture in shipped.ARCHITECTURES
    ]
    assert (
        pack([Binary.parse(text) for text in texts]).digest
        == pack([Binary.parse(text) for text in texts[::-1]]).digest
    )


def test_several_programs_share_an_image(server: Path, tmp_path: Path) -> None:
    helper = program(tmp_path / "helper", "amd64")
    image = single(str(server), f"{helper}:/bin/helper=cap_net_raw=p")
    rootfs = Rootfs(image.layers)
    assert rootfs.resolve(b"/server").node.xattrs == {}
    assert (
        rootfs.resolve(b"/bin/helper").node.xattrs[b"security.capability"]
        == FileCaps.parse("cap_net_raw=p").encode()
    )
    assert image.config.entrypoint == ("/server",)


def test_a_platform_can_be_refined_but_not_contradicted(server: Path) -> None:
    assert single(str(server), platform=Platform.parse("linux/amd64/v3")).config.raw["variant"] == "v3"
    with pytest.raises(InvalidInput, match="is a program for linux/amd64, not for linux/arm64"):
        pack([Binary.parse(str(server))], platform=Platform.parse("linux/arm64"))


REFUSED = {
    "one path twice": (("{dir}/server", "{dir}/other/server"), {}, "are both /server for linux/amd64"),
    "a path for one platform only": (("{dir}/server", "{dir}/arm:/x"), {}, "no program for linux/a.* is /"),
    "two sets for a path": (("{dir}/server=NET_RAW", "{dir}/arm:/server=CHOWN"), {}, "is given cap_net_raw=ep and cap_chown=ep"),
    "a file that is a directory": (("{dir}/server", "{dir}/server:/server/x"), {}, "/server cannot be a file and a directory"),
    "a system file": (("{dir}/server:/etc/passwd",), {}, "is a system file"),
    "an entrypoint that is not there": (("{dir}/server",), {"process": Process(entrypoint=("/x",))}, "entrypoint /x is not packed"),
    "an entrypoint that JSON cannot say": (("{dir}/server:/\udcff",), {}, "not UTF-8"),
    "no program": ((), {}, "no program to pack"),
}  # fmt: skip


@pytest.mark.parametrize(("texts", "options", "why"), REFUSED.values(), ids=list(REFUSED))
def test_what_does_not_fit_together_is_refused(
    texts: tuple[str, ...], options: dict[str, Any], why: str, server: Path, tmp_path: Path
) -> None:
    program(tmp_path / "other" / "server", "amd64")
    program(tmp_path / "arm", "arm64")
    with pytest.raises(InvalidInput, match=why):
        pack([Binary.parse(text.format(dir=tmp_path)) for text in texts], **options)
    assert server.exists()


def test_metadata_of_the_file_does_not_enter(server: Path) -> None:
    first = single(str(server)).digest
    server.chmod(0o4711)
    os.utime(server, (1, 1))
    if os.geteuid() == 0:
        os.chown(server, 1234, 4321)
    os.setxattr(server, "user.note", b"mine")
    assert single(str(server)).digest == first


SURROUNDINGS = {
    "a hash seed": {"PYTHONHASHSEED": "1"},
    "another": {"PYTHONHASHSEED": "77"},
    "a time zone": {"TZ": "Asia/Kathmandu"},
    "a locale": {"LC_ALL": "tr_TR.UTF-8", "LANG": "C"},
    "no UTF-8 mode": {"PYTHONUTF8": "0", "LC_ALL": "C"},
}
SCRIPT = """
import os, sys
os.umask(0o077 if len(sys.argv) > 2 else 0o022)
from caplet.pack import Content, pack
from caplet.pack.binary import Binary
files = {b"/usr/share/x/%d" % n: b"x%d" % (n % 7) for n in range(50)}
print(pack([Binary.parse(sys.argv[1] + "=cap_net_raw,cap_chown=eip")], content=Content(files)).digest)
"""


def test_nothing_of_the_surroundings_enters(server: Path) -> None:
    """The same digest under other hash seeds, time zones, locales and umasks."""
    digests = set()
    for extra in ({}, *SURROUNDINGS.values()):
        argv = [sys.executable, "-c", SCRIPT, str(server), *(["umask"] if extra else [])]
        environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"} | extra
        digests.add(subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(digests) == 1


def test_source_date_epoch_is_the_only_time(server: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    image = single(str(server))
    assert image.config.created == "2023-11-14T22:13:20Z"
    assert {entry.mtime for entry in members(image)} == {1700000000}
    assert {step["created"] for step in image.config.history} == {"2023-11-14T22:13:20Z"}


@pytest.mark.parametrize("compression", Compression)
def test_compression_changes_the_blobs_not_the_files(compression: Compression, server: Path) -> None:
    image = single(str(server), content=Content(compression=compression))
    assert image.config.diff_ids == single(str(server)).config.diff_ids
    assert (
        b"".join(Rootfs(image.layers).content(Rootfs(image.layers).resolve(b"/server").node))
        == server.read_bytes()
    )


def test_a_file_that_grows_while_it_is_read_is_an_error(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from caplet.pack import filesystem

    monkeypatch.setattr(filesystem.File, "size", 10)
    with pytest.raises(InvalidInput, match="10 bytes in its header"):
        single(str(server))


def test_the_users_file_names_the_user(server: Path) -> None:
    image = single(str(server), process=Process(user=User(1000, 2000)))
    rootfs = Rootfs(image.layers)
    passwd = rootfs.read(rootfs.resolve(b"/etc/passwd").node).decode()
    assert passwd.splitlines() == [
        "root:x:0:0:root:/:/sbin/nologin",
        "nonroot:x:1000:2000:nonroot:/:/sbin/nologin",
    ]
