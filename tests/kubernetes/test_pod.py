# SPDX-License-Identifier: Apache-2.0
"""PodSpecs: found in every kind that has one, read as the API server reads them, refused with place and hint."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from caplet.errors import InvalidInput
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import TEMPLATES, PodSpec, container_named, pod_specs, pods, the_pod
from caplet.kubernetes.podspec import (
    AppArmorProfile,
    ContainerPort,
    Handler,
    SeccompProfile,
    SELinuxOptions,
    Volume,
    WindowsOptions,
)

POD = """\
kind: Pod
metadata: {name: web, namespace: prod}
spec:
  containers:
  - name: http
    image: oci:app
"""


def read(text: str) -> PodSpec:
    return the_pod(documents(text, "pod.yaml"), "pod.yaml")


def with_security_context(context: str, pod_context: str = "{}") -> str:
    return POD + f"    securityContext: {context}\n  securityContext: {pod_context}\n"


@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_kind_with_a_template(kind: str) -> None:
    spec: Any = {"containers": [{"name": "http"}], "hostNetwork": True}
    for step in reversed(TEMPLATES[kind]):
        spec = {step: spec}
    pod = read(yaml.safe_dump({"kind": kind, "metadata": {"name": "x"}} | spec))
    assert (pod.kind, pod.name, pod.host_network, pod.path) == (kind, "x", True, TEMPLATES[kind])


def test_lists_are_looked_into() -> None:
    (document,) = documents(
        "kind: List\nitems:\n- {kind: Service}\n- {kind: Pod, spec: {containers: [{name: a}]}}\n", "x"
    )
    (pod,) = pod_specs(document)
    assert pod.path == ("items", 1, "spec")


def test_what_is_not_set_is_none() -> None:
    pod = read(POD)
    own = pod.containers[0].security_context
    assert own.allow_privilege_escalation is own.run_as_user is own.privileged is own.run_as_non_root is None
    assert pod.security_context.fs_group is pod.host_network is pod.host_users is None


def test_fields_are_read() -> None:
    pod = read(
        with_security_context(
            "{runAsUser: 07, allowPrivilegeEscalation: no, capabilities: {add: [NET_RAW], drop: [all]}}",
            "{fsGroup: 9, supplementalGroups: [1, 2], sysctls: [{name: net/ipv4/ip_unprivileged_port_start, value: '0'}]}",
        )
    )
    own = pod.containers[0].security_context
    assert (own.run_as_user, own.allow_privilege_escalation, own.add, own.drop) == (
        7,
        False,
        ("NET_RAW",),
        ("all",),
    )
    assert (pod.security_context.fs_group, pod.security_context.supplemental_groups) == (9, (1, 2))
    assert pod.security_context.sysctls[0].name == "net.ipv4.ip_unprivileged_port_start"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[1]", "pod.yaml:1: not a Kubernetes object", "apiVersion"),
        ("metadata: {}", "the object has no kind", "apiVersion"),
        ("kind: Service", "no Pod in it", "Deployment"),
        ("", "no Pod in it", ""),
        ("kind: Pod", "this Pod has no spec", ""),
        ("kind: Deployment\nspec: {}", "this Deployment has no spec.template.spec", ""),
        (POD + "---\n" + POD, "2 Pods in it (Pod/web, Pod/web)", "one of them"),
        ("kind: Pod\nspec: 3", "pod.yaml:2: spec: must be an object, not the number 3", ""),
        ("kind: Pod\nspec: {containers: {}}", "spec.containers: must be a list, not an object", ""),
        ("kind: Pod\nspec: {containers: [x]}", "spec.containers[0]: must be an object, not the string 'x'", ""),
        ("kind: Pod\nspec:\n  containers: []", "pod.yaml:3: spec.containers: no containers", "at least one"),
        ("kind: Pod\nspec:\n  nodeName: x", "pod.yaml:3: spec.containers: no containers", "at least one"),
        ("kind: Pod\nspec: {containers: [{image: a}]}", "the container has no name", ""),
        ("kind: Pod\nspec: {containers: [{name: a}, {name: a}]}", "'a' is the name of two containers", ""),
        (POD + "    command: run\n", "pod.yaml:7: spec.containers[0].command: must be a list, not the string 'run'", ""),
        (POD + "    args: [80]\n", "args[0]: must be a string, not the number 80", "quotes"),
        (POD + "  hostNetwork: 1\n", "pod.yaml:7: spec.hostNetwork: must be true or false, not the number 1", ""),
        (with_security_context("{runAsUser: '7'}"), "runAsUser: must be a whole number, not the string '7'", ""),
        (with_security_context("{runAsUser: 1.5}"), "must be a whole number, not the number 1.5", ""),
        (with_security_context("{runAsUser: true}"), "must be a whole number, not true", ""),
        (with_security_context("{runAsuser: 1}"), 'unknown field "spec.containers[0].securityContext.runAsuser"', "did you mean runAsUser?"),
        (with_security_context("{capabilities: {Add: []}}"), 'unknown field "spec.containers[0].securityContext.capabilities.Add"', "add"),
        (with_security_context("{}", "{capabilities: {}}"), 'unknown field "spec.securityContext.capabilities"', ""),
        (with_security_context("{capabilities: {add: NET_RAW}}"), "must be a list, not the string 'NET_RAW'", ""),
        (with_security_context("{capabilities: {add: [no]}}"), "must be a string, not false", "quotes"),
        (with_security_context("{procMount: All}"), "'All' is not one of Default, Unmasked", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(text: str, message: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("containers", "name", "message", "hint"),
    [
        ("[{name: a}, {name: b}]", None, "pod.yaml:2: spec.containers: 2 containers", "--container: a, b"),
        ("[{name: a}]", "c", "no container 'c'", "it has: i, a"),
    ],
)
def test_which_container_must_be_clear(containers: str, name: str | None, message: str, hint: str) -> None:
    pod = read(f"kind: Pod\nspec: {{containers: {containers}, initContainers: [{{name: i}}]}}")
    with pytest.raises(InvalidInput) as caught:
        container_named(pod, name)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_an_init_container_can_be_named() -> None:
    pod = read("kind: Pod\nspec: {containers: [{name: a}], initContainers: [{name: i}]}")
    assert container_named(pod, "i").name == "i"
    assert container_named(pod, None).name == "a"


WHOLE = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: prod, uid: u-1, labels: {of: workload}}
spec:
  template:
    metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined}, labels: {of: pod}}
    spec:
      hostUsers: false
      hostPID: true
      hostIPC: false
      shareProcessNamespace: true
      os: {name: linux}
      runtimeClassName: gvisor
      serviceAccountName: sa
      automountServiceAccountToken: false
      restartPolicy: Never
      nodeName: node1
      nodeSelector: {kubernetes.io/arch: arm64}
      securityContext:
        seccompProfile: {type: Localhost, localhostProfile: a.json}
        appArmorProfile: {type: Unconfined}
        seLinuxOptions: {user: u, role: r, type: t, level: l}
        windowsOptions: {hostProcess: true, runAsUserName: x}
        fsGroupChangePolicy: OnRootMismatch
        seLinuxChangePolicy: Recursive
      volumes:
      - {name: e}
      - {name: h, hostPath: {path: /dev}}
      - {name: i, image: {reference: r}}
      initContainers:
      - {name: side, restartPolicy: Always}
      - {name: init}
      containers:
      - name: a
        image: app:1
        imagePullPolicy: Always
        tty: true
        ports: [{containerPort: 80, hostPort: 8080, hostIP: 1.2.3.4, protocol: UDP, name: p}]
        volumeDevices: [{name: b, devicePath: /dev/b}]
        livenessProbe: {httpGet: {host: h, port: http}}
        readinessProbe: {tcpSocket: {host: t, port: 1}}
        startupProbe: {exec: {command: [a, b]}}
        lifecycle: {preStop: {sleep: {seconds: 1}}, postStart: {httpGet: {port: 2}}}
        securityContext:
          procMount: Unmasked
          seccompProfile: {type: Unconfined}
          appArmorProfile: {type: Localhost, localhostProfile: p}
          seLinuxOptions: {level: x}
          windowsOptions: {gmsaCredentialSpec: g, gmsaCredentialSpecName: gn}
          capabilities: {}
      ephemeralContainers:
      - {name: debug, targetContainerName: a}
"""


