# SPDX-License-Identifier: Apache-2.0
"""Symbolic and hard links that lead out, in circles, to what is not there, or share an inode in surprising ways.

containerd resolves the parents of a name inside the layer's own directory (continuity fs.RootPath), a hard link's target
likewise, its last component not followed; chown(2) on a hard link takes the inode's capability (commoncap.c,
cap_inode_killpriv).
"""

from __future__ import annotations

from tests.hostile.blocks import BIND, RAW, directory, file, hardlink, header, pax, symlink, tar, whiteout
from tests.hostile.case import Case, Refused, stack

PING, WEB = "cap_net_raw=ep", "cap_net_bind_service=ep"

DEEP = "d" * 247
"""CVE-2025-4517: names so long that realpath(3) gives up before PATH_MAX, and links that lead past it."""
CHAIN = [
    part
    for step in range(16)
    for part in (
        directory(
            f"{'/'.join([DEEP] * 0)}{'abcdefghijklmnop'[:step] and '/'.join('abcdefghijklmnop'[:step]) + '/'}{DEEP}"
        ),
        symlink(
            f"{'/'.join('abcdefghijklmnop'[:step])}{'/' if step else ''}{'abcdefghijklmnop'[step]}", DEEP
        ),
    )
]


def chain(count: int, end: str = "/") -> list[bytes]:
    """A name that leads through so many links."""
    made = [symlink(f"l{number}", f"l{number + 1}") for number in range(count - 1)]
    return [*made, symlink(f"l{count - 1}", end), file("l0/x", cap=RAW)]


