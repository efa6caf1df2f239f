# SPDX-License-Identifier: Apache-2.0
"""Verdicts of whole containers. What the runtimes make of them was measured: tests/verify has the recorded engines."""

from __future__ import annotations

import errno

import pytest
from tests.explain.memory import ELF, explained, image, web

from caplet.explain.explanation import Explanation, Verdict
from caplet.image.rootfs import File
from caplet.kernel.capable import BindPort
from caplet.kernel.caps import Cap, Caps

NBS = Caps.of(Cap.NET_BIND_SERVICE)
STRICT = (
    "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
)
PLAIN = image({"/app": "elf"}, Entrypoint=["/app"])
GRANTED = image({"/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/app"])
RELAXED = image({"/app": "elf cap_net_bind_service=p"}, Entrypoint=["/app"])


@pytest.mark.parametrize(
    ("facts", "on", "verdict"),
    [
        (PLAIN, "containerd:1.7", Verdict.INERT),
        (PLAIN, "containerd:2.1", Verdict.NOT_NEEDED),
        (PLAIN, "crio", Verdict.INERT),
        (PLAIN, "docker", Verdict.NOT_NEEDED),
        (PLAIN, "podman", Verdict.EFFECTIVE),
        (GRANTED, "containerd:1.7", Verdict.EFFECTIVE),
        (GRANTED, "crio", Verdict.EFFECTIVE),
        (GRANTED, "docker", Verdict.EFFECTIVE),
        (GRANTED, "docker:20.10", Verdict.NOT_NEEDED),
        (RELAXED, "containerd:1.7", Verdict.UNKNOWN),
        (RELAXED, "containerd:2.1", Verdict.NOT_NEEDED),
    ],
)
def test_the_same_pod_on_different_nodes(facts: object, on: str, verdict: Verdict) -> None:
    explanation = explained(web(STRICT), facts, on)  # type: ignore[arg-type]
    assert explanation.verdict == verdict


def test_a_capability_outside_the_bounding_set_fails_at_exec() -> None:
    explanation = explained(web("runAsUser: 65532, capabilities: {drop: [ALL]}", ports="[]"), GRANTED)
    assert explanation.verdict == Verdict.EXEC_FAILS
    assert explanation.failed is not None
    assert explanation.failed.error == "EPERM"
    assert explanation.failed.arithmetic is not None
    assert explanation.failed.arithmetic.missing == NBS


def test_root_keeps_what_is_granted() -> None:
    explanation = explained(web("capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"), PLAIN)
    assert explanation.verdict == Verdict.EFFECTIVE
    assert explanation.final is not None
    assert explanation.final.caps.effective == NBS


def test_privileged_gives_a_user_other_than_root_nothing() -> None:
    explanation = explained(web("runAsUser: 1000, privileged: true", ports="[]"), PLAIN)
    assert explanation.verdict == Verdict.INERT
    assert len(explanation.lost) == len(explanation.asked) == 41


def test_a_port_that_nobody_allows() -> None:
    explanation = explained(web("runAsUser: 1000"), PLAIN)
    assert explanation.closed_ports == (80,)
    assert explanation.verdict == Verdict.INERT
    assert (
        explained(web("runAsUser: 1000", ports="[{containerPort: 8080}]"), PLAIN).verdict == Verdict.EFFECTIVE
    )


def test_the_pods_own_sysctl_opens_the_ports() -> None:
    whole = "sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '80'}]"
    explanation = explained(web("runAsUser: 1000", whole=whole), PLAIN)
    assert explanation.can(BindPort(80)) is True
    assert explanation.can(BindPort(79)) is False
    assert explanation.verdict == Verdict.EFFECTIVE


def test_a_wrapper_under_no_new_privs_loses_it_for_good() -> None:
    facts = image(
        {"/entry.sh": "#!/bin/sh\nexec /app\n", "/app": "elf cap_net_bind_service=ep"},
        Entrypoint=["/entry.sh"],
    )
    explanation = explained(web(STRICT), facts, then=(("/app",),))
    assert explanation.verdict == Verdict.INERT
    assert [step.title for step in explanation.steps] == [
        "config.json",
        "exec /entry.sh -> /bin/sh",
        "exec /app (cap_net_bind_service=ep)",
    ]
    loose = STRICT.replace("allowPrivilegeEscalation: false, ", "")
    assert explained(web(loose), facts, then=(("/app",),)).verdict == Verdict.EFFECTIVE


