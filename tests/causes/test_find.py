# SPDX-License-Identifier: Apache-2.0
"""Each example has its cause, and it alone; containers that work have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.causes.containers import explanations, image, the_container
from tests.explain.memory import web

from caplet.causes.catalogue import CAUSES, causes_of
from caplet.explain.container import explain
from caplet.explain.explanation import Explanation, Verdict
from caplet.remedies.remedies import WORKS, remedies_of
from caplet.runtimes import containerd
from caplet.runtimes.model import Since, Version
from caplet.runtimes.node import nodes

if TYPE_CHECKING:
    from caplet.causes.cause import Cause, Example

EXAMPLES = [
    pytest.param(cause, one, id=f"{cause.code}-{one.title}") for cause in CAUSES for one in cause.examples
]
ENGINES = "containerd:1.7,containerd:2.1,crio,docker,docker:20.10,podman"


def codes(explanation: Explanation, *, weight: str = "") -> set[str]:
    return {found.cause.code for found in causes_of(explanation) if not weight or found.weight == weight}


@pytest.mark.parametrize(("cause", "example"), EXAMPLES)
def test_an_example_has_its_cause_and_no_other_breaks_it(cause: Cause, example: Example) -> None:
    for explanation in explanations(example):
        assert cause.code in codes(explanation), explanation.verdict
        breaking = codes(explanation, weight="breaks") - {cause.code}
        allowed = {"CAP101"} if cause.weight == "hint" else set()
        assert breaking <= allowed


@pytest.mark.parametrize(("cause", "example"), EXAMPLES)
def test_an_example_is_mended_where_it_says_so(cause: Cause, example: Example) -> None:
    for explanation in explanations(example):
        remedies = remedies_of(explanation)
        assert bool(remedies) == example.mended, [remedy.title for remedy in remedies]
        assert all(remedy.explanation.verdict in WORKS for remedy in remedies)


@pytest.mark.parametrize(("cause", "example"), EXAMPLES)
def test_what_is_mended_has_the_cause_no_more(cause: Cause, example: Example) -> None:
    for explanation in explanations(example):
        for remedy in remedies_of(explanation):
            left = codes(remedy.explanation, weight="breaks")
            assert not left, (remedy.title, left)


@pytest.mark.parametrize(("cause", "example"), EXAMPLES)
def test_messages_are_one_sentence_of_names(cause: Cause, example: Example) -> None:
    for explanation in explanations(example):
        for found in causes_of(explanation):
            assert found.message
            assert "\n" not in found.message
            assert "0x" not in found.message
            assert "None" not in found.message


STRICT = "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_RAW]}"
HEALTHY = {
    "root and the default set": (web(ports="[]"), {"/app": "elf"}),
    "root and drop ALL": (web("capabilities: {drop: [ALL]}", ports="[]"), {"/app": "elf"}),
    "root on port 80": (web(), {"/app": "elf"}),
    "non-root on a high port": (
        web("runAsUser: 65532, runAsNonRoot: true", ports="[{containerPort: 8080}]"),
        {"/app": "elf"},
    ),
    "the restricted standard": (
        web(
            "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}",
            ports="[{containerPort: 8080}]",
        ),
        {"/app": "elf"},
    ),
    "granted and added": (web(STRICT, ports="[]"), {"/app": "elf cap_net_raw=ep"}),
    "a sysctl for the port": (
        web(
            "runAsUser: 65532, capabilities: {drop: [ALL]}",
            whole='sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]',
        ),
        {"/app": "elf"},
    ),
    "privileged root": (web("privileged: true", ports="[]"), {"/app": "elf"}),
    "all dropped from root": (
        web("runAsUser: 0, capabilities: {drop: [NET_RAW, MKNOD]}", ports="[]"),
        {"/app": "elf"},
    ),
    "a lower-case name": (web("capabilities: {drop: [all], add: [net_raw]}", ports="[]"), {"/app": "elf"}),
    "set-user-ID allowed": (web("runAsUser: 1000", ports="[]"), {"/app": "elf setuid"}),
}
HEALTHY_ON = {
    "privileged root": "containerd:1.7,containerd:2.1,crio,docker,podman",
    "granted and added": "containerd:1.7,containerd:2.1,crio,docker,podman",
}


@pytest.mark.parametrize("title", HEALTHY)
def test_a_healthy_container_has_no_cause(title: str) -> None:
    text, files = HEALTHY[title]
    pod, container = the_container(text)
    facts = image(files, {"Entrypoint": ["/app"]})
    for node in nodes(HEALTHY_ON.get(title, ENGINES)):
        explanation = explain(pod, container, facts, node)
        assert explanation.verdict == Verdict.EFFECTIVE, (node, explanation.verdict)
        assert codes(explanation) == set(), node


ACCOUNTS = {
    "/etc/passwd": "root:x:0:0::/:/bin/sh\nredis:x:999:999::/:/bin/sh\n",
    "/etc/group": "root:x:0:\nredis:x:999:\n",
}
WRAPPED = {
    "gosu as root": (
        web("capabilities: {drop: [ALL], add: [SETUID, SETGID]}", ports="[{containerPort: 6379}]"),
        {"/usr/bin/gosu": "elf", "/app": "elf", **ACCOUNTS},
        ["/usr/bin/gosu", "redis", "/app"],
    ),
    "tini and a server": (
        web("runAsUser: 1000, allowPrivilegeEscalation: false", ports="[{containerPort: 8080}]"),
        {"/sbin/tini": "elf", "/app": "elf"},
        ["/sbin/tini", "--", "/app"],
    ),
    "tini and the server both carry it": (
        web(STRICT, ports="[]"),
        {"/sbin/tini": "elf cap_net_raw=ep", "/app": "elf cap_net_raw=ep"},
        ["/sbin/tini", "--", "/app"],
    ),
}


@pytest.mark.parametrize("title", WRAPPED)
def test_a_healthy_chain_has_no_cause(title: str) -> None:
    text, files, argv = WRAPPED[title]
    pod, container = the_container(text)
    for node in nodes("containerd:1.7,crio"):
        explanation = explain(pod, container, image(files, {"Entrypoint": argv}), node)
        assert codes(explanation) == set(), (node, explanation.verdict)
        assert explanation.verdict == Verdict.EFFECTIVE


def test_what_is_not_known_has_no_cause() -> None:
    """Of an image that could not be reached nothing is guessed."""
    pod, container = the_container(web(STRICT))
    for node in nodes(ENGINES):
        explanation = explain(pod, container, None, node)
        assert explanation.verdict == Verdict.UNKNOWN
        assert not codes(explanation)


def test_a_file_that_is_given_to_another_owner_loses_its_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    """containerd 1.7's way, with a kubelet that lets it."""
    monkeypatch.setattr(containerd, "ROOTFS", Since(((Version(1), "chowned"),)))
    text = web(STRICT, ports="[]").replace("spec:\n", "spec:\n  hostUsers: false\n", 1)
    pod, container = the_container(text)
    (node,) = nodes("containerd:2.1")
    explanation = explain(
        pod, container, image({"/app": "elf cap_net_raw=ep"}, {"Entrypoint": ["/app"]}), node
    )
    assert codes(explanation) == {"CAP128"}


