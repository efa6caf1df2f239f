# SPDX-License-Identifier: Apache-2.0
"""Cause: what its file says of it. Found: a cause in one container."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from caplet.kernel.caps import NO_CAPS, Caps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from caplet.explain.explanation import Explanation, Step

SECTIONS = ("What you see", "Why", "Prove it", "Fix", "Where", "References")
"""Of each page, in that order."""

Weight = Literal["breaks", "hint"]
"""breaks: the container does not work as asked because of it. hint: worth knowing beside another cause or a working one."""


@dataclass(frozen=True, slots=True)
class Log:
    """A line that people see and search for."""

    pattern: str
    """A regular expression, matched anywhere in a line, in any case. Named groups: `program`, `capability`, `port`."""
    example: str
    """A line that it matches, verbatim from the field."""

    def match(self, line: str) -> re.Match[str] | None:
        return re.search(self.pattern, line, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Example:
    """A container that has the cause. It is a test as well: the cause must be found, and what is named as remedy must mend it."""

    title: str
    pod: str
    """YAML of a Pod whose only container is meant; `image` is never looked at."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path -> what is there. /bin/sh is there anyway.

    elf                       a static program
    elf cap_net_raw=ep        with capabilities, as text or as a raw attribute: `elf 0x0100`
    elf setuid                owned by root
    elf needs libx.so         dynamic; `along $ORIGIN/lib`, its run path, and capabilities may follow
    elf library               a shared library
    anything else             the text itself, executable: a script

    Of a text, capabilities stand behind the path: `/script.py cap_net_raw=ep`.
    """
    image: Mapping[str, object] = field(default_factory=dict)
    """The image's config: User, Entrypoint, Cmd, Env."""
    history: tuple[str, ...] = ()
    """Its build steps, as `docker history` shows them."""
    on: str = "containerd:1.7"
    then: tuple[tuple[str, ...], ...] = ()
    mended: bool = True
    """Some remedy makes it effective, or shows that it is not needed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A cause in one container."""

    cause: Cause
    message: str
    """One sentence with this container's names."""
    caps: Caps = NO_CAPS
    """Which capabilities it is about."""
    step: Step | None = None
    """Where it happens."""
    weight: Weight = "breaks"
    """The cause's, or less where this container can do without."""


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """See the module."""

    code: str
    """CAP102. Stable: a code is never given to something else."""
    name: str
    """The pattern that it finds: exec-eperm-bounding."""
    summary: str
    """One line."""
    find: Callable[[Explanation], Iterable[Found]]
    page: str | None = field(repr=False)
    """The module's docstring: a summary, then SECTIONS. None where Python runs with -OO."""
    logs: tuple[Log, ...] = ()
    examples: tuple[Example, ...] = ()
    weight: Weight = "breaks"

    def found(
        self, message: str, caps: Caps = NO_CAPS, step: Step | None = None, weight: Weight | None = None
    ) -> Found:
        return Found(self, message, caps, step, weight or self.weight)

    @property
    def text(self) -> str:
        """The page without the docstring's indentation."""
        return inspect.cleandoc(self.page or "")


def only_the_node_tells(explanation: Explanation) -> Iterable[Found]:
    """`find` of a cause that leaves no trace in Pod and image: its page and its log lines are all there is."""
    del explanation
    return ()
