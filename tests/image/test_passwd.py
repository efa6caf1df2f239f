# SPDX-License-Identifier: Apache-2.0
"""USER in its forms, over files that are odd as real ones are.

What is expected is what containerd v2.3.4 (oci.WithUser, then oci.WithAdditionalGIDs) says when it is called on the same
two files.
"""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput
from caplet.image.passwd import MAX_FILE, User, resolve_user
from caplet.image.rootfs import File, Rootfs

PASSWD = b"""\
root:x:0:0:root:/root:/bin/sh
  web:x:1000:100:Web:/srv:/bin/false\r
#ghost:x:7:7::/:

twice:x:11:11::/:
twice:x:12:12::/:
short:x
shorter
letters:x:1x:2y::/:
huge:x:99999999999999999999:5::/:
negative:x:-1:5::/:
1234:x:55:56::/:
\xffname:x:66:67::/:
"""
GROUP = b"""\
root:x:0:
# comment:x:1:web
users:x:100:web
extra:x:7:root,web
web:x:9:web
short:x
five:x:5:web,huge
"""


def image(passwd: bytes | None = PASSWD, group: bytes | None = GROUP) -> Rootfs:
    files: dict[str | bytes, File | bytes] = {"/etc/hostname": b""}
    if passwd is not None:
        files["/etc/passwd"] = passwd
    if group is not None:
        files["/etc/group"] = group
    return Rootfs.of(files)


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups"),
    [
        ("", 0, 0, (0, 7)),
        ("0", 0, 0, (0, 7)),
        ("root", 0, 0, (0, 7)),
        ("web", 1000, 100, (100, 7, 5)),
        ("1000", 1000, 100, (100, 7, 5)),
        ("+1000", 1000, 100, (100, 7, 5)),
        ("4242", 4242, 0, (0,)),
        ("1000:1000", 1000, 1000, (1000, 100, 7, 5)),
        ("web:extra", 1000, 7, (100, 7, 5)),
        ("web:42", 1000, 42, (42, 100, 7, 5)),
        ("4242:extra", 4242, 7, (7,)),
        ("4242:4343", 4242, 4343, (4343,)),
        (":7", 0, 7, (7,)),
        ("1000:", 1000, 0, (0, 100, 7, 5)),
        ("twice", 11, 11, (11,)),
        ("12", 12, 12, (12,)),
        ("short", 0, 0, (0,)),
        ("shorter", 0, 0, (0,)),
        ("letters", 0, 0, (0,)),
        ("huge", 0xFFFFFFFF, 5, (5,)),
        ("negative", 0xFFFFFFFF, 5, (5,)),
        ("1234", 1234, 0, (0,)),
        ("web:short", 1000, 0, (0, 100, 7, 5)),
    ],
)
def test_user(user: str, uid: int, gid: int, groups: tuple[int, ...]) -> None:
    found = resolve_user(image(), user)
    assert (found.uid, found.gid, found.groups) == (uid, gid, groups)


REFUSED = {
    "nobody": "'nobody' is not in the image's /etc/passwd",
    "ghost": "'ghost' is not in",
    "web:nogroup": "'nogroup' is not in the image's /etc/group",
    "-1": "out of range",
    "2147483648": "out of range",
    "99999999999999999999": "out of range",
    "0:2147483648": "out of range",
    "a:b:c": "more than one colon",
    "1_000": "is not in",
    " 0": "is not in",
    "0x10": "is not in",
}


@pytest.mark.parametrize("user", REFUSED)
def test_a_user_that_containerd_refuses(user: str) -> None:
    with pytest.raises(InvalidInput, match=REFUSED[user]):
        resolve_user(image(), user)


def test_without_the_files_a_number_is_a_user_and_a_name_is_not() -> None:
    bare = image(None, None)
    assert resolve_user(bare, "65532") == User(65532, 0, (0,))
    assert resolve_user(bare, "65532:65532") == User(65532, 65532, (65532,))
    with pytest.raises(InvalidInput, match="no /etc/passwd") as raised:
        resolve_user(bare, "web")
    assert raised.value.hint == "use the user's number"
    with pytest.raises(InvalidInput, match="no /etc/group"):
        resolve_user(bare, "1:web")


def test_the_files_may_be_links() -> None:
    found = Rootfs.of(
        {"/etc": File(link=b"/nix/etc"), "/nix/etc/passwd": File(link=b"../real"), "/nix/real": PASSWD}
    )
    assert resolve_user(found, "web").uid == 1000


@pytest.mark.parametrize(
    ("passwd", "message"),
    [
        (File(directory=True), "not a regular file"),
        (b"x" * (MAX_FILE + 1), "containerd reads"),
        (b"a:x:1:1::/:\n" + b"b" * (64 << 10), "a line of 65536 bytes"),
    ],
    ids=["directory", "huge", "long line"],
)
def test_a_file_that_is_no_passwd_is_refused(passwd: File | bytes, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        resolve_user(Rootfs.of({"/etc/passwd": passwd}), "nobody")
