# SPDX-License-Identifier: Apache-2.0
"""Capabilities and sets of them: what `include/uapi/linux/capability.h` numbers and capabilities(7) describes.

A `Caps` is the kernel's kernel_cap_t: 64 bits, of which this version knows the names of 41. It keeps the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

MAX_BITS = 64
"""Bits of kernel_cap_t; libcap calls it __CAP_MAXBITS."""


class Cap(IntEnum):
    """One capability, by its number."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40

    @property
    def since(self) -> str:
        """The kernel version that brought it, as capabilities(7) says."""
        return _SINCE.get(self, "2.2")

    def __str__(self) -> str:
        return self.name


LAST_CAP = max(Cap)
"""CAP_LAST_CAP of the newest kernel known here (5.9 to 6.18); /proc/sys/kernel/cap_last_cap tells a machine's own."""

_SINCE = {
    Cap.MKNOD: "2.4",
    Cap.LEASE: "2.4",
    Cap.AUDIT_WRITE: "2.6.11",
    Cap.AUDIT_CONTROL: "2.6.11",
    Cap.SETFCAP: "2.6.24",
    Cap.MAC_OVERRIDE: "2.6.25",
    Cap.MAC_ADMIN: "2.6.25",
    Cap.SYSLOG: "2.6.37",
    Cap.WAKE_ALARM: "3.0",
    Cap.BLOCK_SUSPEND: "3.5",
    Cap.AUDIT_READ: "3.16",
    Cap.PERFMON: "5.8",
    Cap.BPF: "5.8",
    Cap.CHECKPOINT_RESTORE: "5.9",
}


@dataclass(frozen=True, slots=True)
class Caps:
    """A set of capabilities. `a - b` is the C code's `a & ~b`; `<=` is cap_issubset()."""

    mask: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.mask < 1 << MAX_BITS:
            raise InvalidInput(f"a capability set has {MAX_BITS} bits, not {self.mask:#x}")

    @classmethod
    def of(cls, *caps: int) -> Caps:
        mask = 0
        for cap in caps:
            if not 0 <= cap < MAX_BITS:
                raise InvalidInput(f"no capability has the number {cap}")
            mask |= 1 << cap
        return cls(mask)

    @classmethod
    def all(cls, last: int = LAST_CAP) -> Caps:
        """Every capability up to `last`: CAP_FULL_SET of the kernel whose CAP_LAST_CAP that is."""
        return cls((1 << last + 1) - 1)

    @classmethod
    def parse(cls, text: str) -> Caps:
        """A list as Kubernetes, Docker or libcap spell it: `NET_RAW`, `cap_net_raw`, `CAP_NET_RAW,CAP_CHOWN`, `ALL`, `none`, `41`.

        parse(str(x)) == x
        """
        words = re.split(r"[\s,]+", text.strip(" \t\r\n,"), flags=re.ASCII)
        result = cls()
        for word in filter(None, words):
            result |= _parse_word(word)
        return result

    def names(self) -> tuple[str, ...]:
        """Canonical names, in numerical order; a bit without a name is its number, as libcap writes it."""
        return tuple(cap.name if isinstance(cap, Cap) else str(cap) for cap in self)

    @property
    def unknown(self) -> Caps:
        """The bits without a name."""
        return self - KNOWN

    def __and__(self, other: Caps) -> Caps:
        return Caps(self.mask & other.mask)

    def __or__(self, other: Caps) -> Caps:
        return Caps(self.mask | other.mask)

    def __xor__(self, other: Caps) -> Caps:
        return Caps(self.mask ^ other.mask)

    def __sub__(self, other: Caps) -> Caps:
        return Caps(self.mask & ~other.mask)

    def __le__(self, other: Caps) -> bool:
        return not self.mask & ~other.mask

    def __lt__(self, other: Caps) -> bool:
        return self != other and self <= other

    def __ge__(self, other: Caps) -> bool:
        return other <= self

    def __gt__(self, other: Caps) -> bool:
        return other < self

    def __contains__(self, cap: int) -> bool:
        return bool(self.mask >> cap & 1)

    def __iter__(self) -> Iterator[Cap | int]:
        for number in range(self.mask.bit_length()):
            if self.mask >> number & 1:
                yield Cap(number) if number <= LAST_CAP else number

    def __len__(self) -> int:
        return self.mask.bit_count()

    def __bool__(self) -> bool:
        return self.mask != 0

    def __str__(self) -> str:
        return ",".join(self.names()) or "none"


NO_CAPS = Caps()
"""The empty set."""

KNOWN = Caps.all()
"""Every capability that has a name here."""

_ALL = "ALL"
_NONE = "NONE"
"""capsh(1) takes `none` for an empty list, and it is what str() gives."""


_LONGEST_WORTH_A_GUESS = 40
"""Twice the longest name; the search takes time with the square of the length."""


def nearest(word: str, names: Collection[str]) -> str:
    """`; did you mean X?`, or nothing where no name is near."""
    if len(word) > _LONGEST_WORTH_A_GUESS:
        return ""
    import difflib

    begun = [name for name in names if len(word) > 2 and name.startswith(word)]
    close = begun or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def bare(name: str) -> str:
    """A capability's name as `Cap` has it, however it is spelled: NET_RAW of `CAP_NET_RAW`, `net_raw`."""
    return name.upper().removeprefix("CAP_")


def _parse_word(word: str) -> Caps:
    name = bare(word)
    if name in Cap.__members__:
        return Caps.of(Cap[name])
    if name in (_ALL, _NONE):
        return KNOWN if name == _ALL else Caps()
    if re.fullmatch(r"[0-9]{1,2}", word) and int(word) < MAX_BITS:
        return Caps.of(int(word))
    raise InvalidInput(f"unknown capability {word[:80]!r}{nearest(name, Cap.__members__)}")
