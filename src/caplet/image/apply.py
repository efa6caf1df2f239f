# SPDX-License-Identifier: Apache-2.0
"""One layer, unpacked in memory into a directory of its own, as containerd unpacks it for its overlay snapshotter.

containerd v2.3, pkg/archive/tar.go (applyNaive, createTarFile, mkparent, validateWhiteout), tar_opts_linux.go
(OverlayConvertWhiteout), tar_unix.go (setxattr, copyDirInfo), core/diff/apply/apply_linux.go. The order of its steps
is kept, because odd layers depend on it:

- the parents of an entry's name are resolved within this layer's directory alone (`rootpath`), so a link of a lower
  layer does not count: `bin/ping` above a lower `bin -> usr/bin` makes a real directory that hides the link;
- what an entry finds at its path is removed first, unless both are directories;
- each entry ends with chown, setxattr, chmod: on a hard link they act on the shared inode, and chown(2) takes its
  capability away (security/commoncap.c, cap_inode_killpriv);
- a whiteout becomes a character device 0/0, an opaque marker an attribute that overlayfs reads; but the lowest layer is
  a plain directory, where a whiteout just removes;
- a parent without an entry is made, with the owner, mode and attributes of the same directory in the nearest lower
  layer that has it; this last step waits (`inherit`) so that layers can be read side by side.

Whatever would fail there is refused here: no containerd node could start that image.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NoReturn

from caplet.errors import InvalidInput
from caplet.image import elsewhere
from caplet.image.divergence import Divergence
from caplet.image.entry import Entry, Kind
from caplet.image.node import (
    CAPABILITY,
    MAX_PLAIN_LAYER,
    MAX_PLAIN_SIZE,
    S_ISGID,
    S_ISUID,
    Child,
    Directory,
    Node,
    child,
    pack,
)
from caplet.image.rootpath import MAX_NAME, StepBudget, clean, join, lstat, root_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_PATH = 4096
"""Bytes of a path after cleaning (PATH_MAX). containerd's lstat(2) fails somewhat earlier: its own directory stands before
the path."""

MAX_DIRECTORY = MAX_PATH - MAX_NAME - 4
"""Any name fits behind a directory's path that is shorter."""

MAX_XATTR_NAME = 255
MAX_XATTR_VALUE = 65536
"""XATTR_NAME_MAX and XATTR_SIZE_MAX (include/uapi/linux/limits.h)."""

WHITEOUT = b".wh."
OPAQUE = b".wh..wh..opq"

_TRUSTED = b"trusted."
_USER = b"user."
_NAMESPACES = (b"security.", _USER, b"system.posix_acl_access", b"system.posix_acl_default")
"""What Linux file systems store; other names give EOPNOTSUPP, which containerd ignores."""

_UNCHANGED_ID = 0xFFFFFFFF
"""chown(2): -1 leaves the id."""

_MAX_TIME = (1 << 63) - 1

_HARDLINK, _GLOBAL = Kind.HARDLINK, Kind.GLOBAL
"""Entries that other engines may see differently, beside those with attributes and those that climb."""

_SPECIAL = frozenset({b"", b".", b".."})
"""Last components that do not say what an entry is called."""

MAX_NOTES = 256
"""Notes of one layer. Real layers have none; a hostile one has as many as entries."""


MAX_METADATA = 256 << 20
"""Bytes that an image's directories, links, devices and attributes may take in memory: a million directories' worth is
twice that. A name of 4 KiB makes 2,000 directories, and an entry may carry 1 MiB of attributes."""

_DIRECTORY_SIZE, _NODE_SIZE, _ATTRIBUTE_SIZE = 600, 300, 120
"""About what each takes, its content apart (CPython 3.11, 64 bits)."""


class MemoryBudget:
    """Counts what the layers of one image take."""

    def __init__(self) -> None:
        self._left = MAX_METADATA

    def spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise InvalidInput(
                f"the image's directories, links and attributes take more than {MAX_METADATA >> 20} MiB of memory"
            )


