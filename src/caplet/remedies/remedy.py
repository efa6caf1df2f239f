# SPDX-License-Identifier: Apache-2.0
"""Proposal and Remedy: a change, and a change that was tried."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from caplet.kubernetes.document import dotted
from caplet.kubernetes.objects import api_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.kubernetes.pod import Container, PodSpec


class Gives(IntEnum):
    """What a remedy gives away, the least first: the order in which remedies are named."""

    LESS = 0
    """The container gets less than before."""
    NOTHING = 1
    """Only what is written wrong is written right."""
    PORTS = 2
    """Ports below 1024 to every process of this Pod, in its own network."""
    PROGRAM = 3
    """The capability to one program."""
    WRAPPER = 4
    """The capability to a wrapper and to whatever it starts."""
    CONTAINER = 5
    """A capability more in the container's bounding set."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change of the Pod, of the image, or of both."""

    title: str
    why: str
    gives: Gives
    pod: PodSpec
    container: Container
    image: ImageFacts | None
    then: tuple[tuple[str, ...], ...] | None = None
    """What follows the entrypoint now; None: as before."""
    patch: Mapping[str, Any] | None = None
    """A strategic merge patch of the PodSpec."""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Remedy:
    """A proposal after which the container works."""

    title: str
    why: str
    gives: Gives
    patch: Mapping[str, Any] | None
    """A strategic merge patch of the object, where the API has one for it."""
    commands: tuple[str, ...]
    explanation: Explanation
    """What comes of it."""
    fragment: Mapping[str, Any] | None = None
    """Otherwise: what the PodSpec has to say, to be edited by hand; `why` says where."""

    @classmethod
    def of(cls, tried: Proposal, after: Explanation) -> Remedy:
        """The proposal as its reader may apply it."""
        pod, patch = after.pod, tried.patch
        instead = "" if patch is None else _no_patch(pod, patch)
        if patch is None or instead:
            why = "; ".join(filter(None, (tried.why, instead)))
            return cls(tried.title, why, tried.gives, None, tried.commands, after, patch)
        return cls(tried.title, tried.why, tried.gives, _from_the_top(pod, patch), tried.commands, after)

    def paste(self) -> tuple[str, ...]:
        """What to paste, line by line: the commands, then the patch or the fragment as YAML."""
        change = self.fragment if self.patch is None else self.patch
        return (*self.commands, *(() if change is None else yaml_lines(change)))


def yaml_lines(value: Any, indent: str = "") -> tuple[str, ...]:
    """A patch as YAML: mappings, lists, strings and numbers. JSON's own notation for what needs quotes."""
    lines: list[str] = []
    for key, inner in value.items():
        if isinstance(inner, dict):
            lines += [f"{indent}{key}:", *yaml_lines(inner, indent + "  ")]
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            lines.append(f"{indent}{key}:")
            for item in inner:
                first, *rest = yaml_lines(item, indent + "  ")
                lines += [f"{indent}- {first[len(indent) + 2 :]}", *rest]
        else:
            lines.append(f"{indent}{key}: {_scalar(inner)}")
    return tuple(lines)


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in NOT_STRINGS:
        return value
    return json.dumps(value)


PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
NOT_STRINGS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
"""Words that YAML, or some reader of it, takes for something else."""


def with_container(pod: PodSpec, container: Container, changed: Container) -> PodSpec:
    """The Pod with one of its containers changed."""

    def swap(those: tuple[Container, ...]) -> tuple[Container, ...]:
        return tuple(changed if one is container else one for one in those)

    return replace(
        pod,
        containers=swap(pod.containers),
        init_containers=swap(pod.init_containers),
        ephemeral_containers=swap(pod.ephemeral_containers),
    )


def merged(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Both patches in one; where they name the same field, the second one's counts. Lists of named objects are merged by name."""
    if one is None or other is None:
        return one if other is None else other
    result = dict(one)
    for key, value in other.items():
        mine = result.get(key)
        if isinstance(value, dict) and isinstance(mine, dict):
            result[key] = merged(mine, value)
        elif _named(value) and _named(mine):
            theirs = {item["name"]: item for item in value}
            both = [merged(item, theirs.pop(item["name"], None)) for item in mine or ()]
            result[key] = [*both, *theirs.values()]
        else:
            result[key] = value
    return result


def _named(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "name" in one for one in value)
    )


def container_patch(container: Container, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A patch of one container: lists of containers are merged by name. Knative's may have none."""
    place = next(str(step) for step in reversed(container.path) if isinstance(step, str))
    name = {"name": container.name} if container.name else {}
    return {place: [{**name, **fields}]}


def _no_patch(pod: PodSpec, patch: Mapping[str, Any]) -> str:
    """Why the object cannot be patched so, and what to do instead; "" where it can.

    apiextensions-apiserver customresource_handler.go takes no strategic merge patch: a JSON merge patch would put the
    fragment in the place of the whole list of containers. kube-apiserver registry/core/pod/strategy.go
    podEphemeralContainersStrategy: ephemeral containers can be added, and not changed.
    """
    if api_type(pod.api_version, pod.kind) is None:
        where = dotted(pod.path[len(pod.object_path) :])
        return f"edit it in the manifest, at {where}: a {pod.kind} has no strategic merge patch"
    if "ephemeralContainers" in patch:
        return "an ephemeral container cannot be changed: start another one so, with kubectl debug"
    return ""


def _from_the_top(pod: PodSpec, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A patch of the PodSpec as one of the object that has it."""
    patch: Any = dict(fields)
    for step in reversed(pod.path[len(pod.object_path) :]):
        patch = {step: patch}
    return patch  # type: ignore[no-any-return]
