# SPDX-License-Identifier: Apache-2.0
"""What overlayfs shows of a stack of layers' directories.

Linux fs/overlayfs: namei.c (ovl_lookup), super.c (ovl_get_root). A directory over a directory merges and shows its own
metadata; anything else hides what is below; a character device 0/0 hides and is not seen; an opaque directory shows
only itself. An opaque mark on the root of a layer counts for nothing, since the roots are stacked without a look at it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.image import elsewhere
from caplet.image.divergence import Divergence
from caplet.image.entry import Kind
from caplet.image.node import Child, Directory, Node

if TYPE_CHECKING:
    from caplet.image.apply import Upper


def merge(base: Directory, upper: Upper) -> list[Divergence]:
    """Lays one layer over the stack below. `base` becomes the result and takes the layer's nodes over."""
    divergent: list[Divergence] = []
    if upper.root.opaque and base.children:
        divergent.append(Divergence(b"/", *elsewhere.OPAQUE_ROOT))
    _take_metadata(base, upper.root)
    stack = [(b"", base, upper.root.children)]
    while stack:
        path, below, names = stack.pop()
        for name, node in names.items():
            if isinstance(node, bytes):
                below.children[name] = node
                continue
            if node.is_whiteout:
                below.children.pop(name, None)
                continue
            if isinstance(node, Directory):
                under = below.children.get(name)
                note = _divergence(path + b"/" + name, node, under)
                if note is not None:
                    divergent.append(note)
                if isinstance(under, Directory) and not node.opaque:
                    stack.append((path + b"/" + name, node, node.children))
                    node.children = under.children
                elif upper.has_whiteouts:
                    drop_whiteouts(node)
            below.children[name] = node
    return divergent


def drop_whiteouts(root: Directory) -> None:
    """Takes away the devices that hide something, below which nothing is."""
    stack = [root]
    while stack:
        directory = stack.pop()
        for name, node in list(directory.children.items()):
            if isinstance(node, Directory):
                stack.append(node)
            elif isinstance(node, Node) and node.is_whiteout:
                del directory.children[name]


def _take_metadata(base: Directory, upper: Directory) -> None:
    base.layer = upper.layer


def _divergence(path: bytes, node: Directory, under: Child | None) -> Divergence | None:
    """What engines that extract into one directory, or that obey trusted attributes, see at this directory instead."""
    if node.implied and isinstance(under, Directory) and (node.mode, node.uid, node.gid) != (0o755, 0, 0):
        return Divergence(path, *elsewhere.RESET_DIRECTORY)
    if isinstance(under, Directory) and under.children:
        if node.smuggled_opaque and not node.opaque:
            return Divergence(
                path,
                ("docker", "podman"),
                "obey trusted.overlay.opaque in the layer: the lower files are hidden there",
            )
        if node.after_whiteout and not node.opaque:
            return Divergence(
                path,
                ("umoci", "buildkit native", "vfs"),
                "the layer removes this directory and makes it again: empty there, merged with the lower one here",
            )
    if node.implied_first and isinstance(under, Node) and under.kind is Kind.SYMLINK:
        return Divergence(
            path,
            ("umoci", "vfs"),
            f"put the files through the lower layer's link to {under.linkname.decode('utf-8', 'surrogateescape')}; "
            "here a real directory hides the link and what is behind it",
        )
    if node.implied_first and under is not None and not isinstance(under, Directory):
        return Divergence(path, *elsewhere.BELOW_A_FILE)
    return None