class Upper:
    """The directory of one layer. `apply` it, then `inherit` from the layers below, lowest layer first."""

    def __init__(self, layer: int, memory: MemoryBudget | None = None) -> None:
        self._memory = memory or MemoryBudget()
        self.root = Directory(Kind.DIRECTORY, 0o755, layer=layer)
        self.layer = layer
        self.lowest = layer == 0
        self.has_whiteouts = False
        self.divergent: list[Divergence] = []
        self.entries = 0
        self.implied: list[tuple[bytes, Directory]] = []
        """Path and directory of each parent that was made without an entry, in a layer above the lowest."""
        self.linked: list[tuple[int, Node]] = []
        """Which entry is a hard link to which inode."""
        self._groupless: list[tuple[Node, Directory]] = []
        self._times: list[tuple[bytes, int]] = []
        self._removed: set[bytes] = set()
        """Paths that entries named and others removed (lowest layer only)."""
        self._names_may_lead_elsewhere = False
        """Something was removed, or stood behind a link: a directory's name may not lead to it any more."""
        self._steps = StepBudget()
        self._written: bytes | None = None
        """The current directory as the last entry wrote it; None where the next name needs a closer look."""
        self._entered = b""
        """The current directory as a cleaned path."""
        self._parent = self.root
        self._parent_path = b""
        """Where `_parent` is, its links resolved; "" for the root."""
        self._noted: set[elsewhere.Note] = set()
        """What was noted once, and is not said of another path."""

    def apply(self, entries: Iterable[Entry]) -> None:
        """Unpacks all entries, then sets the directories' times."""
        for entry in entries:
            try:
                self._apply(entry)
            except InvalidInput as error:
                raise InvalidInput(f"{_shown(entry.name)}: {error.message}", error.hint) from None
            self.entries += 1
        self._set_times()

    def _apply(self, entry: Entry) -> None:
        written, _, base = entry.name.rpartition(b"/")
        if written != self._written or base in _SPECIAL or len(base) > MAX_NAME:
            base = self._find_parent(entry.name, written, base)
        kind = entry.kind
        if entry.xattrs or not base or kind is _HARDLINK or kind is _GLOBAL or b".." in entry.name:
            for note in elsewhere.notes(entry):
                self._note(clean(entry.name), note, once=True)
        if not base:
            return  # the root itself, whose metadata no layer changes
        parent = self._parent
        if base.startswith(WHITEOUT):
            self._whiteout(parent, base, entry)
            return
        existing = parent.children.get(base)
        if existing is None:
            self._create(parent, base, entry)
            return
        if kind is not _GLOBAL and _is_named(existing):
            self._note(clean(entry.name), elsewhere.DUPLICATE, once=True)
        if not (kind is Kind.DIRECTORY and isinstance(existing, Directory)):
            self._remove(parent, base, self._parent_path)
        self._create(parent, base, entry)
        if kind is Kind.DIRECTORY and isinstance(existing, Node) and existing.is_whiteout:
            made = parent.children[base]
            assert isinstance(made, Directory)
            made.after_whiteout = True

    # Parents

    def _find_parent(self, name: bytes, written: bytes, last: bytes) -> bytes:
        """Makes the directory of `name` the current one; returns what the entry is called, nothing for the root."""
        directory, base = _split(name)
        if not base:
            return base
        if (len(base) > MAX_NAME and not base.startswith(WHITEOUT)) or len(directory) + len(
            base
        ) + 2 > MAX_PATH:
            _fail("the file name is too long for Linux", "ENAMETOOLONG")
        if directory != self._entered:
            self._enter(directory)
        self._written = written if base == last and len(directory) < MAX_DIRECTORY else None
        return base

    def _enter(self, directory: bytes) -> None:
        """Finds the directory that an entry's name says, through this layer's links, and makes what is missing."""
        parent = self.root
        names = directory.lstrip(b"/")
        for name in names.split(b"/") if names else ():
            found = parent.children.get(name)
            if not isinstance(found, Directory):
                self._names_may_lead_elsewhere |= found is not None
                self._enter_slowly(directory)
                return
            parent = found
        self._entered, self._parent, self._parent_path = directory, parent, b"/" + names if names else b""

    def _enter_slowly(self, directory: bytes) -> None:
        path = root_path(self.root, directory, self._steps)
        made = False
        parent = self.root
        at = b""
        for name in path.split(b"/"):
            if not name:
                continue
            at += b"/" + name
            found = parent.children.get(name)
            if found is None:
                found, made = self._imply(parent, name, at), True
            if not isinstance(found, Directory):
                _fail(f"{_shown(at)} is not a directory", "ENOTDIR")
            parent = found
        if made and path != clean(directory):
            self._note(clean(directory), elsewhere.LEADS_NOWHERE)
        for note in elsewhere.many_links(self._steps.links):
            self._note(clean(directory), note, once=True)
        self._entered, self._parent, self._parent_path = directory, parent, at

    def _imply(self, parent: Directory, name: bytes, path: bytes) -> Directory:
        if len(name) > MAX_NAME:
            _fail("the file name is too long for Linux", "ENAMETOOLONG")
        self._memory.spend(_DIRECTORY_SIZE + len(name))
        gid = parent.gid if parent.mode & S_ISGID else 0
        made = Directory(Kind.DIRECTORY, 0o755, gid=gid, layer=self.layer, implied=True, implied_first=True)
        if parent.implied:
            made.implied_in = parent
        made.seen_before = path in self._removed
        parent.children[name] = made
        if not self.lowest:
            self.implied.append((path, made))
        return made

    # Removal

    def _whiteout(self, parent: Directory, base: bytes, entry: Entry) -> None:
        if base == OPAQUE:
            if self.lowest:
                self._remove_unnamed(parent, self._parent_path)
                return
            if parent.opaque:
                self._note(clean(entry.name), elsewhere.DUPLICATE, once=True)
            parent.opaque = True
            return
        hidden = base[len(WHITEOUT) :]
        if hidden in (b"", b".", b".."):
            _fail("the whiteout names its own or the parent directory", "invalid whiteout name")
        if len(hidden) > MAX_NAME:
            _fail("the file name is too long for Linux", "ENAMETOOLONG")
        if self.lowest:
            if hidden in parent.children:
                self._note(self._parent_path + b"/" + hidden, elsewhere.REMOVED_AGAIN)
                self._remove(parent, hidden, self._parent_path)
            return
        if hidden in parent.children:
            _fail("the layer adds a file and then removes it", "mknod: EEXIST")
        self.has_whiteouts = True
        parent.children[hidden] = Node(
            Kind.CHAR, 0, _owner(entry.uid, 0), _owner(entry.gid, 0), layer=self.layer, entry=self.entries
        )

    def _remove(self, parent: Directory, name: bytes, path: bytes) -> None:
        """os.RemoveAll of a name in the directory at `path`."""
        removed = parent.children.pop(name)
        self._names_may_lead_elsewhere = True
        if self.lowest:
            self._remember(removed, path + b"/" + name)
        if isinstance(removed, bytes):
            return
        if removed.kind in (Kind.DIRECTORY, Kind.SYMLINK):
            self._written = None
            self._entered, self._parent, self._parent_path = b"", self.root, b""
        stack: list[Node] = [removed]
        while stack:
            node = stack.pop()
            node.links -= 1
            if isinstance(node, Directory):
                stack.extend(inner for inner in node.children.values() if not isinstance(inner, bytes))

    def _remember(self, removed: Child, path: bytes) -> None:
        """An opaque marker spares every path that an entry has named, removed or not (unpackedPaths)."""
        stack = [(removed, path)]
        while stack:
            node, at = stack.pop()
            if not isinstance(node, Directory):
                self._removed.add(at)
                continue
            if not node.implied or node.seen_before:
                self._removed.add(at)
            stack.extend((inner, at + b"/" + name) for name, inner in node.children.items())

    def _remove_unnamed(self, directory: Directory, path: bytes) -> None:
        """An opaque marker in the lowest layer removes what no entry has named so far."""
        for name, node in list(directory.children.items()):
            if not isinstance(node, Directory):
                continue
            if node.implied and not node.seen_before:
                self._note(path + b"/" + name, elsewhere.OPAQUE_LOWEST)
                self._remove(directory, name, path)
            else:
                self._remove_unnamed(node, path + b"/" + name)

    # Creation

    def _create(self, parent: Directory, base: bytes, entry: Entry) -> None:
        kind = entry.kind
        if kind is Kind.FILE:
            self._create_file(parent, base, entry)
            return
        if kind is Kind.GLOBAL:
            return
        if kind is Kind.DIRECTORY:
            node: Node = self._create_directory(parent, base, entry)
        elif kind is Kind.HARDLINK:
            self._link(parent, base, entry)
            return
        elif kind is Kind.SYMLINK:
            if not entry.linkname or len(entry.linkname) >= MAX_PATH:
                _fail("a symbolic link needs a target of 1 to 4095 bytes", "symlink: ENOENT or ENAMETOOLONG")
            node = self._new(parent, base, entry)
            node.mode = 0o777
            node.linkname = entry.linkname
        elif kind is Kind.OTHER:
            _fail(f"type flag {bytes([entry.typeflag])!r}", "unhandled tar header type")
        else:
            node = self._new(parent, base, entry)
            node.devmajor, node.devminor = _device(entry)
            self.has_whiteouts |= node.is_whiteout
        if entry.xattrs:
            self._memory.spend(sum(_ATTRIBUTE_SIZE + len(value) for value in entry.xattrs.values()))
            _set_xattrs(node, entry)

    def _create_file(self, parent: Directory, base: bytes, entry: Entry) -> None:
        mode = entry.mode & 0o7777
        uid, gid, mtime = entry.uid, entry.gid, entry.mtime
        if (
            not entry.xattrs
            and not mode & (S_ISUID | S_ISGID)
            and 0 <= uid < _UNCHANGED_ID
            and 0 <= gid < _UNCHANGED_ID
            and 0 <= mtime <= _MAX_TIME
            and entry.size < MAX_PLAIN_SIZE
            and self.layer < MAX_PLAIN_LAYER
        ):
            parent.children[base] = pack(mode, uid, gid, entry.size, mtime, self.entries, self.layer)
            return
        node = self._new(parent, base, entry)
        if entry.xattrs:
            self._memory.spend(sum(_ATTRIBUTE_SIZE + len(value) for value in entry.xattrs.values()))
            _set_xattrs(node, entry)

    def _new(self, parent: Directory, base: bytes, entry: Entry) -> Node:
        self._memory.spend(_NODE_SIZE + len(base) + len(entry.linkname))
        node = Node(
            entry.kind,
            entry.mode & 0o7777,
            _owner(entry.uid, 0),
            _owner(entry.gid, parent.gid if parent.mode & S_ISGID else 0),
            entry.size if entry.kind is Kind.FILE else 0,
            _bounded(entry.mtime),
            self.layer,
            self.entries,
        )
        parent.children[base] = node
        self._inherit_group(node, parent, entry)
        return node

    def _inherit_group(self, node: Node, parent: Directory, entry: Entry) -> None:
        """Where chown(2) leaves the group, it is that of a set-group-ID directory, which an implied one may yet become."""
        if parent.implied and entry.gid & 0xFFFFFFFF == _UNCHANGED_ID:
            self._groupless.append((node, parent))

    def _create_directory(self, parent: Directory, base: bytes, entry: Entry) -> Directory:
        found = parent.children.get(base)
        if isinstance(found, Directory):
            node = found
        else:
            self._memory.spend(_DIRECTORY_SIZE + len(base))
            gid = parent.gid if parent.mode & S_ISGID else 0
            node = Directory(Kind.DIRECTORY, 0o755, gid=gid, layer=self.layer)
            parent.children[base] = node
            self._inherit_group(node, parent, entry)
        node.implied = False
        node.mode = entry.mode & 0o7777
        node.uid, node.gid = _owner(entry.uid, node.uid), _owner(entry.gid, node.gid)
        node.mtime = _bounded(entry.mtime)
        node.entry = self.entries
        node.smuggled_opaque = entry.xattrs.get(b"trusted.overlay.opaque") == b"y"
        self._times.append((join(b"", entry.name), node.mtime))
        return node

    def _link(self, parent: Directory, base: bytes, entry: Entry) -> None:
        node = self._target(entry.linkname)
        before = _powers(node)
        parent.children[base] = node
        self.linked.append((self.entries, node))
        node.links += 1
        node.uid, node.gid = _owner(entry.uid, node.uid), _owner(entry.gid, node.gid)
        node.mtime = _bounded(entry.mtime)
        if node.kind is not Kind.SYMLINK:
            node.mode = entry.mode & 0o7777
        # An empty attribute stays: cap_inode_need_killpriv() asks for one with a size above 0.
        lost = node.xattrs.pop(CAPABILITY) if node.xattrs.get(CAPABILITY) else None
        _set_xattrs(node, entry)
        if lost and CAPABILITY not in node.xattrs:
            self._note(clean(entry.name), elsewhere.LOST_CAPABILITY)
        elif _powers(node) != before:
            self._note(clean(entry.name), elsewhere.LINKED_METADATA)

    def _target(self, linkname: bytes) -> Node:
        """The inode that a hard link joins: its last component is not followed (hardlinkRootPath)."""
        directory, slash, base = linkname.rpartition(b"/")
        path = root_path(self.root, directory + slash, self._steps)
        if base:
            path = clean(path + b"/" + base)
        node = self._standing(path)
        if node is None:
            _fail(f"the hard link's target {_shown(linkname)} is not in the layer", "link: ENOENT")
        if isinstance(node, Directory):
            _fail(f"the hard link's target {_shown(linkname)} is a directory", "link: EPERM")
        return node

    def _standing(self, path: bytes) -> Node | None:
        """The node at a path, where it stands: a change of it lasts."""
        above, _, name = path.rpartition(b"/")
        parent = lstat(self.root, above)
        if isinstance(parent, Directory) and name:
            return child(parent, name)
        return lstat(self.root, path)

    def _set_times(self) -> None:
        """Directories get their times last, by name: whatever then stands there gets it."""
        if not self._names_may_lead_elsewhere:
            return
        for name, mtime in self._times:
            node = self._standing(root_path(self.root, name))
            if node is None:
                _fail(f"{_shown(name)}: the layer adds a directory and then removes it", "utimensat: ENOENT")
            node.mtime = mtime

    def _note(self, path: bytes, note: elsewhere.Note, *, once: bool = False) -> None:
        """Remembers what other engines do; `once`: it is about the layer, and one path is enough."""
        if (once and note in self._noted) or len(self.divergent) >= MAX_NOTES:
            return
        self._noted.add(note)
        self.divergent.append(Divergence(path, *note))

    # Lower layers

    def inherit(self, lowers: Sequence[Directory]) -> None:
        """Gives the implied directories what they have in the layers below, nearest first (mkparent)."""
        for path, made in self.implied:
            try:
                inherit_one(path, made, lowers)
            except InvalidInput as error:
                raise InvalidInput(f"{_shown(path)}: {error.message}", error.hint) from None
        self.implied.clear()
        for node, parent in self._groupless:
            if parent.born[0] & S_ISGID:
                node.gid = parent.born[1]


