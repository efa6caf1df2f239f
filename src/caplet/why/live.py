# SPDX-License-Identifier: Apache-2.0
"""A Pod on a cluster, or the worst Pod of a workload: its object, states, events, the end of its logs, its node."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.errors import CapletError, InvalidInput, Unavailable
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import pods
from caplet.why.clue import clues_of
from caplet.why.kubectl import checked_name
from caplet.why.nodeinfo import node_of
from caplet.why.podstatus import Container, containers, event_clues, status_clues

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.kubernetes.pod import PodSpec
    from caplet.runtimes.node import Node
    from caplet.why.clue import Clue
    from caplet.why.kubectl import Kubectl

PODS = "pods"
POD = frozenset({"pod", "pods", "po"})
WORKLOADS = {
    "deploy": "deployments",
    "sts": "statefulsets",
    "ds": "daemonsets",
    "rs": "replicasets",
    "job": "jobs",
}
"""kubectl's short names; the long ones, singular and plural, are known as well."""
_LONG = {name: plural for plural in WORKLOADS.values() for name in (plural, plural.removesuffix("s"))}

KINDS = "pod, deploy, sts, ds, rs, job"
"""What is read, for messages."""

_KIND_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,252}/[a-z0-9][a-z0-9.-]{0,252}")

NO_LOG = "(BadRequest)"
"""kubectl's word for a container that never ran, or whose log is gone."""


@dataclass(frozen=True, slots=True)
class Live:
    """What kubectl told."""

    name: str
    """`pod/web-6d4cf56db6-abcde`."""
    pods: tuple[PodSpec, ...]
    clues: tuple[Clue, ...]
    node: Node | None
    """None where the Pod has no node yet, or it may not be read."""
    notes: tuple[str, ...]
    """What could not be read, and what stands for what."""


def is_live(what: str) -> bool:
    """Whether it is KIND/NAME of a cluster, and no log line: `/usr/bin/x: ...` has a slash too."""
    kind, slash, name = what.partition("/")
    return bool(slash) and _plural(kind) is not None and " " not in name


def is_other_kind(what: str) -> bool:
    """Whether it is KIND/NAME of a kind that is not read."""
    return _plural(what.partition("/")[0]) is None and _KIND_NAME.fullmatch(what) is not None


def is_kind(word: str) -> bool:
    """Whether it is a kind that is read."""
    return _plural(word) is not None


def read_live(kubectl: Kubectl, what: str) -> Live:
    """Everything about KIND/NAME. Raises Unavailable without kubectl, CapletError with what kubectl says."""
    kind, _, name = what.partition("/")
    name, plural = checked_name(name), _plural(kind)
    assert plural is not None
    if plural == PODS:
        return _pod(kubectl, kubectl.get(PODS, name), [])
    return _workload(kubectl, plural, name)


def _plural(kind: str) -> str | None:
    """`deployments` of `Deployment`, `deploy` and `deployment.v1.apps`; None where it is not read."""
    word, _, group = kind.lower().partition(".")
    plural = PODS if word in POD else WORKLOADS.get(word) or _LONG.get(word)
    own = "" if plural == PODS else "batch" if plural == "jobs" else "apps"
    return plural if group.removeprefix("v1").removeprefix(".") in {"", own} else None


def _workload(kubectl: Kubectl, plural: str, name: str) -> Live:
    """The Pod that is worst off; where none was let in, what the controller was told."""
    one = kubectl.get(plural, name)
    selector = _selector(_mapping(_mapping(one.get("spec")).get("selector")))
    found = _items(kubectl.get("pods", f"--selector={selector}")) if selector else []
    if found:
        worst = max(found, key=_trouble)
        about = f"{plural.removesuffix('s')}/{name} has {len(found)} Pods; this is pod/{_meta(worst, 'name')}"
        return _pod(kubectl, worst, [about] if len(found) > 1 else [])
    owners = [one]
    notes = [f"{plural.removesuffix('s')}/{name} has no Pod"]
    if plural == "deployments" and selector:
        owners += _items(kubectl.get("replicasets", f"--selector={selector}"))
    clues = [clue for owner in owners for clue in (*_conditions(owner), *_events(kubectl, owner, notes))]
    one.pop("status", None)
    return Live(f"{plural.removesuffix('s')}/{name}", _pods(one), _distinct(clues), None, tuple(notes))