@pytest.mark.parametrize(
    ("argv", "verdict"),
    [
        (["/bin/sh", "-c", "/entry.sh"], Verdict.EFFECTIVE),
        (["/entry.sh"], Verdict.EXEC_FAILS),
        (["/sbin/gosu", "0:0", "/entry.sh"], Verdict.EXEC_FAILS),
        (["/sbin/gosu", "ghost", "/app"], Verdict.EXEC_FAILS),
        (["/sbin/tini"], Verdict.EXEC_FAILS),
    ],
)
def test_what_wrappers_refuse_and_what_they_hand_to_a_shell(argv: list[str], verdict: Verdict) -> None:
    files = dict.fromkeys(["/bin/sh", "/sbin/gosu", "/sbin/tini", "/app"], "elf")
    facts = image({**files, "/entry.sh": "exec /app\n"}, Entrypoint=argv)
    explanation = explained(web("capabilities: {add: [CHOWN]}", ports="[]"), facts)
    assert explanation.verdict == verdict


def test_a_wrapper_that_ends_says_why() -> None:
    facts = image({"/sbin/gosu": "elf", "/app": "elf"}, Entrypoint=["/sbin/gosu", "ghost", "/app"])
    failed = explained(web("capabilities: {add: [CHOWN]}", ports="[]"), facts).failed
    assert failed is not None
    assert (failed.errno, failed.reason) == (0, "gosu: the image has no user ghost")


def test_variables_from_the_cluster_are_not_unset() -> None:
    facts = image({"/bin/sh": "elf", "/app": "elf"}, Entrypoint=["/bin/sh", "-c", "exec ${PROG:-/app}"])
    pod = web(
        "runAsUser: 1000, capabilities: {add: [CHOWN]}",
        ports="[]",
        envFrom="[{configMapRef: {name: settings}}]",
    )
    assert explained(pod, facts).verdict == Verdict.UNKNOWN


def test_tini_is_followed() -> None:
    facts = image(
        {"/sbin/tini": "elf cap_net_bind_service=ep", "/app": "elf cap_net_bind_service=ep"},
        Entrypoint=["/sbin/tini", "--", "/app"],
    )
    explanation = explained(web(STRICT), facts)
    assert explanation.verdict == Verdict.EFFECTIVE
    assert explanation.steps[-1].title == "exec /app (cap_net_bind_service=ep)"


@pytest.mark.parametrize(
    ("entrypoint", "number"),
    [
        ("/nothing", errno.ENOENT),
        ("/data", errno.EACCES),
        ("/text", errno.ENOEXEC),
        ("/locked", errno.EACCES),
    ],
)
def test_what_does_not_start_for_other_reasons(entrypoint: str, number: int) -> None:
    files = {
        "/data": File(ELF, mode=0o644),
        "/text": File(b"words", mode=0o755),
        "/locked": File(ELF, mode=0o700),
    }
    explanation = explained(web("runAsUser: 1000", ports="[]"), image(files, Entrypoint=[entrypoint]))
    assert explanation.verdict == Verdict.EXEC_FAILS
    assert explanation.failed is not None
    assert explanation.failed.errno == number


def test_a_broken_attribute_fails_at_exec() -> None:
    facts = image({"/app": "elf"}, Entrypoint=["/app"]).with_attributes({b"/app": b"\1\2"})
    explanation = explained(web("runAsUser: 1000", ports="[]"), facts)
    assert explanation.failed is not None
    assert explanation.failed.errno == errno.EINVAL


def test_the_kubelet_refuses_a_user_by_name() -> None:
    facts = image({"/app": "elf", "/etc/passwd": "app:x:7:7::/:/bin/sh\n"}, Entrypoint=["/app"], User="app")
    explanation = explained(web("runAsNonRoot: true", ports="[]"), facts)
    assert explanation.verdict == Verdict.REFUSED
    assert explanation.refused is not None
    assert "non-numeric user (app)" in explanation.refused.message
    assert explained(web("runAsNonRoot: true, runAsUser: 7", ports="[]"), facts).verdict == Verdict.EFFECTIVE