# fmt: off
CASES: tuple[Case, ...] = (
    stack("absolute-link", tar(symlink("l", "/etc"), file("l/x", cap=RAW)), {"/etc/x": PING}, ("docker", "podman")),
    stack("climbing-link", tar(symlink("l", "../../../etc"), file("l/x", cap=RAW)), {"/etc/x": PING}, ("docker", "podman")),
    stack("link-of-links", tar(symlink("a", "b"), symlink("b", "/c"), directory("c"), file("a/x", cap=RAW)), {"/c/x": PING}),
    stack("dangling-link", tar(symlink("l", "nowhere/at/all"), file("l/x", cap=RAW)), {"/nowhere/at/all/x": PING}, ("docker", "podman")),
    stack("link-to-itself", tar(symlink("l", "l"), file("l/x", cap=RAW)), Refused("too many links")),
    stack("circle-of-links", tar(symlink("a", "b"), symlink("b", "a"), file("a/x", cap=RAW)), Refused("too many links")),
    stack("circle-nobody-enters", tar(symlink("a", "b"), symlink("b", "a"), file("x", cap=RAW)), {"/x": PING}),
    stack("link-to-the-root", tar(symlink("l", "/"), file("l/l/l/x", cap=RAW)), {"/x": PING}),
    stack("link-to-dot", tar(symlink("l", "."), file("l/l/x", cap=RAW)), {"/x": PING}),
    stack("link-behind-parent", tar(directory("a/b"), symlink("l", "a/b"), file("l/../x", cap=RAW)), {"/x": PING}),
    stack("chain-of-256-to-the-root", tar(*chain(256)), {"/x": PING}, ("docker", "podman")),
    stack("chain-of-257-to-the-root", tar(*chain(257)), Refused("too many links")),
    stack("chain-of-255-to-a-directory", tar(directory("d"), *chain(255, "d")), {"/d/x": PING}, ("docker", "podman")),
    stack("chain-of-256-to-a-directory", tar(directory("d"), *chain(256, "d")), Refused("too many links")),
    stack("file-over-its-link", tar(symlink("l", "x"), file("x"), file("l", cap=RAW)), {"/l": PING}, ("docker", "podman", "skopeo")),
    stack("link-over-a-directory", tar(directory("d"), file("d/x", cap=RAW), symlink("d", "/e")), Refused("adds a directory and then removes it")),
    stack("link-over-a-directory-to-one", tar(directory("e"), directory("d"), file("d/x", cap=RAW), symlink("d", "/e")), {}, ("docker", "podman", "skopeo")),
    stack("link-to-4096", tar(symlink("l", "a/" * 2048), file("x", cap=RAW)), Refused("1 to 4095")),
    stack("link-to-4095", tar(symlink("l", "a" * 4095), file("x", cap=RAW)), {"/x": PING}),
    stack("link-to-nothing", tar(symlink("l", ""), file("x", cap=RAW)), Refused("symbolic link")),
    stack("past-path-max", tar(*CHAIN, symlink("/".join("abcdefghijklmnop") + "/l", "../" * 16 + "etc"), file("x", cap=RAW)), {"/x": PING}, ("docker",)),
    stack("attribute-on-a-link", tar(file("x"), symlink("l", "x", cap=RAW)), {}, ("docker",)),
    stack("attribute-on-a-link-out", tar(symlink("l", "/usr/x", cap=RAW)), {}, ("docker",)),
    # Over lower layers
    stack("usr-merge", [tar(directory("usr/bin"), symlink("bin", "usr/bin"), file("usr/bin/ping", cap=RAW)), tar(file("bin/ping", cap=BIND))], {"/bin/ping": WEB, "/usr/bin/ping": PING}, ("umoci", "vfs")),
    stack("usr-merge-kept", [tar(directory("usr/bin"), symlink("bin", "usr/bin")), tar(symlink("bin", "usr/bin"), file("bin/ping", cap=RAW))], {"/usr/bin/ping": PING}, ("docker", "podman")),
    stack("lower-link-out", [tar(symlink("l", "/etc")), tar(file("l/x", cap=RAW))], {"/l/x": PING}, ("umoci", "vfs")),
    stack("lower-circle", [tar(symlink("a", "b"), symlink("b", "a")), tar(file("a/x", cap=RAW))], Refused("too many links")),
    stack("lower-dangling", [tar(symlink("a", "nowhere")), tar(file("a/x", cap=RAW))], {"/a/x": PING}, ("umoci", "vfs")),
    stack("directory-entry-over-a-link", [tar(directory("e"), symlink("l", "e")), tar(directory("l"), file("l/x", cap=RAW))], {"/l/x": PING}),
    stack("link-over-lower-directory", [tar(directory("d"), file("d/x", cap=RAW)), tar(symlink("d", "e"))], {}),
    # Hard links
    stack("hard-link", tar(file("a", cap=RAW), hardlink("b", "a", RAW)), {"/a": PING, "/b": PING}),
    stack("hard-link-without-attribute", tar(file("a", cap=RAW), hardlink("b", "a")), {}, ("podman", "umoci")),
    stack("hard-link-brings-attribute", tar(file("a"), hardlink("b", "a", RAW)), {"/a": PING, "/b": PING}, ("umoci",)),
    stack("hard-link-brings-another", tar(file("a", cap=RAW), hardlink("b", "a", BIND)), {"/a": WEB, "/b": WEB}, ("umoci",)),
    stack("third-link-without-attribute", tar(file("a", cap=RAW), hardlink("b", "a", RAW), hardlink("c", "b")), {}, ("podman", "umoci")),
    stack("hard-link-brings-set-uid", tar(file("a"), hardlink("b", "a", mode=0o4755)), {"/a": "setuid=0 mode=4755", "/b": "setuid=0 mode=4755"}, ("umoci",)),
    stack("hard-link-drops-set-uid", tar(file("a", mode=0o4755), hardlink("b", "a", mode=0o755)), {}, ("umoci",)),
    stack("hard-link-changes-owner", tar(file("a", mode=0o4755, uid=7), hardlink("b", "a", mode=0o4755, uid=0)), {"/a": "setuid=0 mode=4755", "/b": "setuid=0 mode=4755"}, ("umoci",)),
    stack("hard-link-out", tar(hardlink("x", "../../../etc/passwd")), Refused("not in the layer")),
    stack("hard-link-out-but-there", tar(directory("etc"), file("etc/a", cap=RAW), hardlink("b", "../../etc/a", RAW)), {"/b": PING, "/etc/a": PING}, ("docker",)),
    stack("hard-link-absolute", tar(file("a", cap=RAW), hardlink("b", "/a", RAW)), {"/a": PING, "/b": PING}),
    stack("hard-link-to-lower", [tar(file("a", cap=RAW)), tar(hardlink("b", "a", RAW))], Refused("not in the layer")),
    stack("hard-link-to-nothing", tar(hardlink("b", "a", RAW)), Refused("not in the layer")),
    stack("hard-link-to-a-directory", tar(directory("d"), hardlink("b", "d")), Refused("is a directory")),
    stack("hard-link-to-itself", tar(file("a", cap=RAW), hardlink("a", "a", RAW)), Refused("not in the layer")),
    stack("hard-link-to-a-link", tar(file("a", cap=RAW), symlink("l", "a"), hardlink("b", "l")), {"/a": PING}),
    stack("hard-link-through-a-link", tar(directory("d"), file("d/a", cap=RAW), symlink("l", "/d"), hardlink("b", "l/a", RAW)), {"/b": PING, "/d/a": PING}),
    stack("hard-link-out-through-a-link", tar(symlink("l", "/etc"), hardlink("b", "l/passwd")), Refused("not in the layer")),
    stack("hard-link-to-a-device", tar(header("c", flag=b"3", major=1, minor=3), hardlink("b", "c")), {}),
    stack("first-name-replaced", tar(file("a", cap=RAW), hardlink("b", "a", RAW), file("a")), {"/b": PING}, ("docker", "podman", "skopeo")),
    stack("pair-split-above", [tar(file("a", cap=RAW), hardlink("b", "a", RAW)), tar(file("a"))], {"/b": PING}),
    stack("pair-half-hidden", [tar(file("a", cap=RAW), hardlink("b", "a", RAW)), tar(whiteout("a"))], {"/b": PING}),
    stack("hard-link-with-content", tar(file("a", cap=RAW), pax({"SCHILY.xattr.security.capability": RAW}), header("b", flag=b"1", link="a", size=4096)), {"/a": PING, "/b": PING}),
)
# fmt: on
