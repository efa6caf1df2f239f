# SPDX-License-Identifier: Apache-2.0
"""remedies_of(): what makes the container work, tried on the model, the least privilege first."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.explain.container import explain
from caplet.explain.explanation import Verdict
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.remedies import imagechanges, podchanges, skipsetcap
from caplet.remedies.podchanges import meant
from caplet.remedies.remedy import Remedy, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caplet.explain.explanation import Explanation
    from caplet.remedies.remedy import Proposal

WORKS = frozenset({Verdict.EFFECTIVE, Verdict.NOT_NEEDED})

PROPOSE: tuple[Callable[[Explanation], Iterator[Proposal]], ...] = (
    podchanges.drop_what_is_not_needed,
    podchanges.drop_what_no_port_needs,
    podchanges.spell_right,
    podchanges.not_drop_again,
    podchanges.number_the_user,
    skipsetcap.skip_setcap,
    imagechanges.strip,
    imagechanges.relax,
    imagechanges.for_every_namespace,
    podchanges.free_ports,
    imagechanges.grant,
    imagechanges.start_directly,
    imagechanges.grant_the_chain,
    podchanges.allow_what_the_file_demands,
)


def remedies_of(explanation: Explanation) -> tuple[Remedy, ...]:
    """Changes after which the container works, what gives least first. None for one that works as it asks."""
    if explanation.verdict is Verdict.EFFECTIVE and not (explanation.asked & explanation.needless):
        return ()
    kept: list[Remedy] = []
    for remedy in _enough(explanation, lambda proposal: _tried(explanation, proposal)):
        if not any(_same(remedy, before) for before in kept):
            kept.append(remedy)
    return tuple(sorted(kept or _in_two_steps(explanation), key=lambda remedy: remedy.gives))


def _enough(explanation: Explanation, tried: Callable[[Proposal], Remedy | None]) -> Iterator[Remedy]:
    """What comes of each proposal that does; no wrapper is given what the last program alone makes work with."""
    granted = False
    for propose in PROPOSE:
        if propose is imagechanges.grant_the_chain and granted:
            continue
        for remedy in filter(None, map(tried, propose(explanation))):
            granted |= propose is imagechanges.grant
            yield remedy


def _same(one: Remedy, other: Remedy) -> bool:
    """Two ways to say the same change."""
    return one.commands == other.commands and one.explanation.pod == other.explanation.pod


def _in_two_steps(before: Explanation) -> list[Remedy]:
    """Where no single change does: two, of which one at most makes another image."""
    kept: dict[str, Remedy] = {}
    for first in [proposal for propose in PROPOSE for proposal in propose(before)]:
        half = _after(before, first)
        same = half.verdict is before.verdict and half.misnamed == before.misnamed
        if same or _gives_more(before, half):
            continue
        for remedy in _enough(half, functools.partial(_tried_second, before, half, first)):
            kept.setdefault(remedy.title, remedy)
    return list(kept.values())


def _tried_second(before: Explanation, half: Explanation, first: Proposal, second: Proposal) -> Remedy | None:
    if first.commands and second.commands:
        return None
    after = _after(half, second)
    if not _mends(before, after):
        return None
    both = replace(
        second,
        title=f"{first.title}; then {second.title}",
        why="; ".join(filter(None, (first.why, second.why))),
        gives=max(first.gives, second.gives),
        patch=merged(first.patch, second.patch),
        commands=first.commands + second.commands,
    )
    return Remedy.of(both, after)


def _after(before: Explanation, proposal: Proposal) -> Explanation:
    then = before.then if proposal.then is None else proposal.then
    return explain(proposal.pod, proposal.container, proposal.image, before.node, then)


def _tried(before: Explanation, proposal: Proposal) -> Remedy | None:
    after = _after(before, proposal)
    return Remedy.of(proposal, after) if _mends(before, after) else None


def _mends(before: Explanation, after: Explanation) -> bool:
    return after.verdict in WORKS and not _gives_more(before, after)


def _gives_more(before: Explanation, after: Explanation) -> bool:
    """A capability that nobody asks for, root, or privilege escalation, where it was not: no remedy may lead there."""
    if after.asked - before.asked - _due(before):
        return True
    if after.request is None or after.final is None:
        return False
    if before.request is None:
        return False
    return (before.request.no_new_privs and not after.request.no_new_privs) or (
        before.final is not None and before.final.euid != 0 and after.final.euid == 0
    )


def _due(explanation: Explanation) -> Caps:
    """What a remedy may allow besides: what the file demands, what a port of the Pod needs, what a mistyped name means."""
    failed = explanation.failed
    demanded = NO_CAPS if failed is None or failed.arithmetic is None else failed.arithmetic.missing
    named = [Cap.NET_BIND_SERVICE] if explanation.ports else []
    named += [Cap[name] for name in map(meant, explanation.misnamed) if name in Cap.__members__]
    return demanded | Caps.of(*named)
