# SPDX-License-Identifier: Apache-2.0
"""Predicted against observed: where an Explanation and what was seen on a real engine differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.explain.explanation import Verdict
from caplet.kernel.credentials import Credentials

if TYPE_CHECKING:
    from caplet.explain.explanation import Explanation
    from caplet.run.status import Observed
    from caplet.verify.seen import Seen

AT_SECURE = "AT_SECURE"
SETS = ("permitted", "effective", "inheritable", "bounding", "ambient")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as predicted."""

    what: str
    """`outcome`, `permitted`, `uid`, `first free port`, ..."""
    predicted: str
    observed: str


def differences(explanation: Explanation, seen: Seen) -> tuple[Difference, ...]:
    """Everything that differs; empty where the model was right. What it calls unknown is compared as far as it goes."""
    predicted, observed = _predicted_outcome(explanation), _observed_outcome(seen)
    found = []
    if predicted not in (observed, ""):
        found.append(Difference("outcome", predicted, f"{observed}{f': {seen.error}' if seen.error else ''}"))
    if seen.observed is not None and explanation.executions:
        found += _credentials(explanation, seen.observed, seen.secure)
    start = explanation.port_start
    if start is not None and seen.port_start is not None and seen.started and start != seen.port_start:
        found.append(Difference("first free port", str(start), str(seen.port_start)))
    return tuple(found)


def _predicted_outcome(explanation: Explanation) -> str:
    """Of the container's first program; "" where it is not known."""
    if explanation.verdict in (Verdict.REFUSED, Verdict.FORBIDDEN):
        return "refused"
    if not explanation.executions:
        return ""
    return "starts" if explanation.executions[0].after is not None else "does not start"


def _observed_outcome(seen: Seen) -> str:
    if seen.refused:
        return "refused"
    return "starts" if seen.started else "does not start"


def _credentials(explanation: Explanation, observed: Observed, secure: bool | None) -> list[Difference]:
    """Against each program on the way: a wrapper may have executed the next one by the time that somebody looked."""
    states = [step.after.seen() for step in explanation.executions if step.after is not None]
    if not states:
        return []
    different = [_different(observed, secure, state) for state in states]
    if not all(different):
        return []
    nearest = min(range(len(states)), key=lambda at: len(different[at]))
    return [
        Difference(
            name, _of(states[nearest], name), _yes(secure) if name == AT_SECURE else _of(observed, name)
        )
        for name in different[nearest]
    ]


def _different(observed: Observed, secure: bool | None, state: Credentials) -> tuple[str, ...]:
    names = observed.differences(state)
    return names if secure is None or secure == state.at_secure else (*names, AT_SECURE)


def _of(cred: Credentials | Observed, name: str) -> str:
    if name == AT_SECURE:
        assert isinstance(cred, Credentials)
        return _yes(cred.at_secure)
    if name in SETS:
        return ",".join(getattr(cred.caps, name).names()) or "none"
    if name == "no_new_privs":
        return _yes(cred.no_new_privs)
    if name == "groups":
        return ",".join(map(str, sorted(cred.groups))) or "none"
    real, effective, saved = (
        (cred.uid, cred.euid, cred.suid) if name == "uid" else (cred.gid, cred.egid, cred.sgid)
    )
    return f"{real},{effective},{saved}"


def _yes(value: bool | None) -> str:
    return "yes" if value else "no"
