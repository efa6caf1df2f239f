# SPDX-License-Identifier: Apache-2.0
"""Causes and remedies of odd containers: programs that are not there, broken attributes, users that nobody knows."""

from __future__ import annotations

import random

import pytest
from tests.explain.memory import ELF, explained, image, web

from caplet.causes.catalogue import causes_of
from caplet.image.rootfs import File
from caplet.remedies.remedies import remedies_of
from caplet.report.explainjson import document
from caplet.report.judged import Judged
from caplet.report.text import report

PROGRAMS: dict[str, str | File] = {
    "/plain": "elf",
    "/ep": "elf cap_net_bind_service,cap_net_raw=ep",
    "/p": "elf cap_sys_admin=p",
    "/ei": "elf cap_net_raw=ei",
    "/setuid": "elf setuid",
    "/script": '#!/bin/sh\nexec "$@"\n',
    "/broken.sh": "#!/nothing/here\n",
    "/loop": "#!/loop\n",
    "/gosu": "elf",
    "/tini": "elf cap_net_raw=ep",
    "/data": File(ELF, mode=0o600),
    "/directory": File(directory=True, mode=0o755),
    "/empty": File(b"", mode=0o755),
    "/etc/passwd": "root:x:0:0::/:/bin/sh\napp:x:7:7::/:/bin/sh\n",
}
WORDS = [*PROGRAMS, "/missing", "plain", "sh", "-c", "--", "app", "exec /ep", "nobody:nogroup", ""]
SECURITY = (
    "runAsUser: 0",
    "runAsUser: 7",
    "runAsUser: 4294967295",  # for the API server to refuse
    "runAsNonRoot: true",
    "allowPrivilegeEscalation: false",
    "privileged: true",
    "capabilities: {drop: [ALL]}",
    "capabilities: {add: [NET_RAW, CAP_NET_RAW, all, '', FROBNICATE]}",
    "capabilities: {add: [NET_BIND_SERVICE], drop: [NET_BIND_SERVICE, ALL]}",
    "capabilities: {add: [SYS_ADMIN]}",
    "seccompProfile: {type: RuntimeDefault}",
    "procMount: Unmasked",
)
NODES = (
    "containerd", "containerd:1.5", "containerd:1.7", "crio", "crio:1.17", "docker", "docker:20.10", "podman", "podman:4.3",
    "openshift", "gke-autopilot", "eks-fargate+containerd:1.7", "containerd+runsc", "containerd:2.1+crun:1.29",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(12))
def test_whatever_it_is_there_is_an_answer(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        config = {
            "Entrypoint": rng.choices(WORDS, k=rng.randrange(3)),
            "Cmd": rng.choices(WORDS, k=rng.randrange(3)),
            "User": rng.choice(["", "0", "7", "app", "nobody", "7:7", "a:b:c", "99999999999"]),
            "Env": rng.choice([[], ["PATH="], ["PATH=/:/bin"], ["LD_LIBRARY_PATH=/x", "LD_PRELOAD=y"]]),
        }
        facts = image(PROGRAMS, **{name: value for name, value in config.items() if value})
        if rng.random() < 0.2:
            facts = facts.with_attributes({b"/plain": rng.randbytes(rng.choice([0, 3, 12, 20, 24, 30]))})
        chosen = {one.split(":")[0]: one for one in rng.sample(SECURITY, rng.randrange(4))}
        text = web(", ".join(chosen.values()), ports=rng.choice(["[]", "[{containerPort: 80}]"]))
        if rng.random() < 0.2:
            text += f"  {rng.choice(['hostUsers: false', 'hostNetwork: true', 'hostPID: true'])}\n"
        then = tuple((word,) for word in rng.sample(WORDS[:-1], rng.randrange(2)))
        explanation = explained(text, None if rng.random() < 0.05 else facts, rng.choice(NODES), then)
        judged = Judged(explanation, causes_of(explanation), remedies_of(explanation))
        assert list(report([judged], 100))
        assert document([judged])
