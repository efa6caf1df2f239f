# SPDX-License-Identifier: Apache-2.0
"""Log lines: each example matches its cause, and lines of the field name the causes that it may be."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from tests.causes.containers import image, the_container
from tests.explain.memory import web

from caplet.causes.catalogue import CAUSES, causes_of
from caplet.explain.container import explain
from caplet.runtimes.node import RUNTIMES, nodes

if TYPE_CHECKING:
    from caplet.causes.cause import Cause, Log
    from caplet.runtimes.engine import OCIRuntime
    from caplet.runtimes.model import Version

EXAMPLES = [
    pytest.param(cause, log, id=f"{cause.code}-{log.example[:40]}") for cause in CAUSES for log in cause.logs
]


def candidates(line: str) -> set[str]:
    return {cause.code for cause in CAUSES if any(log.match(line) for log in cause.logs)}


@pytest.mark.parametrize(("cause", "log"), EXAMPLES)
def test_an_example_matches_its_own_pattern(cause: Cause, log: Log) -> None:
    match = log.match(log.example)
    assert match is not None
    assert cause.code in candidates(log.example)
    assert all(match.groupdict().values()), "a group without text tells nobody anything"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("exec /usr/bin/caddy: operation not permitted", {"CAP102"}),
        ('exec user process caused "operation not permitted"', {"CAP102"}),
        ('standard_init_linux.go:211: exec user process caused "operation not permitted"', {"CAP102"}),
        ("exec container process `/usr/bin/caddy`: Operation not permitted", {"CAP102"}),
        ("/docker-entrypoint.sh: line 12: /usr/bin/caddy: Operation not permitted", {"CAP102"}),
        ("[dumb-init] /nginx-ingress-controller: Operation not permitted", {"CAP102"}),
        ("[FATAL tini (7)] exec /app failed: Operation not permitted", {"CAP102"}),
        ("[Errno 1] Operation not permitted: 'envoy'", {"CAP102"}),
        ("/usr/share/heartbeat/heartbeat: Operation not permitted", {"CAP102", "CAP110"}),
        ("listen tcp :80: bind: permission denied", {"CAP101", "CAP103", "CAP104", "CAP106"}),
        ("Listen: listen tcp :53: bind: permission denied", {"CAP101", "CAP103", "CAP104", "CAP106"}),
        ("bind() to 0.0.0.0:80 failed (13: Permission denied)", {"CAP101", "CAP103", "CAP104", "CAP106"}),
        ("unable to set CAP_SETFCAP effective capability: Operation not permitted", {"CAP105"}),
        ("java: error while loading shared libraries: libjli.so: cannot open shared object file", {"CAP108"}),
        (
            "Error loading shared library libjli.so: No such file or directory (needed by /usr/bin/java)",
            {"CAP108"},
        ),
        ("error: exec failed: invalid argument", {"CAP109"}),
        ('unknown capability "CAP_CAP_NET_RAW"', {"CAP112"}),
        ("ignoring unknown or unavailable capabilities: [CAP_CAP_NET_RAW]", {"CAP112"}),
        ("Failed to set capabilities on file `/bin/app' (Operation not supported)", {"CAP135"}),
        ("Failed to set capabilities on file '/bin/app' (Not supported)", {"CAP135"}),
        ("Failed to set capabilities on file `/bin/app' (Invalid argument)", {"CAP135"}),
        (
            "container has runAsNonRoot and image has non-numeric user (nonroot), cannot verify user is non-root",
            {"CAP120"},
        ),
        (
            'container has runAsNonRoot and image will run as root (pod: "web_default(1)", container: web)',
            {"CAP120"},
        ),
        ("unable to gain root privileges", {"CAP121"}),
        ("sudo: effective uid is not 0, is sudo installed setuid root?", {"CAP121"}),
        ("ibv_reg_mr: ENOMEM", {"CAP101", "CAP140"}),
        ("mlockall(MCL_CURRENT): Cannot allocate memory", {"CAP101", "CAP140"}),
        ("io_uring_queue_init: Cannot allocate memory", {"CAP101", "CAP140"}),
        ("Port 80 is already in use", {"CAP101"}),
        ("panic: fork/exec /usr/sbin/virtqemud: errno 0", {"CAP104"}),
        (
            "map create: operation not permitted (MEMLOCK may be too low, consider rlimit.RemoveMemlock)",
            {"CAP142"},
        ),
        ("[denied by autogke-default-linux-capabilities]", {"CAP122"}),
    ],
)
def test_a_line_of_the_field_names_its_candidates(line: str, codes: set[str]) -> None:
    assert codes <= candidates(line)


@pytest.mark.parametrize(
    "line",
    [
        "Server listening on :80",
        "open /etc/app.yaml: permission denied",
        "mkdir /data: Operation not permitted for user, retrying",
        "GET /exec HTTP/1.1 200",
        "dial tcp 10.0.0.1:80: connect: permission denied",
        "Cannot allocate memory",
        "",
    ],
)
def test_ordinary_lines_name_none(line: str) -> None:
    assert candidates(line) == set()


def test_the_program_is_read_from_the_line() -> None:
    (log,) = [log for log in CAUSES[1].logs if log.example.startswith("exec container")]
    match = log.match("exec container process `/usr/bin/caddy`: Operation not permitted")
    assert match is not None
    assert match["program"] == "/usr/bin/caddy"


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.code)
def test_patterns_stay_fast_on_endless_lines(cause: Cause) -> None:
    """No pattern may backtrack without bound: a log line is anybody's text."""
    for text in (
        "exec /" + "a" * 4000,
        "bind " * 800,
        "(" * 4000,
        "/a: " * 1000,
        "permission denied " * 250,
        "[" * 4000,
    ):
        for log in cause.logs:
            log.match(text)