def test_every_field_of_a_whole_pod() -> None:
    (pod,) = pods(documents(WHOLE, "x"))
    assert [(one.name, one.kind) for one in pod.every_container] == [
        ("side", "sidecar"),
        ("init", "init"),
        ("a", "container"),
        ("debug", "ephemeral"),
    ]
    assert (pod.api_version, pod.kind, pod.name, pod.namespace, pod.uid) == (
        "apps/v1", "StatefulSet", "db", "prod", "u-1",
    )  # fmt: skip
    assert (pod.host_users, pod.host_pid, pod.host_ipc, pod.host_network) == (False, True, False, None)
    assert pod.annotations == {"container.apparmor.security.beta.kubernetes.io/a": "unconfined"}
    assert pod.labels == {"of": "pod"}
    assert pod.document.at(pod.metadata_path) == pod.document.data["spec"]["template"]["metadata"]
    assert (pod.os, pod.runtime_class_name, pod.service_account_name, pod.restart_policy, pod.node_name) == (
        "linux", "gvisor", "sa", "Never", "node1",
    )  # fmt: skip
    assert (pod.share_process_namespace, pod.automount_service_account_token) == (True, False)
    assert pod.node_selector == {"kubernetes.io/arch": "arm64"}
    whole = pod.security_context
    assert whole.seccomp_profile == SeccompProfile("Localhost", "a.json")
    assert whole.app_armor_profile == AppArmorProfile("Unconfined")
    assert whole.se_linux_options == SELinuxOptions("u", "r", "t", "l")
    assert whole.windows_options == WindowsOptions(host_process=True, run_as_user_name="x")
    assert (whole.fs_group_change_policy, whole.se_linux_change_policy) == ("OnRootMismatch", "Recursive")
    assert pod.volumes == (
        Volume("e", "emptyDir"),
        Volume("h", "hostPath", host_path="/dev"),
        Volume("i", "image", reference="r"),
    )


