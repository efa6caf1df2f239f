# SPDX-License-Identifier: Apache-2.0
"""What other engines make of an entry that containerd unpacks: they refuse its layer, or store something else.

Seen with Docker 20.10.24 (overlay2) and moby/go-archive v0.3.3 (Docker since 2026), Podman 4.3.1 (containers/storage,
drivers overlay and vfs) and umoci 0.4.7, each given the layer. Here is what a single entry tells; what depends on what
stands around it is noted where that is known (`apply`, `overlay`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.image.entry import Entry, Kind
from caplet.image.node import CAPABILITY
from caplet.image.rootpath import clean, join

if TYPE_CHECKING:
    from collections.abc import Iterator

Note = tuple[tuple[str, ...], str]
"""Engines, and what they do."""

STORED = (b"security.", b"user.", b"system.posix_acl_access", b"system.posix_acl_default", b"trusted.")
"""Attributes that Linux file systems store for root; of other names setxattr(2) says EOPNOTSUPP."""

_OVERLAY = (b"redirect", b"metacopy", b"whiteout")
"""Marks of overlayfs (Documentation/filesystems/overlayfs.rst) that show another file, or none. `opaque` is in `overlay`."""

_MAX_KERNEL_LINKS = 40
"""MAXSYMLINKS (include/linux/namei.h)."""
_MAX_ROOT_LINKS = 8
"""Of Go's os.Root (src/os/root.go, rootMaxSymlinks)."""

_AUFS = b"/.wh..wh."

BELOW_A_FILE: Note = (
    ("umoci", "vfs"),
    "refuse the layer: a name leads below a file of a lower layer, which a directory replaces here",
)
RESET_DIRECTORY: Note = (
    ("docker", "podman"),
    "give the directory mode 0755 and owner root: the layer has files in it and no entry for it; here it stays as below",
)
"""moby pkg/archive (ImpliedDirectoryMode), containers/storage; containerd too where it unpacks layers in parallel."""
LEADS_NOWHERE: Note = (
    ("docker", "podman"),
    "refuse the layer where a name leads through its own link to a directory that is not in it",
)
LOST_CAPABILITY: Note = (
    ("umoci", "podman"),
    "keeps the capability that the file's own entry has; here its hard link's entry, which has none, takes it away",
)
LINKED_METADATA: Note = (
    ("umoci",),
    "leaves the file as its own entry has it; here its hard link's entry sets mode, owner and attributes anew",
)
OPAQUE_ROOT: Note = (
    ("umoci", "vfs"),
    "hide all lower layers: the root directory is marked opaque, which overlayfs does not look at",
)
OPAQUE_LOWEST: Note = (
    ("docker", "podman", "umoci"),
    "keep the files of the lowest layer that an opaque marker behind them removes here",
)
REMOVED_AGAIN: Note = (
    ("docker", "podman", "umoci"),
    "refuse the layer (docker, podman) or keep the file (umoci): the lowest layer adds it and then removes it",
)
DUPLICATE: Note = (
    ("docker", "podman", "skopeo"),
    "refuse the layer where they check for duplicate paths; this path is",
)


def notes(entry: Entry) -> Iterator[Note]:
    """What the entry alone tells."""
    if climbs(entry.name):
        yield ("docker",), "refuses the layer since go-archive 0.3 (2026): the name climbs out of the root"
    if entry.kind is Kind.GLOBAL:
        yield ("umoci",), "refuses the layer: it has a global PAX header"
        return
    if entry.kind is not Kind.DIRECTORY and clean(entry.name) == b"/":
        yield ("podman", "umoci"), "refuse the layer: the entry would replace the root directory"
    if b"/" in entry.name and clean(entry.name).startswith(_AUFS):
        yield ("vfs",), "leaves out what is below the root in directories of aufs (.wh..wh.*)"
    if entry.kind is Kind.HARDLINK and climbs(entry.linkname):
        yield (
            ("docker",),
            "refuses the layer since go-archive 0.3 (2026): the hard link's target climbs out of the root",
        )
    if entry.xattrs:
        yield from _attributes(entry)


def many_links(links: int) -> Iterator[Note]:
    """What a name that leads through so many links of its layer tells."""
    if links > _MAX_KERNEL_LINKS:
        yield ("docker", "podman"), "refuse the layer: a name leads through more than 40 links"
    elif links > _MAX_ROOT_LINKS:
        yield (
            ("docker",),
            "refuses the layer since go-archive 0.3 (2026): a name leads through more than 8 links",
        )


def climbs(name: bytes) -> bool:
    """Whether the cleaned name still begins with `..`."""
    return b".." in name and join(b"", name.lstrip(b"/")).split(b"/")[0] == b".."


def _attributes(entry: Entry) -> Iterator[Note]:
    if CAPABILITY in entry.xattrs:
        if entry.kind is Kind.SYMLINK:
            yield ("docker",), "gives the link's capability to its target since go-archive 0.3 (2026)"
        elif not entry.xattrs[CAPABILITY]:
            yield (
                ("docker", "podman", "umoci"),
                "do not store an attribute without content: there the program starts",
            )
    if any(b"trusted.overlay." + mark in entry.xattrs for mark in _OVERLAY):
        yield ("docker", "podman"), "obey the marks of overlayfs that the layer brings (trusted.overlay.*)"
    if any(b"user.overlay." + mark in entry.xattrs for mark in (*_OVERLAY, b"opaque")):
        yield ("rootless engines",), "obey the marks of overlayfs that the layer brings (user.overlay.*)"
    if not all(name.startswith(STORED) for name in entry.xattrs):
        yield (
            ("docker",),
            "refuses the layer since 23: the file system does not store one of the entry's attributes",
        )
