# SPDX-License-Identifier: Apache-2.0
"""The containers of a Pod in memory, for answer()."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.explain.memory import pod

from caplet.explain.container import explain
from caplet.kubernetes.podspec import ContainerPort
from caplet.remedies.remedy import with_container
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.node import Node
    from caplet.why.answer import Answer, Then


@dataclass(frozen=True)
class Explained:
    """A container of a Pod in memory."""

    pod: PodSpec
    container: Container
    facts: ImageFacts | None
    node: Node
    followed: Then = ()

    @property
    def name(self) -> str:
        return self.container.name

    def __call__(self, then: Then = (), ports: tuple[int, ...] = ()) -> Explanation:
        more = tuple(ContainerPort(port) for port in ports)
        container = replace(self.container, ports=(*self.container.ports, *more))
        whole = with_container(self.pod, self.container, container)
        return explain(whole, container, self.facts, self.node, (*self.followed, *then))


def containers(text: str, facts: ImageFacts | None, on: str = "containerd:1.7") -> list[Explained]:
    spec = pod(text)
    return [Explained(spec, one, facts, nodes(on)[0]) for one in spec.every_container]


def codes(found: Answer) -> list[str]:
    return [one.cause.code for one in found.answered]