SAID = [
    pytest.param(runtime, version, id=f"{runtime.name}:{version}")
    for runtime in RUNTIMES.values()
    for version in runtime.releases
]


@pytest.mark.parametrize(("runtime", "version"), SAID)
@pytest.mark.parametrize(
    ("number", "code"), [(errno.EPERM, "CAP102"), (errno.EINVAL, "CAP109"), (errno.EOVERFLOW, "CAP115")]
)
def test_what_a_runtime_says_of_execve_is_known(
    runtime: OCIRuntime, version: Version, number: int, code: str
) -> None:
    """The line of each release, as the model of the runtime has it."""
    line = runtime.exec_error("/usr/bin/app", number, version)
    assert code in candidates(line), line
    assert code in candidates(f"container web: {line}")


@pytest.mark.parametrize(
    ("security", "on", "code"),
    [
        (
            "capabilities: {add: [NET_RAWW]}",
            "crio,docker,podman,containerd:2.1+crun:1.29,containerd:1.5.0",
            "CAP112",
        ),
        ("capabilities: {add: [NET_RAW], drop: [NET_RAW]}", "podman", "CAP118"),
        ("capabilities: {add: [ALL], drop: [ALL]}", "podman", "CAP119"),
        ("runAsNonRoot: true", "containerd,crio", "CAP120"),
        ("runAsNonRoot: true, runAsUser: 0", "containerd,crio", "CAP120"),
        ("capabilities: {add: [SYS_MODULE]}", "gke-autopilot,openshift", "CAP122"),
        ("privileged: true", "eks-fargate+containerd:1.7", "CAP122"),
        ("privileged: true, allowPrivilegeEscalation: false", "containerd", "CAP123"),
        ("capabilities: {add: [BPF]}", "docker:20.10", "CAP132"),
    ],
)
def test_what_refuses_a_container_says_so_in_a_known_line(security: str, on: str, code: str) -> None:
    """The text of the refusal leads to the cause that the refusal has."""
    pod, container = the_container(web(security, ports="[]"))
    facts = image({"/app": "elf"}, {"Entrypoint": ["/app"]})
    for node in nodes(on):
        explanation = explain(pod, container, facts, node)
        assert explanation.refused is not None
        assert [found.cause.code for found in causes_of(explanation)] == [code]
        assert code in candidates(explanation.refused.message), explanation.refused.message