def inherit_one(path: bytes, made: Directory, lowers: Iterable[Directory]) -> None:
    """What mkparent copies to a directory it makes: owner, mode, time and attributes of the nearest lower one."""
    for lower in lowers:
        node = lstat(lower, root_path(lower, path))
        if node is None:
            continue
        if not isinstance(node, Directory):
            break
        made.born = (node.mode, node.gid)
        if made.implied:
            made.mode, made.uid, made.gid, made.mtime = node.mode, node.uid, node.gid, node.mtime
        if node.xattrs.get(CAPABILITY) == b"":
            _fail("the directory below it has an empty security.capability", "copyUpXAttrs: getxattr: EINVAL")
        made.xattrs = {**node.xattrs, **made.xattrs}
        return
    if made.implied_in is not None and made.implied and made.implied_in.born[0] & S_ISGID:
        made.gid = made.implied_in.born[1]


def _split(name: bytes) -> tuple[bytes, bytes]:
    """(directory, last component) of a cleaned name; an empty component for the root.

    The directory begins with a slash where the name did, or climbs: RootPath does not follow links alike in both.
    """
    rooted = b""
    if name.startswith(b"./"):
        name = name[2:]
    if b"/." in name or b"//" in name or name.startswith((b"/", b".")):
        rooted = b"/" if join(b"", name).startswith((b"/", b"../")) else b""
        name = clean(name)[1:]
    directory, _, base = name.rstrip(b"/").rpartition(b"/")
    return rooted + directory, base


