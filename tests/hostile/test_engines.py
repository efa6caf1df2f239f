# SPDX-License-Identifier: Apache-2.0
"""The tables against a real containerd: every stack of layers is unpacked by it, and must show what a scan shows.

`python -m tests.hostile.other_engines` asks Podman and umoci as well, for the notes of difference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.hostile.case import write_image
from tests.hostile.engines import Containerd, Found, started
from tests.hostile.tables import cases
from tests.hostile.test_scan import scan
from tests.hostile.users import USERS, UserCase
from tests.layouts import Layout

from caplet.errors import InvalidInput
from caplet.image.image import Image, open_image
from caplet.image.passwd import resolve_user
from caplet.image.rootfs import Rootfs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.root]

CASES = {
    name: case
    for name, case in cases().items()
    if case.layers and not case.apart and not name.startswith("users/")
}
REVISION_3_OF_ROOT = 24


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containerd]:
    import os
    import shutil

    from tests.conftest import missing

    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        missing("containerd")
    if os.geteuid() != 0:
        missing("root")
    yield from started(str(tmp_path_factory.mktemp("containerd")))


def test_containerd_sees_the_same(
    containerd: Containerd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One test, so that one process asks once for all."""
    answers = containerd.answers(CASES)
    different = {}
    for place, (name, case) in enumerate(CASES.items()):
        directory = tmp_path / str(place)
        directory.mkdir()
        code, out, err = scan(capsys, "-o", "json", case.make(str(directory)))
        mine = scanned(out) if code == 0 else err
        theirs = answers[name]
        if isinstance(mine, str) != isinstance(theirs, str) or (not isinstance(mine, str) and mine != theirs):
            different[name] = {"caplet": mine, "containerd": theirs}
    assert different == {}


def scanned(output: str) -> dict[bytes, Found]:
    """What the JSON of a scan says, as getxattr(2) and lstat(2) would."""
    (image,) = json.loads(output)["images"]
    found: dict[bytes, Found] = {}
    for file in image["files"]:
        attribute = bytes.fromhex(file["capability"]["hex"]) if file["capability"] else None
        one = Found(
            int(file["mode"], 8), file["uid"], file["gid"], file["size"], attribute and as_read(attribute)
        )
        if attribute == b"":
            one = Found(one.mode, one.uid, one.gid, one.size, b"")
        found |= {bytes.fromhex(path["pathHex"]): one for path in (file, *file["links"])}
    return found


def as_read(attribute: bytes) -> bytes:
    """getxattr(2) shows revision 3 for the reader's own root as revision 2 (security/commoncap.c, cap_inode_getsecurity)."""
    if len(attribute) == REVISION_3_OF_ROOT and not any(attribute[20:]):
        return attribute[:3] + b"\2" + attribute[4:20]
    return attribute


def test_containerd_means_the_same_users(containerd: Containerd) -> None:
    theirs = {name: containerd.user(case.layer, case.user, name) for name, case in USERS.items()}
    assert theirs == {
        name: None if isinstance(case.expected, str) else case.expected for name, case in USERS.items()
    }


@pytest.mark.parametrize("case", USERS.values(), ids=USERS)
def test_a_user_is_who_the_table_says(case: UserCase, tmp_path: Path) -> None:
    write_image(Layout(str(tmp_path)), [case.layer], "latest", {"User": case.user})
    image = open_image(f"oci:{tmp_path}")
    assert isinstance(image, Image)
    rootfs = Rootfs(image.layers)
    if isinstance(case.expected, str):
        with pytest.raises(InvalidInput, match=case.expected):
            resolve_user(rootfs, image.config.user)
        return
    user = resolve_user(rootfs, image.config.user)
    assert (user.uid, user.gid) == case.expected
