# SPDX-License-Identifier: Apache-2.0
"""Remedies: each one's patch, applied by another hand to the YAML, makes the container work."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.explain.memory import explained, image, web

from caplet.explain.explanation import Verdict
from caplet.kernel.filecaps import FileCaps
from caplet.remedies.remedies import remedies_of
from caplet.remedies.remedy import Gives, yaml_lines

if TYPE_CHECKING:
    from pathlib import Path

STRICT = (
    "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
)
ALL_DROPPED = "runAsUser: 7, capabilities: {drop: [ALL]}"
PLAIN = image({"/app": "elf"}, Entrypoint=["/app"])
GRANTED = image({"/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/app"])
SCRIPT = image(
    {"/entry.sh": "#!/bin/sh\nexec /app\n", "/app": "elf cap_net_bind_service=ep"}, Entrypoint=["/entry.sh"]
)
NAMED = image({"/app": "elf", "/etc/passwd": "app:x:7:7::/:/bin/sh\n"}, Entrypoint=["/app"], User="app")


def merged(value: Any, patch: Any) -> Any:
    """A strategic merge, as far as these patches go: containers and env by name, other lists are atomic, null deletes."""
    if isinstance(patch, dict) and isinstance(value, dict):
        result = dict(value)
        for key, inner in patch.items():
            if inner is None:
                result.pop(key, None)
            elif key in ("containers", "initContainers", "env") and isinstance(result.get(key), list):
                result[key] = _by_name(result[key], inner)
            else:
                result[key] = merged(result.get(key), inner)
        return result
    if isinstance(patch, dict):
        return merged({}, patch)
    return patch


def _by_name(items: list[Any], patches: list[Any]) -> list[Any]:
    named = {one["name"]: one for one in patches}
    kept = [merged(one, named.pop(one["name"])) if one["name"] in named else one for one in items]
    return [*kept, *named.values()]


@pytest.mark.parametrize(
    ("text", "facts", "on", "titles"),
    [
        (web(STRICT), PLAIN, "containerd:1.7", ["let this Pod", "give /app"]),
        (web(STRICT), PLAIN, "containerd:2.1", ["leave NET_BIND_SERVICE out"]),
        (web(STRICT, ports="[]"), PLAIN, "crio", ["let this Pod", "give /app"]),
        (
            web("runAsUser: 7, capabilities: {drop: [ALL]}"),
            PLAIN,
            "containerd:1.7",
            ["let this Pod", "give /app"],
        ),
        (
            web("runAsUser: 7, capabilities: {drop: [ALL]}", ports="[]"),
            GRANTED,
            "containerd:1.7",
            ["take the file capabilities of /app away", "let /app start", "allow NET_BIND_SERVICE"],
        ),
        (web("runAsNonRoot: true", ports="[]"), NAMED, "containerd:1.7", ["name the user by its number: 7"]),
        (
            web("runAsUser: 7, capabilities: {drop: [ALL], add: [CAP_NET_BIND_SERVICE]}"),
            GRANTED,
            "containerd:1.7",
            ["write the capabilities without CAP_"],
        ),
    ],
)
def test_what_is_named_and_in_which_order(text: str, facts: Any, on: str, titles: list[str]) -> None:
    remedies = remedies_of(explained(text, facts, on))
    assert [
        remedy.title
        for remedy, title in zip(remedies, titles, strict=False)
        if remedy.title.startswith(title)
    ] == [remedy.title for remedy in remedies[: len(titles)]]
    assert len(remedies) >= len(titles)
    assert list(remedies) == sorted(remedies, key=lambda one: one.gives)


@pytest.mark.parametrize(
    "on", ["containerd:1.7", "containerd:2.1", "crio", "docker:20.10", "docker", "podman"]
)
@pytest.mark.parametrize(
    "facts", [PLAIN, GRANTED, SCRIPT, NAMED], ids=["plain", "granted", "script", "named"]
)
@pytest.mark.parametrize(
    "security",
    [
        STRICT,
        STRICT.replace("NET_BIND", "CAP_NET_BIND"),
        "runAsUser: 65532, capabilities: {drop: [ALL]}",
        "runAsNonRoot: true, capabilities: {drop: [NET_BIND_SERVICE], add: [net_bind_service]}",
        "runAsUser: 65532, privileged: true",
        "runAsUser: 65532, allowPrivilegeEscalation: false, capabilities: {add: [SYS_ADMIN, NET_RAW]}",
    ],
)
def test_a_patch_does_what_it_says_and_gives_no_more(security: str, facts: Any, on: str) -> None:
    then = (("/app",),) if facts is SCRIPT else ()
    text = web(security)
    before = explained(text, facts, on, then)
    for remedy in remedies_of(before):
        assert remedy.explanation.verdict in (Verdict.EFFECTIVE, Verdict.NOT_NEEDED)
        after = remedy.explanation
        if before.final is not None and after.final is not None:
            assert after.final.no_new_privs or not before.final.no_new_privs
            assert after.final.euid != 0 or before.final.euid == 0
        demanded = before.failed.arithmetic.missing if before.failed and before.failed.arithmetic else None
        allowed = before.asked | (demanded or before.asked) | before.needless
        if before.created is not None and after.created is not None and remedy.gives is not Gives.LESS:
            extra = after.created.caps.bounding - before.created.caps.bounding - allowed
            assert not extra or before.closed_ports
        if remedy.patch is None:
            continue
        patch = yaml.safe_load("\n".join(yaml_lines(remedy.patch)))
        assert patch == remedy.patch
        changed = yaml.safe_dump(merged(yaml.safe_load(text), patch), sort_keys=False)
        again = explained(changed, after.image, on, after.then)
        assert again.verdict == after.verdict


def test_a_grant_keeps_what_the_file_has() -> None:
    facts = image({"/app": "elf cap_net_raw=ep"}, Entrypoint=["/app"])
    text = web("runAsUser: 7, capabilities: {add: [NET_BIND_SERVICE, NET_RAW]}", ports="[]")
    grants = [one for one in remedies_of(explained(text, facts, "crio")) if one.commands]
    assert grants
    assert grants[0].commands == ("caplet grant oci:image -o oci:OUT /app=NET_BIND_SERVICE,NET_RAW",)
    program = grants[0].explanation.executions[-1].program
    assert program is not None
    assert program.file.caps == FileCaps.parse("cap_net_bind_service,cap_net_raw=ep")


def test_the_other_sysctls_stay() -> None:
    others = [
        {"name": "kernel.shm_rmid_forced", "value": "1"},
        {"name": "net.ipv4.tcp_syncookies", "value": "1"},
    ]
    text = web(STRICT, whole=f"sysctls: {others}")
    freed = remedies_of(explained(text, PLAIN))[0]
    assert freed.gives is Gives.PORTS
    patched = merged(yaml.safe_load(text), freed.patch)
    port_start = {"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}
    assert patched["spec"]["securityContext"]["sysctls"] == [*others, port_start]


def test_kubectl_makes_the_same_of_a_patch(tool: Any, tmp_path: Path) -> None:
    """kubectl patch --local applies a strategic merge with the API's own types."""
    kubectl = tool("kubectl")
    text = web(STRICT, whole='sysctls: [{name: kernel.shm_rmid_forced, value: "1"}]', args='["-x"]')
    before = explained(text, PLAIN, "containerd:1.7")
    patches = [one.patch for one in remedies_of(before) if one.patch is not None]
    assert any("securityContext" in patch["spec"] for patch in patches)
    manifest, file = tmp_path / "pod.yaml", tmp_path / "patch.yaml"
    manifest.write_text(text, encoding="utf-8")
    for patch in patches:
        file.write_text("\n".join(yaml_lines(patch)), encoding="utf-8")
        argv = [
            kubectl,
            "patch",
            "--local",
            "--dry-run=client",
            "-f",
            str(manifest),
            "--patch-file",
            str(file),
            "-o",
            "json",
        ]
        done = subprocess.run(argv, capture_output=True, check=True, env={"HOME": str(tmp_path)})
        made, mine = json.loads(done.stdout), merged(yaml.safe_load(text), patch)
        assert made["spec"] == mine["spec"]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("{kind: Pod, apiVersion: v1, metadata: {name: web}, spec: %s}", ["/server", "web"]),
        ("{kind: Pod, apiVersion: v1, metadata: {generateName: web-}, spec: %s}", None),
        (
            (
                "{kind: Deployment, apiVersion: apps/v1, metadata: {name: web}, spec: {selector: {matchLabels: {a: b}}, "
                "template: {metadata: {labels: {a: b}}, spec: %s}}}"
            ),
            None,
        ),
    ],
    ids=["pod", "generated", "workload"],
)
def test_the_hostname_of_a_generated_pod_is_not_known(text: str, command: list[str] | None) -> None:
    facts = image({"/server": "elf cap_net_bind_service=ep"})
    container = (
        "{name: http, image: http, command: [sh, -c, 'exec /server \"$HOSTNAME\"'], securityContext: {%s}}"
    )
    spec = f"{{containers: [{container % STRICT}]}}"
    remedies = remedies_of(explained(text % spec, facts, "containerd:1.7"))
    direct = [one for one in remedies if one.title.startswith("start /server itself")]
    commands = [re.findall(r"command: (.*)", "\n".join(one.paste())) for one in direct]
    assert commands == ([] if command is None else [[json.dumps(command).replace('"', "")]])