SETCAP = "#!/bin/sh\nsetcap cap_ipc_lock=+ep /bin/vault\nexec /bin/vault server\n"
VAULT = {"/entry.sh": SETCAP, "/bin/vault": "elf", "/sbin/setcap": "elf"}


@pytest.mark.parametrize(
    ("security", "verdict", "expected"),
    [
        ("runAsUser: 100", Verdict.INERT, {"CAP105"}),
        ("runAsUser: 100, capabilities: {add: [IPC_LOCK]}", Verdict.INERT, {"CAP105", "CAP140"}),
        ("capabilities: {drop: [ALL]}", Verdict.INERT, {"CAP105"}),
        ("capabilities: {add: [IPC_LOCK]}", Verdict.EFFECTIVE, set()),
    ],
    ids=["non-root", "non-root with the capability", "root without SETFCAP", "root with SETFCAP"],
)
def test_who_may_run_setcap(security: str, verdict: Verdict, expected: set[str]) -> None:
    pod, container = the_container(web(security, ports="[]"))
    (node,) = nodes("containerd:1.7")
    explanation = explain(pod, container, image(VAULT, {"Entrypoint": ["/entry.sh"]}), node)
    assert explanation.verdict == verdict
    assert codes(explanation) == expected


def test_what_setcap_changes_is_not_known() -> None:
    """Root may run it, and then another user executes the file: what it carries is not what the image says."""
    files = {
        **ACCOUNTS,
        "/usr/bin/gosu": "elf",
        "/entry.sh": SETCAP.replace("exec", "exec gosu redis"),
        "/bin/vault": "elf",
        "/sbin/setcap": "elf",
    }
    pod, container = the_container(web("capabilities: {add: [IPC_LOCK]}", ports="[{containerPort: 80}]"))
    (node,) = nodes("containerd:1.7")
    explanation = explain(pod, container, image(files, {"Entrypoint": ["/entry.sh"]}), node)
    assert explanation.verdict == Verdict.UNKNOWN
    assert "setcap cap_ipc_lock=+ep /bin/vault" in explanation.open_questions[-1].what
    assert codes(explanation) == set()


SETPRIV = ["/usr/bin/setpriv", "--reuid", "999", "--regid", "999", "--clear-groups"]
AMBIENT = [*SETPRIV, "--inh-caps", "+net_bind_service", "--ambient-caps", "+net_bind_service", "--", "/app"]
SWITCHES = "allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [SETUID, SETGID, %s]}"


@pytest.mark.parametrize(
    ("argv", "add", "verdict", "expected"),
    [
        (AMBIENT, "NET_BIND_SERVICE", Verdict.EFFECTIVE, set()),
        ([*SETPRIV, "--", "/app"], "NET_BIND_SERVICE", Verdict.INERT, {"CAP126"}),
        ([*SETPRIV, "--", "/app"], "NET_ADMIN", Verdict.INERT, {"CAP126"}),
        ([*SETPRIV, "--", "/app"], "CHOWN", Verdict.EFFECTIVE, set()),
        ([*SETPRIV, "--", "/carries"], "NET_RAW", Verdict.EFFECTIVE, set()),
    ],
    ids=[
        "ambient",
        "a port",
        "a capability of the program",
        "one for root's part",
        "setpriv keeps what is permitted",
    ],
)
def test_root_becomes_somebody_else(argv: list[str], add: str, verdict: Verdict, expected: set[str]) -> None:
    ports = "[{containerPort: 80}]" if add == "NET_BIND_SERVICE" else "[]"
    files = {"/usr/bin/setpriv": "elf", "/app": "elf", "/carries": "elf cap_net_raw=ep", **ACCOUNTS}
    pod, container = the_container(web(SWITCHES % add, ports=ports))
    for node in nodes("containerd:1.7,crio"):
        explanation = explain(pod, container, image(files, {"Entrypoint": argv}), node)
        assert explanation.verdict == verdict
        assert codes(explanation) == expected
