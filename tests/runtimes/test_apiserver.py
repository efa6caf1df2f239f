# SPDX-License-Identifier: Apache-2.0
"""What the API server refuses, in its own words, and what passes although it looks as if it should not."""

from __future__ import annotations

import pytest
from tests.runtimes.manifests import pod

from caplet.runtimes import apiserver
from caplet.runtimes.model import Version

OWN = "spec.containers[0].securityContext"


def messages(
    own: str = "{}", whole: str = "{}", spec: str = "", version: str = "1.36", container: str = ""
) -> list[str]:
    found = list(apiserver.refusals(pod(own, whole, spec, container), Version.parse(version)))
    assert {refused.by for refused in found} <= {"API server"}
    return [refused.message for refused in found]


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ("{allowPrivilegeEscalation: false, privileged: true}", f"{OWN}: Invalid value: {{...}}: cannot set `allowPrivilegeEscalation` to false and `privileged` to true"),
        ("{allowPrivilegeEscalation: false, capabilities: {add: [CAP_SYS_ADMIN]}}", f"{OWN}: Invalid value: {{...}}: cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"),
        ("{procMount: Unmasked}", f'{OWN}.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`'),
    ],
)  # fmt: skip
def test_of_a_container(own: str, message: str) -> None:
    assert messages(own) == [message]


@pytest.mark.parametrize("add", ["SYS_ADMIN", "cap_sys_admin", "ALL", "NO_SUCH", "CAP_CAP_CHOWN", ""])
def test_other_names_of_capabilities_pass(add: str) -> None:
    assert messages(f"{{allowPrivilegeEscalation: false, capabilities: {{add: ['{add}']}}}}") == []


@pytest.mark.parametrize(
    ("whole", "spec", "message"),
    [
        ("{sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: '0'}]}", "hostNetwork: true", "spec.securityContext.sysctls[0].name: Invalid value: \"net.ipv4.ip_unprivileged_port_start\": may not be specified when 'hostNetwork' is true"),
        ("{sysctls: [{name: kernel.shmmax, value: '0'}]}", "hostIPC: true", "spec.securityContext.sysctls[0].name: Invalid value: \"kernel.shmmax\": may not be specified when 'hostIPC' is true"),
        ("{}", "{hostUsers: false, hostNetwork: true}", "spec.hostNetwork: Forbidden: when `hostUsers` is false"),
        ("{}", "{hostUsers: false, hostPID: true}", "spec.HostPID: Forbidden: when `hostUsers` is false"),
        ("{}", "{hostUsers: false, hostIPC: true}", "spec.HostIPC: Forbidden: when `hostUsers` is false"),
        ("{}", "{os: {name: windows}, hostUsers: true}", "spec.hostUsers: Forbidden: cannot be set for a windows pod"),
        ("{runAsUser: 7}", "os: {name: windows}", "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod"),
        ("{windowsOptions: {}}", "os: {name: linux}", "spec.securityContext.windowsOptions: Forbidden: windows options cannot be set for a linux pod"),
    ],
)  # fmt: skip
def test_of_a_pod(whole: str, spec: str, message: str) -> None:
    assert messages(
        whole=whole, spec=spec.strip("{}").replace(", ", "\n  ") if spec.startswith("{") else spec
    ) == [message]


def test_every_linux_field_of_a_pod_for_windows() -> None:
    own = "{capabilities: {}, readOnlyRootFilesystem: true, privileged: false, allowPrivilegeEscalation: true, procMount: Default, runAsUser: 1, runAsGroup: 1}"
    found = messages(own, spec="os: {name: windows}")
    fields = [
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ]
    assert found == [f"{OWN}.{field}: Forbidden: cannot be set for a windows pod" for field in fields]


@pytest.mark.parametrize("version", ["1.24", "1.30", "1.32"])
def test_without_the_feature_gate_host_users_is_dropped_before_it_is_judged(version: str) -> None:
    assert messages(spec="hostUsers: false\n  hostPID: true", version=version) == []
    assert messages("{procMount: Unmasked}", version=version) == []


def test_proc_mount_in_a_user_namespace_passes() -> None:
    assert messages("{procMount: Unmasked}", spec="hostUsers: false", version="1.33") == []


def test_block_devices_beside_a_user_namespace() -> None:
    found = messages(spec="hostUsers: false", container="volumeDevices: [{name: a, devicePath: /dev/a}]")
    assert found == ["spec.containers[0].volumeDevices: Forbidden: when `hostUsers` is false"]


@pytest.mark.parametrize(
    ("port", "message"),
    [
        ("{containerPort: 1}", None),
        ("{containerPort: 65535, hostPort: 0}", None),
        ("{containerPort: 0}", "containerPort: Required value"),
        ("{name: http}", "containerPort: Required value"),
        ("{containerPort: 65536}", "containerPort: Invalid value: 65536: must be between 1 and 65535, inclusive"),
        ("{containerPort: -1}", "containerPort: Invalid value: -1: must be between 1 and 65535, inclusive"),
        ("{containerPort: 80, hostPort: 70000}", "hostPort: Invalid value: 70000: must be between 1 and 65535, inclusive"),
    ],
)  # fmt: skip
def test_ports(port: str, message: str | None) -> None:
    expected = [] if message is None else [f"spec.containers[0].ports[0].{message}"]
    assert messages(container=f"ports: [{port}]") == expected


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("{type: RuntimeDefault}", None),
        ("{type: Localhost, localhostProfile: a.json}", None),
        ("{type: Localhost}", "localhostProfile: Required value: must be set when seccomp type is Localhost"),
        ("{type: Foo}", 'type: Unsupported value: "Foo": supported values: "Localhost", "RuntimeDefault", "Unconfined"'),
        ("{}", "type: Required value: type is required when seccompProfile is set"),
    ],
)  # fmt: skip
def test_seccomp_profiles(profile: str, message: str | None) -> None:
    field = "securityContext.seccompProfile"
    for where in ("spec", "spec.containers[0]"):
        given = f"{{seccompProfile: {profile}}}"
        found = messages(whole=given) if where == "spec" else messages(own=given)
        assert found == ([] if message is None else [f"{where}.{field}.{message}"])
