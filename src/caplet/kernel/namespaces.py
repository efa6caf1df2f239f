# SPDX-License-Identifier: Apache-2.0
"""User namespaces: who made one, and which of its ids are which of the initial namespace's.

`struct user_namespace` of `include/linux/user_namespace.h`; user_namespaces(7).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from caplet.errors import InvalidInput

NO_ID = 0xFFFFFFFF
"""(uid_t)-1: no user and no group has it; setresuid(2) takes it for "leave as it is"."""

OVERFLOW_ID = 65534
"""What a process sees in place of an id that its namespace does not map: /proc/sys/kernel/overflowuid."""

MAX_EXTENTS = 340
"""UID_GID_MAP_MAX_EXTENTS."""


@dataclass(frozen=True, slots=True)
class Extent:
    """One line of /proc/PID/uid_map: `count` ids from `first` inside are those from `lower` outside."""

    first: int
    lower: int
    count: int

    def __post_init__(self) -> None:
        ends = self.first + self.count, self.lower + self.count
        if self.count < 1 or min(self.first, self.lower) < 0 or max(ends) > NO_ID:
            raise InvalidInput(f"{self.first} {self.lower} {self.count} is not a range of ids")

    def __str__(self) -> str:
        return f"{self.first} {self.lower} {self.count}"


@dataclass(frozen=True, slots=True)
class IdMap:
    """The extents of a namespace or of an idmapped mount; `down` goes towards the initial namespace."""

    extents: tuple[Extent, ...] = ()

    def __post_init__(self) -> None:
        if len(self.extents) > MAX_EXTENTS:
            raise InvalidInput(f"an id map has at most {MAX_EXTENTS} lines")
        for number, extent in enumerate(self.extents):
            if any(_overlap(extent, other) for other in self.extents[:number]):
                raise InvalidInput(f"the id map's line {extent} overlaps an earlier one")

    @classmethod
    def of(cls, *extents: tuple[int, int, int]) -> IdMap:
        return cls(tuple(Extent(*extent) for extent in extents))

    def down(self, inside: int) -> int | None:
        """map_id_down(): the outer id, None where nothing is mapped."""
        for extent in self.extents:
            if 0 <= inside - extent.first < extent.count:
                return extent.lower + inside - extent.first
        return None

    def up(self, outside: int) -> int | None:
        """map_id_up()."""
        for extent in self.extents:
            if 0 <= outside - extent.lower < extent.count:
                return extent.first + outside - extent.lower
        return None

    def below(self, inner: IdMap) -> IdMap | None:
        """`inner`, whose outer ids are inside this map, with this map's outer ids; None where a range is not inside.

        map_id_range_down(): a range must lie in one extent.
        """
        lowered = []
        for extent in inner.extents:
            first, last = self._extent(extent.lower), self._extent(extent.lower + extent.count - 1)
            if first is None or first is not last:
                return None
            lowered.append(Extent(extent.first, first.lower + extent.lower - first.first, extent.count))
        return IdMap(tuple(lowered))

    def _extent(self, inside: int) -> Extent | None:
        return next((extent for extent in self.extents if 0 <= inside - extent.first < extent.count), None)

    def __bool__(self) -> bool:
        return bool(self.extents)

    def __str__(self) -> str:
        return "\n".join(map(str, self.extents))


def _overlap(a: Extent, b: Extent) -> bool:
    return any(x < y + b.count and y < x + a.count for x, y in ((a.first, b.first), (a.lower, b.lower)))


IDENTITY = IdMap.of((0, 0, NO_ID))
"""Every id is itself: the initial namespace's."""

UNMAPPED = IdMap()
"""No id is mapped: a new namespace's, until its maps are written."""


@dataclass(frozen=True, slots=True)
class UserNamespace:
    """A user namespace. Two are the same when all fields are: give `name` where more than one is made alike."""

    parent: UserNamespace | None = None
    owner: int = 0
    """The effective user of the process that made it, who has every capability in it from the parent."""
    uid_map: IdMap = IDENTITY
    """Down to the initial namespace, not only to the parent."""
    gid_map: IdMap = IDENTITY
    setgroups: bool = True
    """What /proc/PID/setgroups says: `deny` for ever once an unprivileged user wrote the group map."""
    name: str = ""

    level: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "level", 0 if self.parent is None else self.parent.level + 1)

    @property
    def root(self) -> int | None:
        """Its uid 0, make_kuid(ns, 0); None where it maps none."""
        return self.uid_map.down(0)

    def within(self, ancestor: UserNamespace) -> bool:
        """in_userns(): whether this is `ancestor` or one of its descendants."""
        namespace: UserNamespace | None = self
        while namespace is not None and namespace.level > ancestor.level:
            namespace = namespace.parent
        return namespace == ancestor

    def is_root(self, uid: int) -> bool:
        """rootid_owns_currentns(): whether the id is uid 0 of this namespace or of one around it."""
        namespace: UserNamespace | None = self
        while namespace is not None:
            if namespace.uid_map.up(uid) == 0:
                return True
            namespace = namespace.parent
        return False


INITIAL = UserNamespace()
"""init_user_ns."""
