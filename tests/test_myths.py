# SPDX-License-Identifier: Apache-2.0
"""What is said of file capabilities in containers and is not so: each claim refuted by what explain computes.

The model is proved against the running kernel (tests/kernel/test_oracle.py), and the engines' part against real engines
(tests/verify), so what it says here is what happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.causes.containers import image, the_container
from tests.explain.memory import web

from caplet.causes.catalogue import causes_of
from caplet.explain.container import explain
from caplet.explain.explanation import Verdict
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.explain.explanation import Explanation

ADMIN = Caps.of(Cap.NET_ADMIN)
ADDED = "runAsUser: 65532, capabilities: {drop: [ALL], add: [NET_ADMIN]}"
ADDED_NNP = ADDED.replace("capabilities", "allowPrivilegeEscalation: false, capabilities")
CARRIES = {"/app": "elf cap_net_admin=ep"}
KUBERNETES = ("containerd:1.6", "containerd:1.7", "containerd:2.1", "crio")


def explained(
    security: str, files: Mapping[str, str], on: str, argv: tuple[str, ...] = ("/app",), users: str = ""
) -> Explanation:
    text = web(security, ports="[]")
    pod, container = the_container(text.replace("spec:\n", f"spec:\n  {users}\n", 1) if users else text)
    (node,) = nodes(on)
    return explain(pod, container, image(files, {"Entrypoint": list(argv)}), node)


@pytest.mark.parametrize("on", [*KUBERNETES, "docker", "docker:23.0.7"])
def test_no_new_privs_does_not_make_a_file_capability_moot(on: str) -> None:
    """dunglas/mercure#1230, g0lab/g0efilter#170 say it does. It holds where the caller has the capability."""
    explanation = explained(ADDED_NNP, CARRIES, on)
    assert explanation.final is not None
    assert explanation.final.no_new_privs
    assert explanation.held == ADMIN
    assert explanation.verdict == Verdict.EFFECTIVE


@pytest.mark.parametrize(
    ("on", "code", "argv"),
    [
        ("docker:20.10", "CAP104", ("/app",)),
        ("docker:23.0.6", "CAP104", ("/app",)),
        ("containerd:1.7+runsc:20260727", "CAP104", ("/app",)),
        ("containerd:1.7", "CAP103", ("/wrapper", "/app")),
    ],
)
def test_where_no_new_privs_does(on: str, code: str, argv: tuple[str, ...]) -> None:
    """Behind a wrapper, on older Docker and on newer gVisor; without no_new_privs the same works."""
    files = {**CARRIES, "/wrapper": '#!/bin/sh\nexec "$@"\n'}
    explanation = explained(ADDED_NNP, files, on, argv)
    assert explanation.held == NO_CAPS
    assert [found.cause.code for found in causes_of(explanation)] == [code]
    assert explained(ADDED, files, on, argv).held == ADMIN


@pytest.mark.parametrize("on", KUBERNETES)
@pytest.mark.parametrize("escalation", ["true", "false"])
def test_no_new_privs_does_not_make_execve_fail(on: str, escalation: str) -> None:
    """joryirving/home-ops#10128 says it does: EPERM is about the bounding set, with and without."""
    security = f"runAsUser: 65532, allowPrivilegeEscalation: {escalation}, capabilities: {{drop: [ALL]"
    refused = explained(security + "}", CARRIES, on)
    assert refused.failed is not None
    assert refused.failed.error == "EPERM"
    assert refused.failed.arithmetic is not None
    assert refused.failed.arithmetic.missing == ADMIN
    assert explained(security + ", add: [NET_ADMIN]}", CARRIES, on).failed is None


@pytest.mark.parametrize("on", ["containerd:2.1", "crio"])
def test_file_capabilities_work_in_a_user_namespace(on: str) -> None:
    """mcdonc/klangk#2053 says that they are ignored. Revision 2 counts in every one."""
    explanation = explained(ADDED_NNP, CARRIES, on, users="hostUsers: false")
    assert explanation.final is not None
    assert explanation.final.user_ns.parent is not None
    assert explanation.held == ADMIN


def test_those_of_another_user_namespace_are_ignored_in_silence() -> None:
    explanation = explained(ADDED, {"/app": "elf cap_net_admin=ep [rootid=100000]"}, "containerd:1.7")
    assert explanation.failed is None
    assert explanation.held == NO_CAPS
    assert [found.cause.code for found in causes_of(explanation)] == ["CAP115"]


def test_images_carry_file_capabilities() -> None:
    """docker/labs says that they cannot; the layer's PAX record is what is read here."""
    facts = image(CARRIES, {"Entrypoint": ["/app"]})
    assert str(facts.program(("/app",), (), "/").file.caps) == "cap_net_admin=ep"


def test_names_in_a_pod_have_no_prefix() -> None:
    """With it they work on CRI-O and Docker, and do harm on containerd."""
    prefixed = ADDED.replace("NET_ADMIN", "CAP_NET_ADMIN")
    assert explained(ADDED, CARRIES, "containerd:1.7").verdict == Verdict.EFFECTIVE
    assert explained(prefixed, CARRIES, "crio").verdict == Verdict.EFFECTIVE
    harmed = explained(prefixed, CARRIES, "containerd:1.7")
    assert harmed.verdict == Verdict.EXEC_FAILS
    assert [found.cause.code for found in causes_of(harmed)] == ["CAP112"]


@pytest.mark.parametrize("on", KUBERNETES)
def test_add_fills_more_than_the_bounding_set(on: str) -> None:
    """Permitted and effective of the process before its first execve too, which is why no_new_privs does no harm."""
    created = explained(ADDED_NNP, CARRIES, on).created
    assert created is not None
    assert created.caps.bounding == created.caps.permitted == created.caps.effective == ADMIN
    assert created.caps.ambient == NO_CAPS


@pytest.mark.parametrize("on", ["containerd:1.7", "containerd:2.1", "docker", "podman"])
def test_privileged_gives_a_user_other_than_root_nothing(on: str) -> None:
    """kubernetes/kubectl#1650."""
    explanation = explained("runAsUser: 1000, privileged: true", {"/app": "elf"}, on)
    assert explanation.held == NO_CAPS
    assert [found.cause.code for found in causes_of(explanation)] == ["CAP111"]
    assert explained("privileged: true", {"/app": "elf"}, on).lost == NO_CAPS