ROLLOUT = """\
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec:
  groups:
  - template:
      spec:
        containers:
        - {name: http, image: http, ports: [{containerPort: 80}], securityContext: {%s}}
"""


def test_a_kind_of_others_is_edited_by_hand() -> None:
    """Custom resources have no strategic merge patch; with a merge patch the container would lose its image."""
    text = ROLLOUT % STRICT
    remedies = remedies_of(explained(text, PLAIN, "containerd:1.7"))
    changes = [one for one in remedies if one.fragment is not None]
    assert changes
    for remedy in changes:
        assert remedy.patch is None
        assert "edit it in the manifest, at spec.groups[0].template.spec: a Rollout has no" in remedy.why
        value = yaml.safe_load(text)
        template = value["spec"]["groups"][0]["template"]
        template["spec"] = merged(
            template["spec"], yaml.safe_load("\n".join(remedy.paste()[len(remedy.commands) :]))
        )
        assert (
            explained(yaml.safe_dump(value), remedy.explanation.image).verdict == remedy.explanation.verdict
        )


def test_a_kind_of_the_same_name_in_another_group_is_edited_by_hand() -> None:
    text = f"""\
apiVersion: batch.volcano.sh/v1alpha1
kind: Job
metadata: {{name: web}}
spec:
  template:
    spec:
      containers:
      - {{name: http, image: http, ports: [{{containerPort: 80}}], securityContext: {{{STRICT}}}}}
"""
    remedies = remedies_of(explained(text, PLAIN, "containerd:1.7"))
    assert remedies[0].patch is None
    assert remedies[0].fragment is not None
    own = text.replace("batch.volcano.sh/v1alpha1", "batch/v1").replace(
        "      containers:", "      restartPolicy: Never\n      containers:"
    )
    assert remedies_of(explained(own, PLAIN, "containerd:1.7"))[0].patch is not None


