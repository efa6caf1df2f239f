# SPDX-License-Identifier: Apache-2.0
"""Names that climb, begin at the root, or say nothing: where an entry lands, never outside of the image's root.

containerd cleans each name as text and joins it below the root (pkg/archive/tar.go, applyNaive), so nothing climbs.
"""

from __future__ import annotations

from tests.hostile.blocks import RAW, directory, file, header, padded, pax, tar
from tests.hostile.case import Case, Refused, stack

PING = "cap_net_raw=ep"

# fmt: off
CASES: tuple[Case, ...] = (
    stack("parent-first", tar(file("../x", cap=RAW)), {"/x": PING}, ("docker",)),
    stack("many-parents", tar(file("../../../../../etc/x", cap=RAW)), {"/etc/x": PING}, ("docker",)),
    stack("absolute", tar(file("/usr/x", cap=RAW)), {"/usr/x": PING}),
    stack("absolute-twice", tar(file("//usr//x", cap=RAW)), {"/usr/x": PING}),
    stack("absolute-parent", tar(file("/../x", cap=RAW)), {"/x": PING}, ("docker",)),
    stack("down-and-up", tar(file("a/../x", cap=RAW)), {"/x": PING}),
    stack("down-and-further-up", tar(file("a/../../x", cap=RAW)), {"/x": PING}, ("docker",)),
    stack("up-from-a-file", tar(file("a"), file("a/../x", cap=RAW)), {"/x": PING}),
    stack("dots", tar(file("./././x", cap=RAW)), {"/x": PING}),
    stack("dot-at-the-end", tar(file("x/.", cap=RAW)), {"/x": PING}),
    stack("slash-behind-a-file", tar(file("x/", cap=RAW)), {"/x": PING}),
    stack("slash-behind-an-old-file", tar(file("x/", b"", cap=RAW, flag=b"\0")), {}),
    stack("the-root-itself", tar(file("..", cap=RAW)), {}, ("docker", "podman", "umoci")),
    stack("dot", tar(file(".", cap=RAW)), {}, ("podman", "umoci")),
    stack("root-by-way-of-a-directory", tar(file("a/..", cap=RAW)), {}, ("podman", "umoci")),
    stack("no-name", tar(file("", cap=RAW)), {}, ("podman", "umoci")),
    stack("slash", tar(directory("/", 0o4777)), {}),
    stack("names-of-dots", tar(file("..x", cap=RAW), file("...", cap=RAW), file("x..", cap=RAW)), {"/...": PING, "/..x": PING, "/x..": PING}),
    stack("parent-in-pax-path", tar(pax({"path": "../../x", "SCHILY.xattr.security.capability": RAW}), header("innocent", size=1), padded(b"x")), {"/x": PING}, ("docker",)),
    stack("parent-in-prefix", tar(file("x", cap=RAW, prefix="../..")), {"/x": PING}, ("docker",)),
    stack("backslashes", tar(file("..\\..\\x", cap=RAW)), {"/..\\..\\x": PING}),
    stack("below-a-file", tar(file("a"), file("a/x", cap=RAW)), Refused("ot a directory")),
    stack("parent-is-upper-file", [tar(directory("a"), file("a/x", cap=RAW)), tar(file("a/../a"))], {}),
)
# fmt: on