def _owner(number: int, unchanged: int) -> int:
    """What lchown(2) makes of it: 32 bits, and -1 leaves the owner."""
    number &= 0xFFFFFFFF
    return unchanged if number == _UNCHANGED_ID else number


def _bounded(mtime: int) -> int:
    return mtime if 0 <= mtime <= _MAX_TIME else 0


def _device(entry: Entry) -> tuple[int, int]:
    """The numbers that mknod(2) keeps of them: 12 and 20 bits (new_decode_dev)."""
    if entry.kind is Kind.FIFO:
        return 0, 0
    return entry.devmajor & 0xFFF, entry.devminor & 0xFFFFF


def _set_xattrs(node: Node, entry: Entry) -> None:
    """Lsetxattr of each attribute; what the kernel refuses with anything but ENOTSUP refuses the layer."""
    for name, value in entry.xattrs.items():
        if name.startswith(_TRUSTED):
            continue
        if not name or len(name) > MAX_XATTR_NAME:
            _fail("an extended attribute with a name of no or over 255 bytes", "setxattr: ERANGE")
        if len(value) > MAX_XATTR_VALUE:
            _fail(f"the attribute {_shown(name)} has {len(value)} bytes", "setxattr: E2BIG")
        if name in (b"security.", _USER):
            _fail(f"the attribute {_shown(name)} has no name", "setxattr: EINVAL")
        if not name.startswith(_NAMESPACES):
            continue
        if name.startswith(_USER) and node.kind not in (Kind.FILE, Kind.DIRECTORY):
            continue
        if name == CAPABILITY:
            _check_capability(value)
        node.xattrs[name] = value


