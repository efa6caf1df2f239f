# SPDX-License-Identifier: Apache-2.0
"""Where a capability went missing on the way from `capabilities.add` to the last program: one place for each.

Read off the sets before and after each step of an Explanation. Each place is answered by one cause, so that no loss has two.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from caplet.causes.words import listed, program
from caplet.kernel.caps import NO_CAPS, Cap, Caps, bare
from caplet.kernel.filecaps import FileCaps
from caplet.runtimes import containerd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from caplet.causes.cause import Weight
    from caplet.explain.explanation import Explanation, Step

    _Placed: TypeAlias = Callable[[Explanation, int], tuple["Place", Step]]


class Place(Enum):
    """Where, and so why."""

    # not in the bounding set of the process that the OCI runtime makes
    MISSPELLED = auto()
    """Its name in `add` is none that the runtime knows."""
    DROPPED = auto()
    """It is in `add` and in `drop`."""
    ALL_DROPPED = auto()
    """`add: [ALL]` beside `drop: [ALL]`."""
    ENGINE_LACKS = auto()
    """It was asked for, and the engine does not know it."""
    OTHER_DEFAULT = auto()
    """Nobody asked: other engines give it by default."""
    NOT_ASKED = auto()
    """Nobody asked, or it was dropped."""

    # the last program's file carries it
    CHOWNED = auto()
    """The root file system was copied for the Pod's user namespace, without attributes."""
    DISCARDED = auto()
    """The OCI runtime's own kernel does not honour file capabilities here."""
    FOREIGN = auto()
    """The attribute is for another user namespace."""
    NOT_EFFECTIVE = auto()
    """Permitted, and effective when the program raises it."""
    BOUNDING_ONLY = auto()
    """The engine left it in the bounding set alone, and no_new_privs keeps it there."""
    WRAPPER = auto()
    """A program before it lost it, and no_new_privs keeps it lost."""
    INHERITABLE_FILE = auto()
    """The file carries it inheritable, and nothing is inherited."""

    # the last program's file does not carry it
    PRIVILEGED = auto()
    """`privileged: true` and a user other than root."""
    AMBIENT_CLEARED = auto()
    """It was ambient until a file with an attribute was executed."""
    SWITCH = auto()
    """A change of the user took it."""
    ON_WRAPPER = auto()
    """A program before it carries it; the last one does not."""
    ON_SCRIPT = auto()
    """The script's file carries it; the interpreter's counts."""
    PLAIN = auto()
    """Nothing on the way carries it, and the user is not root."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Capabilities that went missing in the same place."""

    place: Place
    caps: Caps
    step: Step

    @property
    def names(self) -> str:
        return listed(self.caps)

    @property
    def path(self) -> str:
        """Of the step's program."""
        return program(self.step)

    @property
    def carried(self) -> str:
        """What that file carries, as getcap prints it."""
        caps = self.step.program.file.caps if self.step.program is not None else None
        return str(caps) if isinstance(caps, FileCaps) else "nothing"


LATELY = 16
"""Explanations whose losses are remembered: every cause asks for those of the same one."""


@functools.lru_cache(maxsize=LATELY)
def losses(explanation: Explanation) -> tuple[Loss, ...]:
    """Of a container that starts: what its last program should have in effect and has not."""
    if explanation.failed is not None or not explanation.executions or explanation.doubts:
        return ()
    if explanation.changed_by_setcap:
        return ()  # what the files carry then is not what the image says
    return _grouped(explanation, missed(explanation), _place)


@functools.lru_cache(maxsize=LATELY)
def denials(explanation: Explanation) -> tuple[Loss, ...]:
    """Of a program that does not start: what its file demands and the bounding set lacks."""
    failed = explanation.failed
    if failed is None or failed.arithmetic is None or failed.program is None:
        return ()
    return _grouped(explanation, failed.arithmetic.missing, lambda one, cap: (_not_granted(one, cap), failed))


def missed(explanation: Explanation) -> Caps:
    """What is asked for, what a port needs, and what the last file would give; less what is in effect."""
    ports = Caps.of(Cap.NET_BIND_SERVICE) if explanation.closed_ports else NO_CAPS
    return explanation.lost | (ports | _promised(explanation)) - explanation.held


def needed(explanation: Explanation, caps: Caps) -> Weight:
    """breaks, if the container misses some of them; hint, if it can do without all of them on this node."""
    ports = Caps.of(Cap.NET_BIND_SERVICE) if explanation.closed_ports else NO_CAPS
    wanted = (explanation.lost - explanation.needless) | ports
    return "breaks" if caps & wanted else "hint"


def _promised(explanation: Explanation) -> Caps:
    """What the last program's file carries effective, and the container allows."""
    last, created = explanation.executions[-1], explanation.created
    file = None if last.program is None else last.program.file.caps
    if not isinstance(file, FileCaps) or not file.effective or created is None:
        return NO_CAPS
    return file.permitted & created.caps.bounding


def _grouped(explanation: Explanation, caps: Caps, placed: _Placed) -> tuple[Loss, ...]:
    found: dict[tuple[Place, int], Loss] = {}
    for cap in caps:
        place, step = placed(explanation, cap)
        earlier = found.get((place, id(step)))
        together = Caps.of(cap) | (earlier.caps if earlier else NO_CAPS)
        found[place, id(step)] = Loss(place, together, step)
    return tuple(found.values())


