# SPDX-License-Identifier: Apache-2.0
"""Whiteouts and opaque directories: plain, in every order, with no name, and smuggled in as overlayfs' own marks.

image-spec layer.md "Whiteouts"; containerd pkg/archive/tar_opts_linux.go (OverlayConvertWhiteout): above the lowest layer a
whiteout becomes a device 0/0, which fails where something stands; overlayfs ignores an opaque mark on a layer's root.
"""

from __future__ import annotations

from tests.hostile.blocks import (
    BIND,
    RAW,
    directory,
    entry,
    file,
    hardlink,
    header,
    opaque,
    padded,
    pax,
    symlink,
    tar,
    whiteout,
)
from tests.hostile.case import Case, Refused, stack

PING, WEB = "cap_net_raw=ep", "cap_net_bind_service=ep"
LOWER = tar(directory("d"), file("d/x", cap=RAW), file("y", cap=RAW))
ALL = {"/d/x": PING, "/y": PING}
DUPLICATE = ("docker", "podman", "skopeo")


def over(*entries: bytes) -> list[bytes]:
    return [LOWER, tar(*entries)]


# fmt: off
CASES: tuple[Case, ...] = (
    stack("file", over(whiteout("y")), {"/d/x": PING}),
    stack("file-in-a-directory", over(whiteout("d/x")), {"/y": PING}),
    stack("directory", over(whiteout("d")), {"/y": PING}),
    stack("nothing-there", over(whiteout("d/z"), whiteout("q/z")), ALL),
    stack("again-in-the-next-layer", [LOWER, tar(whiteout("y")), tar(file("y", cap=BIND))], {"/d/x": PING, "/y": WEB}),
    stack("twice", over(whiteout("y"), whiteout("y")), Refused("EEXIST")),
    stack("then-the-file", over(whiteout("y"), file("y", cap=BIND)), {"/d/x": PING, "/y": WEB}),
    stack("the-file-then", over(file("y", cap=BIND), whiteout("y")), Refused("EEXIST")),
    stack("then-the-directory", over(whiteout("d"), directory("d"), file("d/z", cap=BIND)), {"/d/x": PING, "/d/z": WEB, "/y": PING}, ("buildkit native", "umoci", "vfs")),
    stack("the-directory-then", over(directory("d"), whiteout("d")), Refused("EEXIST")),
    stack("then-below-it", over(whiteout("d"), file("d/z")), Refused("not a directory")),
    stack("below-it-then", over(file("d/z"), whiteout("d")), Refused("EEXIST")),
    stack("through-a-link", over(symlink("l", "d"), file("l/.wh.x", b"")), {"/y": PING}, ("docker", "podman")),
    stack("through-a-lower-link", [tar(directory("u"), file("u/x", cap=RAW), symlink("l", "u")), tar(file("l/.wh.x", b""))], {"/u/x": PING}, ("umoci", "vfs")),
    stack("of-a-link", [tar(directory("u"), file("u/x", cap=RAW), symlink("l", "u")), tar(whiteout("l"))], {"/u/x": PING}),
    stack("with-parents", over(file("../.wh.y", b"")), {"/d/x": PING}, ("docker",)),
    stack("upper-case", over(file(".WH.y", b"")), ALL),
    stack("as-directory", over(directory(".wh.y")), {"/d/x": PING}),
    stack("as-link", over(symlink(".wh.y", "d")), {"/d/x": PING}),
    stack("as-hard-link", over(file("z"), hardlink(".wh.y", "z")), {"/d/x": PING}),
    stack("as-unknown-type", over(header(".wh.y", flag=b"Z")), {"/d/x": PING}),
    stack("with-content-and-attribute", over(file(".wh.y", b"content", cap=RAW)), {"/d/x": PING}),
    stack("name-in-pax", over(pax({"path": ".wh.y"}), header("innocent")), {"/d/x": PING}),
    stack("name-in-header-only", over(pax({"path": "innocent"}), header(".wh.y")), ALL),
    stack("of-itself", over(file("d/.wh..", b"")), Refused("whiteout")),
    stack("of-the-parent", over(file("d/.wh...", b"")), Refused("whiteout")),
    stack("of-no-name", over(file("d/.wh.", b"")), Refused("whiteout")),
    stack("of-itself-at-the-root", over(file(".wh..", b"")), Refused("whiteout")),
    stack("of-the-parent-at-the-root", over(file(".wh...", b"")), Refused("whiteout")),
    stack("of-no-name-at-the-root", over(file(".wh.", b"")), Refused("whiteout")),
    stack("of-itself-in-the-lowest", tar(directory("d"), file("d/x", cap=RAW), file("d/.wh..", b"")), Refused("whiteout")),
    stack("of-four-dots", over(file(".wh.....", b"")), ALL),
    stack("aufs-metadata", over(directory(".wh..wh.plnk"), directory(".wh..wh.orph"), file(".wh..wh.aufs", b"")), ALL),
    stack("aufs-hard-link", over(file(".wh..wh.plnk/1", cap=RAW)), {"/.wh..wh.plnk/1": PING, **ALL}, ("vfs",)),
    stack("of-a-whiteout", over(file(".wh..wh.y", b"")), ALL),
    stack("of-252", over(file(".wh." + "n" * 252, b"")), ALL),
    stack("of-255", [tar(file("n" * 255, cap=RAW)), tar(file(".wh." + "n" * 255, b""))], {}),
    stack("of-256", over(file(".wh." + "n" * 256, b"")), Refused("too long")),
    stack("of-251", [tar(file("n" * 251, cap=RAW)), tar(file(".wh." + "n" * 251, b""))], {}),
    # Opaque directories
    stack("opaque", over(directory("d"), opaque("d")), {"/y": PING}),
    stack("opaque-without-entry", over(opaque("d")), {"/y": PING}),
    stack("opaque-before-the-files", over(directory("d"), opaque("d"), file("d/z", cap=BIND)), {"/d/z": WEB, "/y": PING}),
    stack("opaque-after-the-files", over(directory("d"), file("d/z", cap=BIND), opaque("d")), {"/d/z": WEB, "/y": PING}),
    stack("opaque-twice", over(opaque("d"), opaque("d")), {"/y": PING}, ("docker", "podman", "skopeo")),
    stack("opaque-with-whiteout", over(opaque("d"), whiteout("d/x")), {"/y": PING}),
    stack("opaque-root", over(opaque("")), ALL, ("umoci", "vfs")),
    stack("opaque-as-directory", over(directory("d/.wh..wh..opq")), {"/y": PING}),
    stack("opaque-misspelt", over(file("d/.wh..wh..opqx", b"")), ALL),
    stack("opaque-through-a-link", over(symlink("l", "d"), file("l/.wh..wh..opq", b"")), {"/y": PING}, ("docker", "podman")),
    stack("opaque-of-a-new-directory", over(opaque("e"), file("e/x", cap=BIND)), {**ALL, "/e/x": WEB}),
    stack("opaque-then-next-layer", [LOWER, tar(opaque("d")), tar(file("d/x", cap=BIND))], {"/d/x": WEB, "/y": PING}),
    stack("opaque-in-the-lowest", tar(directory("d"), file("d/x", cap=RAW), opaque("d")), {"/d/x": PING}),
    stack("opaque-in-the-lowest-implied", tar(file("d/e/x", cap=RAW), opaque("d")), {}, ("docker", "podman", "umoci")),
    # In the lowest layer
    stack("lowest-nothing", tar(whiteout("y"), file("x", cap=RAW)), {"/x": PING}),
    stack("lowest-then-the-file", tar(whiteout("y"), file("y", cap=RAW)), {"/y": PING}),
    stack("lowest-the-file-then", tar(file("y", cap=RAW), whiteout("y")), {}, ("docker", "podman", "umoci")),
    stack("lowest-the-directory-then", tar(file("d/x", cap=RAW), whiteout("d")), {}, ("docker", "podman", "umoci")),
    # overlayfs' own marks
    stack("smuggled-opaque", over(entry("d", flag=b"5", xattrs={"trusted.overlay.opaque": b"y"})), ALL, ("docker", "podman")),
    stack("smuggled-opaque-of-another-value", over(entry("d", flag=b"5", xattrs={"trusted.overlay.opaque": b"n"})), ALL),
    stack("smuggled-opaque-lowest", tar(entry("d", flag=b"5", xattrs={"trusted.overlay.opaque": b"y"}), file("d/x", cap=RAW)), {"/d/x": PING}),
    stack("smuggled-opaque-on-a-file", over(entry("y", xattrs={"trusted.overlay.opaque": b"y"})), {"/d/x": PING}),
    stack("smuggled-redirect", [tar(directory("d"), file("d/x", cap=RAW), directory("e")), tar(entry("e", flag=b"5", xattrs={"trusted.overlay.redirect": b"/d"}))], {"/d/x": PING}, ("docker", "podman")),
    stack("smuggled-whiteout", over(entry("d", flag=b"5", xattrs={"trusted.overlay.opaque": b"x"}), entry("d/x", xattrs={"trusted.overlay.whiteout": b"y"})), {"/y": PING}, ("docker", "podman")),
    stack("smuggled-whiteout-with-attribute", over(entry("d", flag=b"5", xattrs={"trusted.overlay.opaque": b"x"}), entry("d/x", cap=BIND, xattrs={"trusted.overlay.whiteout": b"y"})), {"/d/x": WEB, "/y": PING}, ("docker", "podman")),
    stack("smuggled-whiteout-without-opaque", over(entry("d/x", cap=BIND, xattrs={"trusted.overlay.whiteout": b"y"})), {"/d/x": WEB, "/y": PING}, ("docker", "podman")),
    stack("directory-implied-over-a-file", over(file("y/z", cap=BIND)), {"/d/x": PING, "/y/z": WEB}, ("umoci", "vfs")),
    stack("smuggled-metacopy", over(entry("y", cap=BIND, xattrs={"trusted.overlay.metacopy": b""})), {"/d/x": PING, "/y": WEB}, ("docker", "podman")),
    stack("smuggled-for-user-namespaces", over(entry("d", flag=b"5", xattrs={"user.overlay.opaque": b"y"})), ALL, ("rootless engines",)),
    stack("device-0-0", over(header("y", flag=b"3")), {"/d/x": PING}),
    stack("device-0-0-over-a-directory", over(header("d", flag=b"3")), {"/y": PING}),
    stack("device-0-0-in-the-lowest", tar(header("y", flag=b"3"), file("x", cap=RAW)), {"/x": PING}),
    stack("device-0-1", over(header("y", flag=b"3", minor=1)), {"/d/x": PING}),
    stack("block-device-0-0", over(header("y", flag=b"4")), {"/d/x": PING}),
    stack("whiteout-behind-a-long-file", over(file("z", b"x" * 700), padded(b""), whiteout("y")), {"/d/x": PING}),
)
# fmt: on