def _powers(node: Node) -> tuple[object, ...]:
    """What a program from this file may gain."""
    ids = node.mode & (S_ISUID | S_ISGID)
    return (ids, node.uid if ids else 0, node.gid if ids else 0, node.xattrs.get(CAPABILITY))


def _is_named(node: Child) -> bool:
    """Whether an entry of its own made it, and no whiteout."""
    if isinstance(node, Directory):
        return not node.implied
    return isinstance(node, bytes) or not node.is_whiteout


def _check_capability(value: bytes) -> None:
    """What setxattr(2) accepts (security/commoncap.c, validheader): revision 2 or 3 of exact size, or no bytes at all."""
    if not value:
        return
    magic = struct.unpack("<I", value[:4])[0] if len(value) >= 4 else 0
    nobody = (
        value[20:] == b"\xff\xff\xff\xff"
    )  # as root of a user namespace: uid_valid() in cap_convert_nscap()
    if (len(value), magic & ~1) in ((20, 0x02000000), (24, 0x03000000)) and not nobody:
        return
    _fail(
        f"the kernel refuses this security.capability: {len(value)} bytes, revision {magic >> 24}, {value[:24].hex()}",
        "setxattr: EINVAL",
    )


def _fail(what: str, how: str) -> NoReturn:
    raise InvalidInput(what, f"No containerd node can unpack this image: {how}.")


def _shown(name: bytes) -> str:
    if len(name) > 200:
        name = name[:100] + b"..." + name[-90:]
    return name.decode("utf-8", "surrogateescape")