def _place(explanation: Explanation, cap: int) -> tuple[Place, Step]:
    created, first = explanation.steps[0].after, explanation.steps[0]
    assert created is not None
    if explanation.container.security_context.privileged and created.euid != 0:
        return Place.PRIVILEGED, explanation.executions[0]
    if cap not in created.caps.bounding | created.caps.inheritable:
        return _not_granted(explanation, cap), first
    return _carried(explanation, cap) or _not_carried(explanation, cap)


def _not_granted(explanation: Explanation, cap: int) -> Place:
    """Why the bounding set lacks it."""
    request = explanation.request
    if request is None:
        return Place.NOT_ASKED
    name = cap.name if isinstance(cap, Cap) else str(cap)
    add, drop = (
        [bare(one) for one in names] for names in (request.add_capabilities, request.drop_capabilities)
    )
    spelled = [one for one in request.add_capabilities if bare(one) == name]
    if spelled:
        if any(_in_config(one) in explanation.ignored for one in spelled):
            return Place.MISSPELLED
        return Place.DROPPED if name in drop else Place.ENGINE_LACKS
    if "ALL" in add:
        if name in drop:
            return Place.DROPPED
        return Place.ALL_DROPPED if "ALL" in drop else Place.ENGINE_LACKS
    if request.privileged:
        return Place.ENGINE_LACKS
    by_default = cap in containerd.DEFAULT_CAPS and name not in drop and "ALL" not in drop
    return Place.OTHER_DEFAULT if by_default else Place.NOT_ASKED


def _carried(explanation: Explanation, cap: int) -> tuple[Place, Step] | None:
    """The last program's file has it: why it does not get it."""
    last = explanation.executions[-1]
    assert last.program is not None
    assert last.after is not None
    if cap in last.after.caps.permitted:
        return Place.NOT_EFFECTIVE, last
    file = last.program.file.caps
    if not isinstance(file, FileCaps) or cap not in file.permitted | file.inheritable:
        return None
    if cap not in file.permitted:
        ambient = _ambient_cleared(explanation, cap)
        return (Place.AMBIENT_CLEARED, ambient) if ambient else (Place.INHERITABLE_FILE, last)
    if last.arithmetic is None or not last.arithmetic.has_file_caps:
        return _ignored(explanation, file), last
    first = explanation.steps[0]
    assert first.after is not None
    if cap not in first.after.caps.permitted:
        return Place.BOUNDING_ONLY, first
    loser = _loser(explanation, cap)
    return (Place.WRAPPER, last) if loser is None or loser.program is not None else (Place.SWITCH, loser)


def _ignored(explanation: Explanation, file: FileCaps) -> Place:
    """Why an attribute does not count."""
    spec, node = explanation.spec, explanation.node
    if spec is not None and spec.user_ns is not None and spec.user_ns.rootfs == "chowned":
        return Place.CHOWNED
    no_new_privs = spec is not None and spec.process.no_new_privileges
    if node.runtime.file_caps(no_new_privs, node.runtime_version) == "discarded":
        return Place.DISCARDED
    return Place.FOREIGN if file.rootid else Place.DISCARDED


def _not_carried(explanation: Explanation, cap: int) -> tuple[Place, Step]:
    """The last program's file has not: what had it before."""
    last = explanation.executions[-1]
    assert last.program is not None
    cleared = _ambient_cleared(explanation, cap)
    if cleared is not None:
        return Place.AMBIENT_CLEARED, cleared
    if any(_carries(link.caps, cap) for link in last.program.chain[:-1]):
        return Place.ON_SCRIPT, last
    if explanation.becomes_user:
        return Place.SWITCH, _switch(explanation)
    loser = _loser(explanation, cap)
    if loser is not None and loser.program is None:
        return Place.SWITCH, loser
    if any(step.program and _carries(step.program.file.caps, cap) for step in explanation.executions[:-1]):
        return Place.ON_WRAPPER, last
    return Place.PLAIN, explanation.executions[0]


def _ambient_cleared(explanation: Explanation, cap: int) -> Step | None:
    """The program whose attribute emptied the ambient set."""
    return next(
        (
            step
            for step in explanation.executions
            if step.after and cap in step.before.caps.ambient and cap not in step.after.caps.ambient
        ),
        None,
    )


def _loser(explanation: Explanation, cap: int) -> Step | None:
    """The last step before the last program that had it permitted and left it without."""
    return next(
        (
            step
            for step in reversed(explanation.steps[1:-1])
            if step.after and cap in step.before.caps.permitted and cap not in step.after.caps.permitted
        ),
        None,
    )


def _switch(explanation: Explanation) -> Step:
    """The step that makes root somebody else."""
    return next(
        (
            step
            for step in explanation.steps[1:]
            if step.after and step.before.seen().euid == 0 != step.after.seen().euid
        ),
        explanation.executions[-1],
    )


def _carries(caps: FileCaps | bytes | None, cap: int) -> bool:
    return isinstance(caps, FileCaps) and cap in caps.permitted


def found_in(explanation: Explanation, *places: Place) -> Iterator[Loss]:
    """Losses and denials of those places."""
    for loss in (*losses(explanation), *denials(explanation)):
        if loss.place in places:
            yield loss


def _in_config(name: str) -> str:
    """As containerd writes it into config.json, whatever it is."""
    return "CAP_" + name.upper()
