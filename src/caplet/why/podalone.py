# SPDX-License-Identifier: Apache-2.0
"""refuted_by(): the causes that a Pod rules out without its image, by what it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kernel.caps import Cap, Caps, bare
from caplet.runtimes.docker import NON_ROOT_KEEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation

ADDED = frozenset({"CAP101", "CAP112", "CAP118", "CAP119"})
"""About something in `capabilities.add`."""

FILLING = frozenset({"containerd", "crio"})
"""Engines whose config.json has the same set in bounding, permitted and effective, whoever the user is."""

LACKING = frozenset({"CAP103", "CAP121"})
"""Only under no_new_privs."""


def refuted_by(explanation: Explanation, about: Caps, *, assumed: bool) -> frozenset[str]:
    """Codes. `about`: the capability that the clue is about, none where it may be any. `assumed`: nobody said which node it is."""
    return frozenset((*_by_names(explanation, about), *_by_settings(explanation, assumed=assumed)))


def _by_names(explanation: Explanation, about: Caps) -> Iterator[str]:
    """By `add` and `drop`."""
    context = explanation.container.security_context
    add, drop = ([bare(name) for name in names] for names in (context.add, context.drop))
    if not context.privileged and not add:
        yield from ADDED
    elif about and not about & explanation.asked:
        yield "CAP101"
    if all(name.upper() in {*Cap.__members__, "ALL"} for name in context.add):
        yield "CAP112"
    if not (set(add) & set(drop) or ("ALL" in add and drop)):
        yield "CAP118"
    if not ("ALL" in add and "ALL" in drop):
        yield "CAP119"
    if "ALL" in drop:
        yield "CAP110"  # nothing is left of a default set
    if Cap.NET_BIND_SERVICE in explanation.asked:
        yield "CAP134"


def _by_settings(explanation: Explanation, *, assumed: bool) -> Iterator[str]:
    """By the user, no_new_privs, the user namespace, and the node where it is known."""
    pod, spec, node = explanation.pod, explanation.spec, explanation.node
    if explanation.request is not None and explanation.request.run_as_user == 0:
        yield "CAP101"
    if pod.host_users is not False:
        yield from ("CAP128", "CAP136")
    elif not pod.host_network:
        yield "CAP136"
    if spec is None:
        return
    no_new_privs = spec.process.no_new_privileges
    if not no_new_privs:
        yield from LACKING
    if assumed:
        return
    rule = node.runtime.file_caps(no_new_privs, node.runtime_version)
    if rule is not None and rule != "discarded" and (not no_new_privs or _fills(explanation)):
        yield "CAP104"


def _fills(explanation: Explanation) -> bool:
    """Whether the engine gives a user other than root more than the bounding set."""
    node, created = explanation.node, explanation.created
    if node.engine.name in FILLING:
        return True
    if node.engine.name == "docker":
        return NON_ROOT_KEEPS.at(node.engine_version)
    return created is not None and created.euid != 0 and created.caps.permitted == created.caps.bounding