def test_without_the_image_what_is_certain_is_said() -> None:
    explanation = explained(web(STRICT), None)
    assert explanation.verdict == Verdict.UNKNOWN
    assert explanation.created is not None
    assert explanation.created.caps.permitted == NBS
    assert explanation.doubts


@pytest.mark.parametrize("path", ["/opt", "/opt/", "//opt", "opt", "./opt", "/tmp/../opt", "/../opt/./"])
def test_a_volume_over_the_program_is_a_doubt(path: str) -> None:
    text = (
        web(STRICT, volumeMounts=f"[{{name: data, mountPath: {path}}}]")
        + "  volumes: [{name: data, emptyDir: {}}]\n"
    )
    facts = image({"/opt/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/opt/app"])
    assert explained(text, facts).verdict == Verdict.UNKNOWN


def test_user_namespaces() -> None:
    text = web(STRICT) + "  hostUsers: false\n"
    keeps, refuses = (explained(text, GRANTED, on) for on in ("containerd:2.1", "containerd:1.7"))
    assert keeps.verdict == Verdict.EFFECTIVE
    assert keeps.final is not None
    assert keeps.final.user_ns.level == 1
    assert keeps.final.seen().euid == 65532
    assert refuses.verdict == Verdict.REFUSED


def test_set_user_id_root_in_a_user_namespace_is_its_root() -> None:
    facts = image({"/app": "elf setuid"}, Entrypoint=["/app"])
    text = web("runAsUser: 65532", ports="[]") + "  hostUsers: false\n"
    final = explained(text, facts, "containerd:2.1").final
    assert final is not None
    assert (final.seen().uid, final.seen().euid) == (65532, 0)
    assert final.euid == final.user_ns.root


def test_names_of_all_spellings_ask_for_the_same() -> None:
    for name in ("NET_BIND_SERVICE", "net_bind_service", "CAP_NET_BIND_SERVICE", "cap_net_bind_service"):
        explanation: Explanation = explained(web(f"capabilities: {{add: [{name}]}}"), PLAIN)
        assert explanation.asked == NBS


def test_the_api_server_refuses_users_out_of_range() -> None:
    explanation = explained(web("runAsUser: -1"), PLAIN)
    assert explanation.verdict == Verdict.REFUSED
    assert explanation.refused is not None
    assert explanation.refused.by == "API server"
    assert "must be between 0 and 2147483647, inclusive" in explanation.refused.message


def test_a_script_that_depends_on_what_only_the_cluster_knows() -> None:
    facts = image(
        {"/entry.sh": '#!/bin/sh\nexec "$SERVER"\n', "/app": "elf cap_net_bind_service=ep"},
        Entrypoint=["/entry.sh"],
    )
    loose = STRICT.replace("allowPrivilegeEscalation: false, ", "")
    known = web(loose, env="[{name: SERVER, value: /app}]")
    later = web(loose, env="[{name: SERVER, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]")
    assert explained(known, facts).verdict == Verdict.EFFECTIVE
    assert explained(later, facts).verdict == Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("security", "on", "verdict"),
    [
        ("runAsUser: 1000", "containerd:2.1", Verdict.UNKNOWN),
        ("runAsUser: 1000", "docker", Verdict.UNKNOWN),
        ("", "containerd:2.1", Verdict.EFFECTIVE),
        ("runAsUser: 1000, capabilities: {add: [NET_BIND_SERVICE]}", "containerd:2.1", Verdict.INERT),
        ("runAsUser: 1000, capabilities: {add: [NET_BIND_SERVICE]}", "podman", Verdict.EFFECTIVE),
    ],
)
def test_on_the_nodes_network_its_own_setting_decides(security: str, on: str, verdict: Verdict) -> None:
    explanation = explained(web(security).replace("spec:\n", "spec:\n  hostNetwork: true\n", 1), PLAIN, on)
    assert explanation.verdict == verdict
    decided = [one.decided_by for one in explanation.doubts]
    expected = ["`sysctl net.ipv4.ip_unprivileged_port_start` on the node"]
    assert decided == (expected if verdict == Verdict.UNKNOWN else [])


