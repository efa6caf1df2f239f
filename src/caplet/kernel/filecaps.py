# SPDX-License-Identifier: Apache-2.0
"""The capabilities of a file: the extended attribute security.capability.

`struct vfs_ns_cap_data` of `include/uapi/linux/capability.h`, little-endian on every machine:

    magic_etc    le32   revision in the top byte, flags in the rest; the only flag known is 1, effective
    permitted    le32   bits 0 to 31
    inheritable  le32
    permitted    le32   bits 32 to 63                           revisions 2 and 3
    inheritable  le32
    rootid       le32   user id of the owning user namespace    revision 3

Revision 1 has 12 bytes, 2 has 20 and 3 (Linux 4.14) has 24; execve(2) fails with EINVAL on any other revision or size, and
with ERANGE on more than 24 bytes (`security/commoncap.c`, get_vfs_caps_from_disk; seen on 6.18). The effective bit is one for the file, not one for each capability.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace

from caplet.errors import InvalidInput
from caplet.kernel import captext
from caplet.kernel.caps import NO_CAPS, Caps

XATTR_NAME = b"security.capability"
"""XATTR_NAME_CAPS of `include/uapi/linux/xattr.h`."""

_REVISION_SHIFT = 24
_FLAGS_MASK = (1 << _REVISION_SHIFT) - 1
_FLAG_EFFECTIVE = 1
_SIZES = {1: 12, 2: 20, 3: 24}
"""XATTR_CAPS_SZ_1, _2, _3."""

MAX_SIZE = max(_SIZES.values())
"""XATTR_CAPS_SZ."""

_INVALID_ID = 0xFFFFFFFF
"""(uid_t)-1: no user has it."""

_ROOTID = "[rootid="


@dataclass(frozen=True, slots=True)
class FileCaps:
    """A decoded attribute. `str()` gives what `getcap -n` prints after the file's name."""

    permitted: Caps = NO_CAPS
    """Raised by execve within the bounding set: fP."""
    inheritable: Caps = NO_CAPS
    """Raised by execve within the process's inheritable set: fI."""
    effective: bool = False
    """Whether what is permitted is effective at once; without it the program must raise it itself."""
    rootid: int | None = None
    """The user id that is root of the user namespaces the attribute is for; None (revision 2): all."""
    flags: int = 0
    """Unknown flags: execve ignores them, setxattr(2) refuses them, and they are kept here."""

    def __post_init__(self) -> None:
        if self.rootid is not None and not 0 <= self.rootid <= _INVALID_ID:
            raise InvalidInput(f"rootid {self.rootid} is not a user id")
        if self.flags & ~(_FLAGS_MASK - _FLAG_EFFECTIVE):
            raise InvalidInput(f"{self.flags:#x} are not flags beside effective")

    @classmethod
    def decode(cls, value: bytes) -> FileCaps:
        """Read an attribute's value, of any revision.

        decode(encode(x)) == x
        """
        if len(value) < 4:
            raise InvalidInput(
                f"the security.capability attribute is cut short: {len(value)} of 4 bytes of its header"
            )
        (magic,) = struct.unpack_from("<I", value)
        revision, flags = magic >> _REVISION_SHIFT, magic & _FLAGS_MASK
        if revision not in _SIZES:
            raise InvalidInput(
                f"the security.capability attribute has the unknown revision {revision}; known are 1, 2, 3"
            )
        if len(value) != _SIZES[revision]:
            raise InvalidInput(
                f"the security.capability attribute of revision {revision} has {len(value)} bytes, not {_SIZES[revision]}"
            )
        permitted, inheritable = struct.unpack_from("<II", value, 4)
        if revision > 1:
            high_permitted, high_inheritable = struct.unpack_from("<II", value, 12)
            permitted |= high_permitted << 32
            inheritable |= high_inheritable << 32
        rootid = struct.unpack_from("<I", value, 20)[0] if revision == 3 else None
        effective = bool(flags & _FLAG_EFFECTIVE)
        return cls(Caps(permitted), Caps(inheritable), effective, rootid, flags & ~_FLAG_EFFECTIVE)

    def encode(self) -> bytes:
        """Revision 2, or 3 where there is a rootid, as setcap(8) and the kernel's cap_convert_nscap() write it."""
        revision = 2 if self.rootid is None else 3
        magic = revision << _REVISION_SHIFT | self.flags | (_FLAG_EFFECTIVE if self.effective else 0)
        words = [magic]
        for shift in (0, 32):
            words += [self.permitted.mask >> shift & 0xFFFFFFFF, self.inheritable.mask >> shift & 0xFFFFFFFF]
        if self.rootid is not None:
            words.append(self.rootid)
        return struct.pack(f"<{len(words)}I", *words)

    @classmethod
    def parse(cls, text: str) -> FileCaps:
        """What setcap(8) accepts, what getcap(8) prints, or names alone as Kubernetes has them, which means `=ep`."""
        before, found, rootid = text.rstrip().rpartition(_ROOTID)
        if found and re.fullmatch(r"[0-9]{1,10}\]", rootid) and _ROOTID not in before:
            return replace(cls.parse(before), rootid=int(rootid[:-1]))
        if not text.strip():
            raise InvalidInput("no capabilities given", "to remove a file's capabilities use `caplet strip`")
        if not re.search(r"[=+-]", text):
            caps = Caps.parse(text)
            return cls(permitted=caps, effective=bool(caps))
        return cls.of_sets(captext.from_text(text, captext.EVERY_SPELLING))

    @classmethod
    def of_sets(cls, sets: captext.Sets) -> FileCaps:
        """As setcap(8) stores three sets; it refuses an effective set that one bit cannot say."""
        if sets.effective and sets.effective != sets.permitted | sets.inheritable:
            raise InvalidInput(
                "effective file capabilities must be none, or just the permitted and inheritable ones",
                "a file has a single effective bit: write cap_chown,cap_kill=ep or cap_chown,cap_kill=p",
            )
        return cls(sets.permitted, sets.inheritable, bool(sets.effective))

    @property
    def sets(self) -> captext.Sets:
        """As libcap's cap_get_file(3) loads them."""
        both = self.permitted | self.inheritable
        return captext.Sets(both if self.effective else Caps(), self.inheritable, self.permitted)

    def __str__(self) -> str:
        text = captext.to_text(self.sets)
        # getcap says nothing of rootid 0 and -1 (`progs/getcap.c`, do_getcap).
        return text if self.rootid in (None, 0, _INVALID_ID) else f"{text} [rootid={self.rootid}]"