def test_an_ephemeral_container_is_not_patched() -> None:
    """The API server lets them be added, and not changed."""
    text = (
        web()
        + f"  ephemeralContainers:\n  - {{name: look, image: http, securityContext: {{{ALL_DROPPED}}}}}\n"
    )
    remedies = remedies_of(explained(text, GRANTED, "containerd:1.7", container=1))
    allow = next(one for one in remedies if one.title.startswith("allow NET_BIND_SERVICE"))
    assert allow.patch is None
    assert allow.fragment is not None
    assert list(allow.fragment) == ["ephemeralContainers"]
    assert "start another one so, with kubectl debug" in allow.why


def test_the_same_change_is_named_once() -> None:
    security = "runAsUser: 7, capabilities: {drop: [NET_BIND_SERVICE], add: [NET_BIND_SERVICE]}"
    for on in ("containerd:1.7", "crio", "docker", "podman"):
        remedies = remedies_of(explained(web(security), GRANTED, on))
        changes = [(one.patch, one.commands) for one in remedies]
        assert all(change not in changes[:place] for place, change in enumerate(changes))


def test_a_wrapper_gets_nothing_where_its_program_is_enough() -> None:
    files = {"/bin/gosu": "elf", "/app": "elf", "/etc/passwd": "app:x:7:7::/:/bin/sh\n"}
    facts = image(files, Entrypoint=["gosu", "app", "/app"])
    remedies = remedies_of(explained(web("capabilities: {add: [NET_BIND_SERVICE]}"), facts, "containerd:1.7"))
    assert any(command.endswith(" /app=NET_BIND_SERVICE") for one in remedies for command in one.commands)
    assert not any("/bin/gosu" in command for one in remedies for command in one.commands)