def _pod(kubectl: Kubectl, pod: dict[str, Any], notes: list[str]) -> Live:
    if pod.get("kind") != "Pod":
        raise InvalidInput("kubectl get pods: the answer is no Pod")
    status, name = _mapping(pod.pop("status", None)), _meta(pod, "name")
    clues = [*status_clues(status), *_events(kubectl, pod, notes)]
    for container in containers(status):
        clues += _log(kubectl, name, container, notes)
    node, more = _node(kubectl, pod)
    return Live(f"pod/{name}", _pods(pod), _distinct(clues), node, (*notes, *more))


def _pods(served: dict[str, Any]) -> tuple[PodSpec, ...]:
    _mapping(served.get("metadata")).pop("managedFields", None)
    name = f"{str(served.get('kind', '')).lower()}/{_meta(served, 'name')}"
    return tuple(pods(documents(json.dumps(served), name), served=True))


def _events(kubectl: Kubectl, about: dict[str, Any], notes: list[str]) -> Iterator[Clue]:
    try:
        events = kubectl.get("events", f"--field-selector=involvedObject.uid={_meta(about, 'uid')}")
    except Unavailable:
        raise
    except CapletError as error:
        notes.append(f"without its events: {error.message}")
        return
    yield from event_clues(events)


def _log(kubectl: Kubectl, pod: str, container: Container, notes: list[str]) -> Iterator[Clue]:
    """Of the container before this one where there was one: a crash loop's present one may not have come far."""
    ways = [True] * container.restarted + [False] * container.started
    for number, previous in enumerate(ways, 1):
        try:
            text = kubectl.logs(pod, container.name, previous=previous)
        except CapletError as error:
            if number == len(ways) and NO_LOG not in error.message:
                notes.append(f"without the log of container {container.name}: {error.message}")
            continue
        found = clues_of(text, f"log of {container.name}, line", container.name)
        if found:
            yield from found
            return


def _node(kubectl: Kubectl, pod: dict[str, Any]) -> tuple[Node | None, list[str]]:
    name = _mapping(pod.get("spec")).get("nodeName")
    if not isinstance(name, str) or not name:
        return None, ["no node has the Pod yet"]
    try:
        node, inexact = node_of(kubectl.get("nodes", checked_name(name)))
    except CapletError as error:
        return None, [f"without its node: {error.message}"]
    return node, [inexact] if inexact else []


def _conditions(workload: dict[str, Any]) -> Iterator[Clue]:
    """A ReplicaSet's ReplicaFailure says why no Pod was let in."""
    for condition in _mapping(workload.get("status")).get("conditions") or ():
        message = _mapping(condition).get("message")
        if isinstance(message, str) and condition.get("type") in {"ReplicaFailure", "Failed"}:
            yield from clues_of(message, f"status of {str(workload.get('kind', '')).lower()}")


def _selector(selector: dict[str, Any]) -> str:
    """As kubectl writes it: `app=web,tier in (a,b),!x`."""
    words = [f"{key}={value}" for key, value in _mapping(selector.get("matchLabels")).items()]
    for one in selector.get("matchExpressions") or ():
        key, operator = one.get("key"), one.get("operator")
        values = ",".join(map(str, one.get("values") or ()))
        words.append(
            {
                "In": f"{key} in ({values})",
                "NotIn": f"{key} notin ({values})",
                "Exists": f"{key}",
                "DoesNotExist": f"!{key}",
            }.get(str(operator), f"{key}")
        )
    return ",".join(words)


def _trouble(pod: dict[str, Any]) -> tuple[bool, int, str]:
    """The more the worse: not ready before ready, often restarted, young."""
    status = _mapping(pod.get("status"))
    ready = any(
        _mapping(one).get("type") == "Ready" and _mapping(one).get("status") == "True"
        for one in status.get("conditions") or ()
    )
    counts = [one.raw.get("restartCount") for one in containers(status)]
    return not ready, sum(one for one in counts if isinstance(one, int)), _meta(pod, "creationTimestamp")


def _distinct(clues: list[Clue]) -> tuple[Clue, ...]:
    """Each text of each container once: status, event and log repeat one another."""
    seen: dict[tuple[str, str], Clue] = {}
    for clue in clues:
        seen.setdefault((clue.text, clue.container), clue)
    return tuple(seen.values())


def _items(answer: dict[str, Any]) -> list[dict[str, Any]]:
    found = answer.get("items")
    return [one for one in found or () if isinstance(one, dict)]


def _meta(one: dict[str, Any], name: str) -> str:
    value = _mapping(one.get("metadata")).get(name)
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
