# SPDX-License-Identifier: Apache-2.0
"""said_by(): what an image tells of a clue without its Pod, which is half of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.program import image_argv
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from caplet.causes.cause import Cause
    from caplet.explain.facts import ImageFacts
    from caplet.image.program import Link
    from caplet.why.candidate import Candidate

DEMANDING = frozenset({"CAP102", "CAP110"})
"""A file with an effective capability, where the bounding set lacks it."""
CARRYING = frozenset({"CAP103", "CAP104", "CAP115", "CAP116", "CAP128"})
"""A file with a capability, which has no effect."""
BARE = frozenset({"CAP101", "CAP107"})
"""A file without."""


def said_by(
    image: ImageFacts, programs: Sequence[str], candidates: Iterable[Candidate]
) -> tuple[tuple[str, ...], tuple[Cause, ...]]:
    """Sentences about the programs that the clues name, or about the entrypoint; and the candidates that it rules out."""
    candidates = tuple(candidates)
    if not candidates:
        return (), ()
    named = [one for one in programs if one]
    facts: list[str] = []
    links: list[Link] = []
    for argv in [(one,) for one in named] or _entrypoint(image):
        link = _file(image, argv)
        if link is None:
            facts.append(f"{argv[0]}: the image has no such program")
            continue
        facts.append(_sentence(argv[0], link))
        links.append(link)
    # Of an entrypoint it is not known whether it is the program that the line is about.
    whole = bool(named) and len(links) == len(facts)
    out = frozenset[str]() if not whole else frozenset.intersection(*map(_refuted, links))
    refuted = (one.cause for one in candidates if one.cause.code in out)
    return tuple(dict.fromkeys(facts)), tuple(dict.fromkeys(refuted))


def _entrypoint(image: ImageFacts) -> Iterator[tuple[str, ...]]:
    try:
        yield image_argv(image.config)
    except InvalidInput:
        return


def _file(image: ImageFacts, argv: tuple[str, ...]) -> Link | None:
    """The file whose capabilities count."""
    try:
        program = image.program(argv, image.config.env, image.config.working_dir or "/")
    except InvalidInput:
        return None
    return program.file if program.chain else None


def _demands(link: Link) -> bool:
    """Whether execve(2) fails where the bounding set lacks what the file carries; a broken attribute may fail too."""
    if link.caps is None:
        return False
    return not isinstance(link.caps, FileCaps) or (link.caps.effective and bool(link.caps.permitted))


def _refuted(link: Link) -> frozenset[str]:
    """What the file's attribute rules out where the line is about it."""
    caps = link.caps
    out: frozenset[str] = frozenset() if _demands(link) else DEMANDING
    if caps is None:
        return out | CARRYING | {"CAP109", "CAP129"}
    if not isinstance(caps, FileCaps):
        return out
    out |= {"CAP109"} | (frozenset() if caps.rootid else {"CAP115"})
    if not caps.permitted:
        return out
    return out | BARE | {"CAP129"}


def _sentence(name: str, link: Link) -> str:
    path = link.path.decode("utf-8", "replace")
    whose = name if name == path else f"{name} ({path})"
    caps = link.caps
    if caps is None:
        return (
            f"{whose} carries no file capability: it starts under any bounding set, and for a user other than root "
            "what the Pod adds has no effect on it (CAP101)"
        )
    if not isinstance(caps, FileCaps):
        return f"{whose} has a security.capability attribute that the kernel cannot read (CAP109)"
    names = ", ".join(caps.permitted.names())
    if _demands(link):
        return f"{whose} carries {caps}: it fails with EPERM wherever the Pod does not allow {names} (CAP102)"
    return f"{whose} carries {caps}: it starts under any bounding set"
