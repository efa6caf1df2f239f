# SPDX-License-Identifier: Apache-2.0
"""security.capability in every form: revisions, sizes, bits nobody knows, bytes that end lines, other carriers.

setxattr(2) refuses what is malformed (security/commoncap.c, cap_convert_nscap and validheader), and with it the layer.
"""

from __future__ import annotations

import base64

from tests.hostile.blocks import (
    BIND,
    CAPABILITY,
    NET_BIND_SERVICE,
    NET_RAW,
    RAW,
    caps,
    directory,
    entry,
    file,
    header,
    padded,
    pax,
    record,
    tar,
)
from tests.hostile.case import Case, Refused, stack

PING, WEB = "cap_net_raw=ep", "cap_net_bind_service=ep"
REVISION_1 = caps(NET_RAW, magic=0x01000001)[:12]
NOT_STORED = Refused("security.capability")


def one(name: str, value: bytes, text: str | Refused, divergent: tuple[str, ...] = ()) -> Case:
    return stack(
        name, tar(file("x", cap=value)), text if isinstance(text, Refused) else {"/x": text}, divergent
    )


# fmt: off
CASES: tuple[Case, ...] = (
    one("revision-1", REVISION_1, NOT_STORED),
    one("revision-1-without-effective", caps(NET_RAW, magic=0x01000000)[:12], NOT_STORED),
    one("revision-1-of-20-bytes", caps(NET_RAW, magic=0x01000001), NOT_STORED),
    one("revision-2", RAW, PING),
    one("revision-2-without-effective", caps(NET_RAW, magic=0x02000000), "cap_net_raw=p"),
    one("revision-2-inheritable", caps(0, NET_RAW, magic=0x02000000), "cap_net_raw=i"),
    one("revision-2-inheritable-effective", caps(NET_BIND_SERVICE, NET_RAW), "cap_net_raw=ei cap_net_bind_service+ep"),
    one("revision-2-of-nothing", caps(0, magic=0x02000000), "="),
    one("revision-2-of-nothing-effective", caps(0), "="),
    one("revision-2-of-19-bytes", RAW[:-1], NOT_STORED),
    one("revision-2-of-21-bytes", RAW + b"\0", NOT_STORED),
    one("revision-2-of-24-bytes", caps(NET_RAW, rootid=0), NOT_STORED),
    one("revision-3", caps(NET_RAW, magic=0x03000001, rootid=1000), "cap_net_raw=ep [rootid=1000]"),
    one("revision-3-of-root", caps(NET_RAW, magic=0x03000001, rootid=0), PING),
    one("revision-3-of-nobody", caps(NET_RAW, magic=0x03000001, rootid=0xFFFFFFFF), NOT_STORED),
    one("revision-3-of-20-bytes", caps(NET_RAW, magic=0x03000001), NOT_STORED),
    one("revision-3-of-25-bytes", caps(NET_RAW, magic=0x03000001, rootid=0) + b"\0", NOT_STORED),
    one("revision-4", caps(NET_RAW, magic=0x04000001), NOT_STORED),
    one("revision-4-of-24-bytes", caps(NET_RAW, magic=0x04000001, rootid=0), NOT_STORED),
    one("revision-0", caps(NET_RAW, magic=0x00000001), NOT_STORED),
    one("revision-255", caps(NET_RAW, magic=0xFF000001), NOT_STORED),
    one("big-endian", RAW[3::-1] + RAW[4:], NOT_STORED),
    one("unknown-flag", caps(NET_RAW, magic=0x02000003), NOT_STORED),
    one("all-flags", caps(NET_RAW, magic=0x02FFFFFF), NOT_STORED),
    one("unknown-bits", caps(NET_RAW | 1 << 41 | 1 << 63), "cap_net_raw=ep 41,63+ep"),
    one("all-bits", caps((1 << 64) - 1), "=ep 41,42,43,44,45,46,47,48,49,50,51,52,53,54,55,56,57,58,59,60,61,62,63+ep"),
    one("one-byte", b"x", NOT_STORED),
    one("three-bytes", RAW[:3], NOT_STORED),
    one("header-only", RAW[:4], NOT_STORED),
    one("text", b"cap_net_raw=ep", NOT_STORED),
    one("base64", base64.b64encode(RAW), NOT_STORED),
    one("4096-bytes", RAW.ljust(4096, b"\0"), NOT_STORED),
    one("65537-bytes", RAW.ljust(65537, b"\0"), NOT_STORED),
    one("empty", b"", "attribute=empty", ("docker", "podman", "umoci")),
    one("newlines-in-it", caps(0x0A0A0A0A, magic=0x02000000), "cap_dac_override,cap_fowner,cap_linux_immutable,cap_net_broadcast,cap_sys_rawio,cap_sys_ptrace,cap_sys_time,cap_mknod=p"),
    one("equals-in-it", caps(0x3D3D3D3D, magic=0x02000000), "cap_chown,cap_dac_read_search,cap_fowner,cap_fsetid,cap_kill,cap_setpcap,cap_net_bind_service,cap_net_broadcast,cap_net_admin,cap_net_raw,cap_sys_module,cap_sys_chroot,cap_sys_ptrace,cap_sys_pacct,cap_sys_admin,cap_sys_resource,cap_sys_tty_config,cap_mknod,cap_lease,cap_audit_write=p"),
    one("not-utf-8", caps(0xFFFE8080, magic=0x02000000), "cap_setuid,cap_ipc_owner,cap_sys_rawio,cap_sys_chroot,cap_sys_ptrace,cap_sys_pacct,cap_sys_admin,cap_sys_boot,cap_sys_nice,cap_sys_resource,cap_sys_time,cap_sys_tty_config,cap_mknod,cap_lease,cap_audit_write,cap_audit_control,cap_setfcap=p"),
    # Other carriers
    stack("record-twice", tar(pax(record(CAPABILITY, RAW) + record(CAPABILITY, BIND)), header("x")), {"/x": WEB}),
    stack("record-then-empty", tar(pax(record(CAPABILITY, RAW) + record(CAPABILITY, b"")), header("x")), {"/x": "attribute=empty"}, ("docker", "podman", "umoci")),
    stack("second-header-without-it", tar(pax({CAPABILITY: RAW}), pax({"comment": "x"}), header("x")), {}),
    stack("second-header-with-another", tar(pax({CAPABILITY: RAW}), pax({CAPABILITY: BIND}), header("x")), {"/x": WEB}),
    stack("global-header", tar(pax({CAPABILITY: RAW}, flag=b"g"), header("x")), {}, ("umoci",)),
    stack("global-and-own-header", tar(pax({CAPABILITY: RAW}, flag=b"g"), file("x", cap=BIND)), {"/x": WEB}, ("umoci",)),
    stack("own-before-global-header", tar(pax({CAPABILITY: RAW}), pax({"comment": "x"}, flag=b"g"), header("x")), {}, ("umoci",)),
    stack("libarchive", tar(pax({"LIBARCHIVE.xattr.security.capability": base64.b64encode(RAW)}), header("x")), {}),
    stack("other-vendors", tar(pax({"RHT.security.capability": RAW, "SCHILY.acl.access": "user::rwx", "xattr.security.capability": RAW}), header("x")), {}),
    stack("other-case", tar(pax({"schily.xattr.security.capability": RAW, "SCHILY.xattr.security.CAPABILITY": RAW}), header("x")), {}),
    stack("more-in-the-name", tar(pax({"SCHILY.xattr.security.capability.x": RAW, "SCHILY.xattr.user.security.capability": RAW}), header("x")), {}),
    stack("binary-charset", tar(pax({"hdrcharset": "BINARY", CAPABILITY: RAW}), header("x")), {"/x": PING}),
    stack("among-others", tar(entry("x", cap=RAW, xattrs={"user.note": b"\xff\0\n", "security.selinux": b"u:r:t\0", "com.apple.x": b"1"})), {"/x": PING}, ("docker",)),
    stack("nameless", tar(entry("x", cap=RAW, xattrs={"": b"x"})), Refused("extended attribute")),
    stack("name-of-256", tar(entry("x", cap=RAW, xattrs={"user." + "n" * 251: b"x"})), Refused("extended attribute")),
    stack("name-of-255", tar(entry("x", cap=RAW, xattrs={"user." + "n" * 250: b"x"})), {"/x": PING}),
    stack("value-of-65537", tar(entry("x", cap=RAW, xattrs={"user.x": b"x" * 65537})), Refused("user.x")),
    stack("namespace-only", tar(entry("x", cap=RAW, xattrs={"user.": b"x"})), Refused("no name")),
    stack("on-a-directory", tar(directory("d", cap=RAW), file("x", cap=BIND)), {"/x": WEB}),
    stack("inherited-by-an-implied-directory", [tar(directory("d", cap=RAW)), tar(file("d/x", cap=BIND))], {"/d/x": WEB}),
    stack("empty-on-an-implied-directory", [tar(directory("d", cap=b"")), tar(file("d/x", cap=BIND))], Refused("security.capability")),
    stack("on-a-device", tar(pax({CAPABILITY: RAW}), header("c", flag=b"3", major=1, minor=3), file("x", cap=BIND)), {"/x": WEB}),
    stack("on-a-fifo", tar(pax({CAPABILITY: RAW}), header("p", flag=b"6"), file("x", cap=BIND)), {"/x": WEB}),
    stack("malformed-on-a-whiteout", [tar(file("x", cap=RAW)), tar(file(".wh.x", b"", cap=REVISION_1))], {}),
    stack("malformed-but-replaced", tar(file("x", cap=REVISION_1), file("x", cap=RAW)), NOT_STORED),
    stack("malformed-but-hidden", [tar(file("x", cap=REVISION_1)), tar(file("x"))], NOT_STORED),
    stack("gone-above", [tar(file("x", cap=RAW)), tar(file("x"))], {}),
    stack("no-execute-bit", tar(file("x", cap=RAW, mode=0o644)), {"/x": PING}),
    stack("with-set-uid", tar(file("x", cap=RAW, mode=0o4755)), {"/x": f"{PING} setuid=0 mode=4755"}),
    stack("set-gid-without-execute", tar(file("x", mode=0o2644)), {"/x": "setgid=0 mode=2644"}),
    stack("set-ids-of-others", tar(file("x", mode=0o6755, uid=7, gid=8)), {"/x": "setuid=7 setgid=8 mode=6755"}),
    stack("script", tar(pax({CAPABILITY: RAW}), header("x", size=10), padded(b"#!/bin/sh\n")), {"/x": PING}),
)
# fmt: on
