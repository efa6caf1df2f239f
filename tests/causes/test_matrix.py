# SPDX-License-Identifier: Apache-2.0
"""Every combination of a few manifests, images and nodes: what breaks has a cause, what works has none, no loss has two."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from tests.causes.containers import image, the_container
from tests.causes.more import assert_no_more
from tests.explain.memory import web

from caplet.causes.catalogue import causes_of
from caplet.explain.container import explain
from caplet.explain.explanation import Verdict
from caplet.kernel.caps import NO_CAPS
from caplet.remedies.remedies import WORKS, remedies_of
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.explain.explanation import Explanation
    from caplet.kubernetes.podspec import Container, PodSpec


NODES = nodes(
    "containerd:1.4,containerd:1.7,containerd:2.1,containerd:2.1+crun:1.29,containerd:2.1+runsc,crio:1.17,crio,docker:19.03,"
    "docker:20.10,docker,podman:4.3,podman,openshift,gke-autopilot,k3s"
)
CAPABILITIES = (
    "{}",
    "{drop: [ALL]}",
    "{drop: [ALL], add: [NET_BIND_SERVICE]}",
    "{add: [NET_RAW, SYS_TIME]}",
    "{add: [ALL]}",
    "{add: [ALL], drop: [ALL]}",
    "{add: [NET_RAW], drop: [NET_RAW]}",
    "{add: [CAP_NET_RAW]}",
    "{add: [net_raw]}",
    "{add: [NET_RAWW]}",
    "{add: [BPF], drop: [CAP_CHOWN]}",
)
USERS = ("runAsUser: 0", "runAsUser: 65532", "runAsNonRoot: true")
ESCALATION = ("", ", allowPrivilegeEscalation: false", ", allowPrivilegeEscalation: true")
NETWORKS = ("[]", "[{containerPort: 80}]")
WRAPPER = '#!/bin/sh\nexec "$@"\n'
ACCOUNTS = {"/etc/passwd": "root:x:0:0::/:\nweb:x:999:999::/:\n", "/etc/group": "root:x:0:\nweb:x:999:\n"}
PROGRAMS = (
    ({"/app": "elf"}, ("/app",)),
    ({"/app": "elf cap_net_bind_service=ep"}, ("/app",)),
    ({"/app": "elf cap_net_bind_service=p"}, ("/app",)),
    ({"/app": "elf cap_net_raw,cap_net_bind_service=eip"}, ("/app",)),
    ({"/app": "elf cap_net_raw=ei"}, ("/app",)),
    ({"/app": "elf cap_net_raw=ep [rootid=100000]"}, ("/app",)),
    ({"/app": "elf setuid"}, ("/app",)),
    ({"/app": "elf 0x"}, ("/app",)),
    ({"/app.sh cap_net_raw=ep": "#!/bin/sh\n"}, ("/app.sh",)),
    ({"/wrapper": WRAPPER, "/app": "elf cap_net_raw=ep"}, ("/wrapper", "/app")),
    ({"/sbin/tini": "elf cap_net_raw=ep", "/app": "elf"}, ("/sbin/tini", "--", "/app")),
    ({"/usr/bin/gosu": "elf", "/app": "elf cap_net_raw=ep", **ACCOUNTS}, ("/usr/bin/gosu", "web", "/app")),
)
BESIDE = frozenset({"CAP112", "CAP121", "CAP142"})
"""What is no matter of the sets: a name that is none, a set-user-ID program, a filter of system calls."""
BROKEN = frozenset({Verdict.INERT, Verdict.EXEC_FAILS, Verdict.REFUSED, Verdict.FORBIDDEN})


SAMPLE = 600
"""Of the nearly 3,000 for each image, chosen by a seed: all of them were looked at once."""


@functools.cache
def _pods() -> list[tuple[PodSpec, Container]]:
    return [
        the_container(web(f"{user}{escalation}, capabilities: {caps}", ports=ports))
        for caps, user, escalation, ports in itertools.product(CAPABILITIES, USERS, ESCALATION, NETWORKS)
    ]


def _explanations(program: int, sample: int = SAMPLE) -> Iterator[Explanation]:
    files, argv = PROGRAMS[program]
    facts = image(files, {"Entrypoint": list(argv), "User": "1000"})
    every = list(itertools.product(_pods(), NODES))
    for (pod, container), node in random.Random(program).sample(every, sample):
        yield explain(pod, container, facts, node)


@pytest.mark.parametrize("program", range(len(PROGRAMS)), ids=lambda number: " ".join(PROGRAMS[number][1]))
def test_what_breaks_has_one_cause_and_what_works_none(program: int) -> None:
    for explanation in _explanations(program):
        found = causes_of(explanation)
        breaking = [one for one in found if one.weight == "breaks"]
        own = explanation.container.security_context
        said = (
            own,
            str(explanation.node),
            explanation.verdict,
            [(one.cause.code, one.message) for one in found],
        )
        if explanation.verdict in BROKEN:
            assert breaking, said
        if explanation.verdict in WORKS:
            assert not [one for one in breaking if one.cause.code not in BESIDE], said
        times = Counter(cap for one in breaking for cap in one.caps)
        assert not [cap for cap, count in times.items() if count > 1], said
        lost = explanation.lost - explanation.needless - explanation.raisable
        if explanation.verdict == Verdict.INERT:
            caps = NO_CAPS
            for one in breaking:
                caps |= one.caps
            assert lost <= caps, said


@pytest.mark.parametrize("program", range(len(PROGRAMS)), ids=lambda number: " ".join(PROGRAMS[number][1]))
def test_a_remedy_ends_the_cause_and_gives_no_more_than_was_asked(program: int) -> None:
    for explanation in _explanations(program, SAMPLE // 4):
        for remedy in remedies_of(explanation):
            left = [one for one in causes_of(remedy.explanation) if one.weight == "breaks"]
            said = (explanation.container.security_context, str(explanation.node), remedy.title)
            assert not [one for one in left if one.cause.code not in BESIDE], said
            try:
                assert_no_more(explanation, remedy.explanation)
            except AssertionError as error:
                raise AssertionError(said) from error