@pytest.mark.parametrize(
    ("on", "own", "value", "verdict"),
    [
        ("containerd:2.1", "", "080", Verdict.REFUSED),
        ("crio", "", "abc", Verdict.REFUSED),
        ("containerd:2.1", "", "0x50", Verdict.EFFECTIVE),
        ("containerd:2.1", "", "0x51", Verdict.INERT),
        ("containerd:2.1", "", "", Verdict.INERT),
        ("docker", "hostNetwork: true", "0", Verdict.REFUSED),
        ("podman", "hostNetwork: true", "0", Verdict.REFUSED),
    ],
)
def test_sysctls_as_they_are_written(on: str, own: str, value: str, verdict: Verdict) -> None:
    whole = f"sysctls: [{{name: net.ipv4.ip_unprivileged_port_start, value: '{value}'}}]"
    text = web("runAsUser: 1000", whole=whole).replace("spec:\n", f"spec:\n  {own}\n", 1)
    assert explained(text, PLAIN, on).verdict == verdict


@pytest.mark.parametrize("user", ["app", "app:", "1000", "1000:"])
@pytest.mark.parametrize("on", ["docker", "podman", "containerd:1.7", "crio"])
def test_a_colon_without_a_group_leaves_the_users_own(user: str, on: str) -> None:
    files: dict[str, str | File] = {"/app": "elf", "/etc/passwd": File(b"app:x:1000:1001::/:/bin/sh\n")}
    explanation = explained(web(), image(files, Entrypoint=["/app"], User=user), on)
    assert explanation.account is not None
    assert (explanation.account.uid, explanation.account.gid) == (1000, 1001)


@pytest.mark.parametrize(
    ("command", "env_from", "verdict"),
    [
        ("exec $PROG", True, Verdict.UNKNOWN),
        ("exec ${PROG:-/app}", True, Verdict.UNKNOWN),
        ("exec ${PROG:-/app}", False, Verdict.EFFECTIVE),
        ("exec /app $CONF", True, Verdict.EFFECTIVE),
        ("exec ${PROG:-/app}", None, Verdict.EFFECTIVE),
    ],
)
def test_variables_of_envfrom_are_not_known(command: str, env_from: bool | None, verdict: Verdict) -> None:
    """None: the image sets it."""
    text = web(
        "runAsUser: 65532, capabilities: {add: [NET_BIND_SERVICE]}",
        command=f"[sh, -c, '{command}']",
        **({} if env_from is False else {"envFrom": "[{configMapRef: {name: x}}]"}),
    )
    env = ["PROG=/app", "PATH=/bin"] if env_from is None else ["PATH=/bin"]
    facts = image({"/app": "elf cap_net_bind_service=ep"}, Env=env)
    assert explained(text, facts).verdict == verdict


@pytest.mark.parametrize(
    ("more", "verdict"),
    [
        ({"command": "[$(PROG)]", "envFrom": "[{configMapRef: {name: x}}]"}, Verdict.UNKNOWN),
        ({"command": "[$(PROG)]", "env": "[{name: PROG, valueFrom: {fieldRef: {fieldPath: a}}}]"}, Verdict.UNKNOWN),
        ({"command": "[$$(PROG)]", "envFrom": "[{configMapRef: {name: x}}]"}, Verdict.EXEC_FAILS),
        ({"command": "[$(PROG)]"}, Verdict.EXEC_FAILS),
        ({"command": "[$(PROG)]", "env": "[{name: PROG, value: /app}]", "envFrom": "[{configMapRef: {name: x}}]"}, Verdict.EFFECTIVE),
        ({"command": "[sh, -c, 'exec $0', $(PROG)]", "envFrom": "[{configMapRef: {name: x}}]"}, Verdict.UNKNOWN),
        ({"command": "[sh, -c, 'exec $P']", "env": "[{name: P, value: $(Q)}]", "envFrom": "[{configMapRef: {name: x}}]"}, Verdict.UNKNOWN),
        ({"command": "[/app, $(Q)]", "envFrom": "[{configMapRef: {name: x}}]"}, Verdict.EFFECTIVE),
    ],
)  # fmt: skip
def test_references_to_variables_of_the_cluster(more: dict[str, str], verdict: Verdict) -> None:
    text = web("runAsUser: 65532, capabilities: {add: [NET_BIND_SERVICE]}", **more)
    explanation = explained(text, image({"/app": "elf cap_net_bind_service=ep"}, Env=["PATH=/bin"]))
    assert explanation.verdict == verdict