def test_every_field_of_a_whole_container() -> None:
    (pod,) = pods(documents(WHOLE, "x"))
    one = container_named(pod, "a")
    assert (one.image, one.image_pull_policy, one.tty, one.stdin) == ("app:1", "Always", True, False)
    assert one.ports == (ContainerPort(80, 8080, "UDP", "1.2.3.4", "p"),)
    assert one.volume_devices == ("b",)
    assert one.handlers == (
        Handler("livenessProbe", "httpGet", "h", "http"),
        Handler("readinessProbe", "tcpSocket", "t", 1),
        Handler("startupProbe", "exec", command=("a", "b")),
        Handler("lifecycle.postStart", "httpGet", port=2),
        Handler("lifecycle.preStop", "sleep"),
    )
    own = one.security_context
    assert own.seccomp_profile == SeccompProfile("Unconfined")
    assert own.app_armor_profile == AppArmorProfile("Localhost", "p")
    assert own.se_linux_options == SELinuxOptions(level="x")
    assert own.windows_options == WindowsOptions(gmsa_credential_spec="g", gmsa_credential_spec_name="gn")
    assert (own.proc_mount, own.has_capabilities, own.add) == ("Unmasked", True, ())
    assert one.document is pod.document
    assert pod.document.at(one.path)["name"] == "a"
    assert pod.document.span(one.path).start.line == 34
    assert container_named(pod, "debug").target_container_name == "a"
