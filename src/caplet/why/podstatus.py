# SPDX-License-Identifier: Apache-2.0
"""The clues in a Pod's status and events: what kubelet, engine and OCI runtime said of each container."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from caplet.why.clue import Clue, clues_of

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")

_FIELD_PATH = re.compile(r"spec\.\w*[cC]ontainers\{([^{}]+)\}")
"""An event's involvedObject.fieldPath: pkg/kubelet/container/ref.go fieldPath."""


@dataclass(frozen=True, slots=True)
class Container:
    """One entry of the container statuses."""

    name: str
    started: bool
    """It has a log: it runs, or it ran to its end."""
    restarted: bool
    """There was one before."""
    raw: dict[str, Any]


def containers(status: dict[str, Any]) -> Iterator[Container]:
    """Init containers first."""
    for field in FIELDS:
        for one in _objects(status.get(field)):
            name, state = one.get("name"), _mapping(one.get("state"))
            if not isinstance(name, str) or not name:
                continue
            before = "terminated" in _mapping(one.get("lastState"))
            yield Container(name, "running" in state or "terminated" in state, before, one)


def status_clues(status: dict[str, Any]) -> Iterator[Clue]:
    """Of the Pod, and of each container's state, now and before."""
    for one in containers(status):
        for which in ("state", "lastState"):
            for state in _mapping(one.raw.get(which)).values():
                message = _mapping(state).get("message")
                if isinstance(message, str):
                    yield from clues_of(message, f"{which} of container {one.name}", one.name)
    for condition in (status, *_objects(status.get("conditions"))):
        message = condition.get("message")
        if isinstance(message, str) and condition.get("status") != "True":
            yield from clues_of(message, f"status of the Pod: {condition.get('reason') or 'no reason'}")


def event_clues(events: dict[str, Any]) -> Iterator[Clue]:
    """Of the warnings."""
    for event in _objects(events.get("items")):
        message = event.get("message")
        if event.get("type") == "Warning" and isinstance(message, str):
            place = _FIELD_PATH.search(str(_mapping(event.get("involvedObject")).get("fieldPath", "")))
            yield from clues_of(message, f"event {event.get('reason', '')}", place[1] if place else "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    for one in value if isinstance(value, list) else ():
        if isinstance(one, dict):
            yield one
