# SPDX-License-Identifier: Apache-2.0
"""Where a path leads inside one layer's directory, by the rules with which containerd unpacks.

containerd resolves the parents of each entry with continuity's `fs.RootPath` (containerd/continuity fs/path.go), which
is not what the kernel would do: it cleans `..` as text, resolves one level of links a pass, and starts again until a
pass meets none. The result never leaves the root. What it gives for odd chains decides where a file lands, so its steps
are followed one by one here.
"""

from __future__ import annotations

from caplet.errors import InvalidInput
from caplet.image.entry import Kind
from caplet.image.node import Directory, Node, unpack

MAX_LINKS = 255
"""RootPath's bound (walkLink)."""

MAX_NAME = 255
"""Bytes of one component (NAME_MAX, include/uapi/linux/limits.h)."""

MAX_PATH = 4096
"""Bytes of a path with its NUL (PATH_MAX); containerd fails there because lstat(2) does."""

MAX_STEPS = 20_000_000
"""Components that one layer's names may lead through where links are on the way: some ten seconds. A million files below
linked directories take a tenth of it."""

MAX_KERNEL_LINKS = 40
"""The kernel's (MAXSYMLINKS, include/linux/namei.h)."""


def clean(path: bytes) -> bytes:
    """The path below the root as Go's filepath.Join("/", path) has it: absolute, no `.`, no `..`, no double slash."""
    parts: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/" + b"/".join(parts)


def join(directory: bytes, name: bytes) -> bytes:
    """Go's filepath.Join of two paths, cleaned as text; stays relative where the first is."""
    joined = directory + b"/" + name if directory else name
    if joined.startswith(b"/"):
        return clean(joined)
    parts: list[bytes] = []
    for part in joined.split(b"/"):
        if part == b".." and parts and parts[-1] != b"..":
            parts.pop()
        elif part not in (b"", b"."):
            parts.append(part)
    return b"/".join(parts)


def root_path(root: Directory, path: bytes, budget: StepBudget | None = None) -> bytes:
    """The absolute path inside the root that `path` leads to; it need not exist."""
    walked = _Walk(root)
    while True:
        before = walked.links
        found = walked.links_of(path)
        if budget is not None:
            budget.spend(path.count(b"/"))
        if walked.links == before and found == clean(found):
            if budget is not None:
                budget.links = walked.links
            return found
        path = clean(found) if walked.links == before else found


class StepBudget:
    """How many components a layer's names may lead through. Chains of links make a short name as long as they like."""

    def __init__(self) -> None:
        self._left = MAX_STEPS
        self.links = 0
        """Links that the last name led through."""

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise InvalidInput("the layer's symbolic links take too long to follow")


class _Walk:
    """One call of RootPath: its passes share the count of links."""

    def __init__(self, root: Directory) -> None:
        self.root = root
        self.links = 0

    def links_of(self, path: bytes) -> bytes:
        """One pass (walkLinks), without its recursion: each component's link is read once."""
        head, *rest = _steps(path)
        found: bytes
        node: Node | None
        if head == b"/":  # the root is not looked at, and not counted
            found, node = head, self.root
        else:
            found, node, _ = self._step(b"/", None, head)
        for name in rest:
            newpath, node, is_link = self._step(found, node, name)
            found = newpath if not is_link or newpath.startswith(b"/") else join(found, newpath)
        return found

    def _step(self, above: bytes, directory: Node | None, name: bytes) -> tuple[bytes, Node | None, bool]:
        """walkLink: (target, None, True) of a link; (absolute path, what is there, False) of anything else.

        `directory` is what stands at `above` where that is known: the path need not be walked from the root again.
        """
        if self.links > MAX_LINKS:
            raise InvalidInput("too many links")
        if directory is None or name in (b".", b".."):
            path = clean(join(above, name))
            found = lstat(self.root, path) if path != b"/" else self.root
        else:
            path = above.rstrip(b"/") + b"/" + name
            found = _below(directory, name, path)
        if found is None:
            return path, _NOTHING, False
        if found.kind is not Kind.SYMLINK:
            return path, found, False
        self.links += 1
        return found.linkname, None, True


_NOTHING = Directory(Kind.DIRECTORY, 0)
"""Stands where nothing is: below it is nothing either."""


def _below(directory: Node, name: bytes, path: bytes) -> Node | None:
    """The node of that name in what may be a directory."""
    if len(name) > MAX_NAME or len(path) >= MAX_PATH:
        raise InvalidInput("file name too long")
    if not isinstance(directory, Directory):
        raise InvalidInput("not a directory")
    found = directory.children.get(name)
    return unpack(found) if isinstance(found, bytes) else found


def _steps(path: bytes) -> list[bytes]:
    """The pieces that walkLinks goes through: an absolute path begins with b"/"."""
    parts = [part for part in path.split(b"/") if part]
    return [b"/", *parts] if path.startswith(b"/") else parts or [b""]


def lstat(root: Directory, path: bytes) -> Node | None:
    """Whatever the host's kernel finds at an absolute path below `root`, the last link not followed; None for ENOENT.

    The kernel follows links in the middle. One that is absolute, or climbs out, leads to the unpacking host's own files:
    nothing is known of them, and they count as not found.
    """
    pending = [part for part in reversed(path.split(b"/")) if part]
    trail = [root]
    links = 0
    while pending:
        name = pending.pop()
        if name == b".":
            continue
        if name == b"..":
            if len(trail) == 1:
                return None
            trail.pop()
            continue
        node = _below(trail[-1], name, path)
        if node is None or not pending:
            return node
        if isinstance(node, Directory):
            trail.append(node)
        elif node.kind is Kind.SYMLINK:
            links += 1
            if links > MAX_KERNEL_LINKS:
                raise InvalidInput("too many levels of symbolic links")
            if node.linkname.startswith(b"/"):
                return None
            pending.extend(part for part in reversed(node.linkname.split(b"/")) if part)
        else:
            raise InvalidInput("not a directory")
    return trail[-1]
