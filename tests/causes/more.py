# SPDX-License-Identifier: Apache-2.0
"""Whether a remedied container has more than was asked for: capabilities, or privilege that it had not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.remedies.podchanges import meant

if TYPE_CHECKING:
    from caplet.explain.explanation import Explanation


def assert_no_more(before: Explanation, after: Explanation) -> None:
    """Capabilities: those asked for, those that the program's file demands, the one for its port. Privilege: none that was not there."""
    allowed = before.asked | _mistyped(before) | _demanded(before) | _for_ports(before)
    assert after.asked <= allowed
    was, now = before.container.security_context, after.container.security_context
    assert not now.privileged or was.privileged
    assert was.allow_privilege_escalation is not False or now.allow_privilege_escalation is False
    assert not after.pod.host_network or before.pod.host_network
    assert after.pod.host_users is not True or before.pod.host_users is True
    assert now.seccomp_profile == was.seccomp_profile
    assert after.created is not None
    assert after.final is not None
    if before.created is not None:
        assert after.created.euid == before.created.euid
        assert after.final.euid == [step.after for step in before.steps if step.after is not None][-1].euid
        assert after.created.caps.bounding <= before.created.caps.bounding | allowed
        assert after.final.caps.effective <= before.created.caps.bounding | allowed


def _mistyped(explanation: Explanation) -> Caps:
    """What is plainly meant by a name that is none: NET_RAW by NET_RAWW."""
    names = [meant(name) for name in explanation.misnamed]
    return Caps.of(*(Cap[name] for name in names if name in Cap.__members__))


def _demanded(explanation: Explanation) -> Caps:
    failed = explanation.failed
    return NO_CAPS if failed is None or failed.arithmetic is None else failed.arithmetic.missing


def _for_ports(explanation: Explanation) -> Caps:
    return Caps.of(Cap.NET_BIND_SERVICE) if explanation.ports else NO_CAPS
