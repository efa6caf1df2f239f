# SPDX-License-Identifier: Apache-2.0
"""Good images of every ordinary kind: none may be refused, and none has a note of difference."""

from __future__ import annotations

import gzip

from tests.hostile.blocks import (
    BIND,
    GNU,
    RAW,
    V7,
    caps,
    directory,
    entry,
    file,
    hardlink,
    header,
    long_name,
    opaque,
    padded,
    symlink,
    tar,
    whiteout,
)
from tests.hostile.case import Blob, Case, stack
from tests.layouts import OCI, digest

PING, WEB = "cap_net_raw=ep", "cap_net_bind_service=ep"

DEBIAN = tar(
    directory("./"),
    symlink("./bin", "usr/bin"),
    directory("./etc/"),
    file("./etc/passwd", b"root:x:0:0::/root:/bin/sh\n", mode=0o644),
    directory("./tmp/", 0o1777),
    directory("./usr/"),
    directory("./usr/bin/"),
    file("./usr/bin/su", mode=0o4755),
    file("./usr/bin/ping", cap=RAW),
    file("./usr/bin/passwd", mode=0o4755),
    file("./usr/bin/chage", mode=0o2755, gid=42),
    file("./usr/bin/perl"),
    directory("./var/mail/", 0o2775, gid=8),
)
BASE = {
    "/usr/bin/chage": "setgid=42 mode=2755",
    "/usr/bin/passwd": "setuid=0 mode=4755",
    "/usr/bin/ping": PING,
    "/usr/bin/su": "setuid=0 mode=4755",
}
LONG = "opt/" + "/".join(["a-long-directory-name"] * 9) + "/server"
STAR = tar(file("estargz", cap=RAW))

# fmt: off
CASES: tuple[Case, ...] = (
    stack("distribution", DEBIAN, BASE),
    stack("application", [DEBIAN, tar(directory("app"), file("app/server", cap=BIND))], {**BASE, "/app/server": WEB}),
    stack("no-layers", [], {}),
    stack("empty-layer", [DEBIAN, tar()], BASE),
    stack("many-layers", [tar(file(f"x{number}", cap=RAW)) for number in range(127)], {f"/x{number}": PING for number in range(127)}, apart="the test mounts without containerd's shortening of paths, and mount(2) takes one page of options"),
    stack("same-layer-twice", [DEBIAN, DEBIAN], BASE),
    stack("upgrade", [DEBIAN, tar(directory("usr"), directory("usr/bin"), file("usr/bin/ping"))], {name: text for name, text in BASE.items() if "ping" not in name}),
    stack("package-removed", [DEBIAN, tar(directory("usr"), directory("usr/bin"), whiteout("usr/bin/su"), whiteout("usr/bin/chage"))], {name: text for name, text in BASE.items() if name[-2:] not in ("su", "ge")}),
    stack("directory-replaced", [DEBIAN, tar(directory("usr"), directory("usr/bin"), opaque("usr/bin"), file("usr/bin/server", cap=BIND))], {"/usr/bin/server": WEB}),
    stack("long-gnu-name", tar(long_name(LONG), header(LONG[:100], mode=0o4755, magic=GNU)), {f"/{LONG}": "setuid=0 mode=4755"}),
    stack("long-pax-name", tar(file(LONG, cap=RAW)), {f"/{LONG}": PING}),
    stack("v7", tar(header("su", flag=b"\0", mode=0o4755, magic=V7)), {"/su": "setuid=0 mode=4755"}),
    stack("hard-links", tar(file("bin/a", cap=RAW), hardlink("bin/b", "bin/a", RAW), hardlink("sbin/c", "bin/a", RAW)), {"/bin/a": PING, "/bin/b": PING, "/sbin/c": PING}),
    stack("devices", tar(header("dev/null", flag=b"3", major=1, minor=3, mode=0o666), header("dev/sda", flag=b"4", major=8, mode=0o660), header("run/pipe", flag=b"6"), file("x", cap=RAW)), {"/x": PING}),
    stack("other-attributes", tar(entry("x", cap=RAW, xattrs={"user.note": b"text", "security.ima": b"\3\2\4"})), {"/x": PING}),
    stack("several-capabilities", tar(file("x", cap=caps(1 << 10 | 1 << 13 | 1 << 12))), {"/x": "cap_net_bind_service,cap_net_admin,cap_net_raw=ep"}),
    stack("owners", tar(file("x", mode=0o6755, uid=65532, gid=65532, uname=b"nonroot", gname=b"nonroot")), {"/x": "setuid=65532 setgid=65532 mode=6755"}),
    stack("large-file", tar(file("x", bytes(3_000_000), cap=RAW)), {"/x": PING}),
    stack("padding-to-10-kib", tar(file("x", cap=RAW)).ljust(10240, b"\0"), {"/x": PING}),
    stack("named-user", DEBIAN, BASE, config={"User": "app:web", "Entrypoint": ["/usr/bin/server"], "Cmd": [], "Env": ["PATH=/usr/bin"]}),
    stack("estargz", Blob(b"".join(gzip.compress(part, mtime=0) for part in (STAR[:512], STAR[512:], b"")), f"{OCI}.layer.v1.tar+gzip", digest(STAR)), {"/estargz": PING}),
    stack("content-at-a-block", tar(file("a", b"x" * 512), padded(b""), file("x", cap=RAW)), {"/x": PING}),
)
# fmt: on
