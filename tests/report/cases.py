# SPDX-License-Identifier: Apache-2.0
"""Typical containers, each with what is to be said of it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.causes.containers import explanations
from tests.explain.memory import image, pod, web

from caplet.causes.catalogue import CAUSES, causes_of
from caplet.explain.container import explain
from caplet.remedies.remedies import remedies_of
from caplet.report.judged import Judged
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caplet.explain.explanation import Explanation
    from caplet.explain.facts import ImageFacts

PLAIN = image({"/app": "elf"}, Entrypoint=["/app"])
GRANTED = image({"/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/app"])
RELAXED = image({"/app": "elf cap_net_bind_service=p"}, Entrypoint=["/app"])
WRAPPED = image(
    {"/entry.sh": "#!/bin/sh\nexec /usr/sbin/nginx\n", "/usr/sbin/nginx": "elf cap_net_bind_service=ep"},
    Entrypoint=["/entry.sh"],
)
STRICT = (
    "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
)
FIVE = "containerd:1.7,containerd:2.1,crio,docker,podman"

HOSTILE = "/a\x1b[2J\u202egnp\n<script>alert(1)</script>\"'&{{7*7}}\udcff"
"""A file's name that clears a terminal, turns its line round, ends it, and is markup; it is not UTF-8 either."""


def judged(text: str, facts: ImageFacts | None, on: str = "containerd:1.7") -> list[Judged]:
    """Every container on every node."""
    spec = pod(text)
    return [
        judge(explain(spec, container, facts, node))
        for container in spec.every_container
        for node in nodes(on)
    ]


def judge(explanation: Explanation) -> Judged:
    return Judged(explanation, causes_of(explanation), remedies_of(explanation))


def hostile() -> list[Judged]:
    """Names that an image and a manifest chose to do harm."""
    facts = image({os.fsencode(HOSTILE): "elf cap_net_bind_service=ep"}, Entrypoint=[HOSTILE])
    spec = replace(pod(web(STRICT)), name=HOSTILE, kind=HOSTILE, namespace=HOSTILE)
    container = replace(spec.containers[0], name=HOSTILE, image=HOSTILE)
    spec = replace(spec, containers=(container,))
    harmless = explain(spec, container, facts, nodes("crio")[0])
    failing = replace(
        container, security_context=replace(container.security_context, add=(HOSTILE,), drop=("ALL", HOSTILE))
    )
    denied = explain(replace(spec, containers=(failing,)), failing, facts, nodes("containerd:1.7")[0])
    noted = replace(denied, notes=(HOSTILE,), ignored=(HOSTILE,))
    return [judge(harmless), judge(noted)]


CASES: dict[str, Callable[[], list[Judged]]] = {
    "effective": lambda: judged(web(STRICT), GRANTED),
    "inert": lambda: judged(web(STRICT), PLAIN),
    "inert-behind-a-wrapper": lambda: judged(web(STRICT), WRAPPED),
    "exec-fails": lambda: judged(web("runAsUser: 65532, capabilities: {drop: [ALL]}"), GRANTED),
    "not-needed": lambda: judged(web(STRICT), PLAIN, "containerd:2.1"),
    "refused-by-kubelet": lambda: judged(web("runAsNonRoot: true"), PLAIN),
    "forbidden-by-platform": lambda: judged(web("privileged: true"), PLAIN, "gke-autopilot"),
    "unknown": lambda: judged(web(STRICT), RELAXED),
    "image-not-reached": lambda: judged(web(STRICT), None),
    "privileged": lambda: judged(web("privileged: true"), PLAIN),
    "all-but-one": lambda: judged(web("capabilities: {add: [ALL], drop: [SYS_ADMIN]}"), PLAIN),
    "defaults": lambda: judged(web("runAsUser: 1000, capabilities: {add: [NET_ADMIN]}"), PLAIN),
    "asks-for-nothing": lambda: judged(web("runAsUser: 1000", ports="[]"), PLAIN),
    "matrix": lambda: judged(web(STRICT), WRAPPED, FIVE),
    "hostile": hostile,
}


def every() -> Iterator[Judged]:
    for make in CASES.values():
        yield from make()


def examples() -> Iterator[Judged]:
    """Every cause's examples."""
    for cause in CAUSES:
        for example in cause.examples:
            yield from map(judge, explanations(example))