def test_a_wrapper_gets_nothing_in_the_second_step_either() -> None:
    files = {"/bin/tini": "elf", "/app": "elf cap_net_bind_service=ep"}
    facts = image(files, Entrypoint=["tini", "--", "/app"])
    text = web("runAsUser: 7, capabilities: {drop: [all], add: [NET_RAW]}")
    commands = [
        word for one in remedies_of(explained(text, facts, "containerd:1.7")) for word in one.commands
    ]
    assert any(command.endswith(" /app=NET_BIND_SERVICE,NET_RAW") for command in commands)
    assert not any("/bin/tini" in command for command in commands)


def test_free_ports_need_no_sysctl() -> None:
    """Every process may bind 8080: what is asked for can go."""
    titles = [
        one.title for one in remedies_of(explained(web(STRICT, ports="[{containerPort: 8080}]"), PLAIN))
    ]
    assert titles[0].startswith("leave NET_BIND_SERVICE out, if")
    assert not any(title.startswith("let this Pod") for title in titles)


def test_nothing_for_what_works() -> None:
    assert remedies_of(explained(web(STRICT), GRANTED, "containerd:1.7")) == ()


def test_no_interpreter_gets_a_capability() -> None:
    facts = image({"/entry.sh": "#!/bin/sh\nsleep 1\n"}, Entrypoint=["/entry.sh"])
    for on in ("containerd:1.7", "crio"):
        for remedy in remedies_of(explained(web(STRICT, ports="[]"), facts, on)):
            assert not any("/bin/sh" in command for command in remedy.commands)


def test_two_changes_where_one_is_not_enough() -> None:
    facts = image({"/app": "elf"}, Entrypoint=["/app"])
    refused = explained(web("runAsNonRoot: true, capabilities: {drop: [ALL]}"), facts, "crio")
    titles = [one.title for one in remedies_of(refused)]
    assert titles[0].startswith(
        "name the user by its number: 65532; then let this Pod's processes bind every port"
    )
    mistyped = explained(
        web("runAsUser: 7, capabilities: {add: [NET_RAWW]}", ports="[]"), facts, "containerd:1.7"
    )
    assert mistyped.verdict is Verdict.INERT
    both = remedies_of(mistyped)
    assert both[0].title == "write NET_RAW, if that is meant; then give /app the capability NET_RAW"
    assert both[0].commands == ("caplet grant oci:image -o oci:OUT /app=NET_RAW",)


@pytest.mark.parametrize(
    ("script", "command"),
    [
        ("exec /server -v", ["/server", "-v"]),
        ("exec /server $(hostname)", None),
        ("exec /server *.conf", None),
        ('exec /server "$FROM_A_SECRET"', None),
        (
            "exec /server '$$(BAR)' '$$$$' '$$$$$$(BAR)' '$x'",
            ["/server", "$$(BAR)", "$$$", "$$$$$$(BAR)", "$x"],
        ),
    ],
)
def test_a_program_is_started_itself_with_the_words_that_are_known(
    script: str, command: list[str] | None
) -> None:
    facts = image({"/server": "elf cap_net_bind_service=ep"})
    env = "[{name: FROM_A_SECRET, valueFrom: {secretKeyRef: {name: a, key: b}}}, {name: BAR, value: bar}]"
    words = yaml_lines({"command": ["sh", "-c", script]})[0].removeprefix("command: ")
    text = web(STRICT, command=words, env=env)
    before = explained(text, facts, "containerd:1.7")
    assert before.verdict is Verdict.INERT
    direct = [one for one in remedies_of(before) if one.title.startswith("start /server itself")]
    if command is None:
        assert not direct
        return
    (remedy,) = direct
    assert remedy.patch is not None
    assert remedy.patch["spec"]["containers"][0]["command"] == command
    program, meant = (one.executions[-1].program for one in (remedy.explanation, before))
    assert program is not None
    assert meant is not None
    assert program.argv[1:] == meant.argv[1:]
