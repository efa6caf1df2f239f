# SPDX-License-Identifier: Apache-2.0
"""What the API server would not decode: fields that it does not know, and values of another type."""

from __future__ import annotations

import pytest

from caplet.errors import InvalidInput, ManyInvalid
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import pods, read
from caplet.kubernetes.podapi import _lines, fields_of

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: http\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: http
"""


def refused(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        pods(documents(text, "pod.yaml"))
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "path", "hint"),
    [
        (POD + "    securityContex: {}\n", 7, "spec.containers[0].securityContex", "did you mean securityContext?"),
        (POD + "  hostNetwrk: true\n", 7, "spec.hostNetwrk", "did you mean hostNetwork?"),
        (POD + "  hostnetwork: true\n", 7, "spec.hostnetwork", "did you mean hostNetwork?"),
        (POD + "  hostPid: true\n", 7, "spec.hostPid", "did you mean hostPID?"),
        (POD + "    securityContext: {runAsNonRot: true}\n", 7, "spec.containers[0].securityContext.runAsNonRot", "did you mean runAsNonRoot?"),
        (POD + "  securityContext:\n    capabilities: {}\n", 8, "spec.securityContext.capabilities", "capabilities is a field of a container's securityContext"),
        (POD + "    securityContext:\n      drop: [ALL]\n", 8, "spec.containers[0].securityContext.drop", "drop is a field of a container's securityContext.capabilities"),
        (POD + "    securityContext: {fsGroup: 1}\n", 7, "spec.containers[0].securityContext.fsGroup", "fsGroup is a field of the Pod's securityContext"),
        (POD + "    runAsUser: 5\n", 7, "spec.containers[0].runAsUser", "runAsUser is a field of a container's securityContext"),
        (POD + "    hostNetwork: true\n", 7, "spec.containers[0].hostNetwork", "hostNetwork is a field of the Pod's spec"),
        (POD + "    volumes: []\n", 7, "spec.containers[0].volumes", "volumes is a field of the Pod's spec"),
        (POD + "  volumes: [{name: a, emptydir: {}}]\n", 7, "spec.volumes[0].emptydir", "did you mean emptyDir?"),
        (POD + "    livenessProbe: {httpget: {}}\n", 7, "spec.containers[0].livenessProbe.httpget", "did you mean httpGet?"),
        (POD + "    resources: {limit: {}}\n", 7, "spec.containers[0].resources.limit", "did you mean limits?"),
        (POD + "  fromTheFuture: 1\n", 7, "spec.fromTheFuture", "not known in Kubernetes <= 1.37"),
        (POD + "metadate: {}\n", 7, "metadate", "did you mean metadata?"),
        (POD + f"  {'x' * 500}: 1\n", 7, f"spec.{'x' * 500}", "not known in Kubernetes <= 1.37"),
        (DEPLOYMENT + "      hostNetwrk: 1\n", 11, "spec.template.spec.hostNetwrk", "did you mean hostNetwork?"),
        (DEPLOYMENT + "  replica: 1\n", 11, "spec.replica", "did you mean replicas?"),
        (DEPLOYMENT + "  containers: []\n", 11, "spec.containers", "containers is a field of the Pod's spec"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_named_as_the_server_names_it(text: str, line: int, path: str, hint: str) -> None:
    error = refused(text)
    assert error.message == f'pod.yaml:{line}: {path}: unknown field "{path}"'
    assert error.hint == hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (POD + "    image: 80\n", "spec.containers[0].image: must be a string, not the number 80"),
        (POD + "    ports: [{containerPort: '80'}]\n", "ports[0].containerPort: must be a whole number, not the string '80'"),
        (POD + "    ports: [{containerPort: 4294967296}]\n", "ports[0].containerPort: 4294967296 does not fit into 32 bits"),
        (POD + "    env: [{name: A, value: true}]\n", "env[0].value: must be a string, not true"),
        (POD + "    livenessProbe: {httpGet: {port: 1.5}}\n", "httpGet.port: must be a whole number or a string, not the number 1.5"),
        (POD + "    resources: {limits: {cpu: [1]}}\n", "resources.limits.cpu: must be a quantity, not a list"),
        (POD + "  terminationGracePeriodSeconds: 9223372036854775808\n", "does not fit into 64 bits"),
        (POD + "  containers2: 1\n  nodeSelector: [a]\n", 'unknown field "spec.containers2" (and 1 more)'),
        (POD + "  nodeSelector: {disk: yes}\n", "spec.nodeSelector.disk: must be a string, not true"),
        (POD.replace("name: web", "annotations: {a: 1}"), "metadata.annotations.a: must be a string, not the number 1"),
        (POD + "  volumes: [null]\n", "spec.volumes[0]: must be an object, not null"),
        (POD + "  tolerations: {}\n", "spec.tolerations: must be a list, not an object"),
        (POD + "  hostUsers: 'false'\n", "spec.hostUsers: must be true or false, not the string 'false'"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(text: str, message: str) -> None:
    assert message in refused(text).message


@pytest.mark.parametrize(
    "field",
    [
        "    livenessProbe: {httpGet: {port: http, host: a}, periodSeconds: 3}\n",
        "    ports: [{containerPort: 80.0}]\n",
        "    resources: {limits: {cpu: 1.5, memory: 1Gi, ephemeral-storage: 1}}\n",
        "    securityContext: null\n",
        "    args: [a, null]\n",
        "  securityContext: {sysctls: [{name: a.b, value: '1'}], seccompProfile: {type: RuntimeDefault}}\n",
        "  hostUsers: false\n",
        "  resources: {limits: {cpu: 1}}\n",
        "status: {phase: Running, anything: [1]}\n",
    ],
)
def test_what_the_server_takes_is_taken(field: str) -> None:
    (pod,) = pods(documents(POD + field, "pod.yaml"))
    assert pod.name == "web"


def test_every_problem_is_told_and_good_objects_are_read() -> None:
    bad = POD + "    a: 1\n    image: 3\n"
    reading = read(documents(f"{bad}---\n{POD}---\nfoo: 1\n---\n[1]\n", "pod.yaml"))
    assert [problem.message for problem in reading.problems] == [
        'pod.yaml:7: spec.containers[0].a: unknown field "spec.containers[0].a"',
        "pod.yaml:8: spec.containers[0].image: must be a string, not the number 3",
        "pod.yaml:17: the object has no kind",
        "pod.yaml:19: not a Kubernetes object",
    ]
    assert [pod.name for pod in reading.pods] == ["web"]
    with pytest.raises(ManyInvalid) as caught:
        reading.raise_problems()
    assert caught.value.problems == tuple(reading.problems)
    assert caught.value.message.endswith("(and 3 more)")


def test_the_table_is_closed() -> None:
    """Every type that a field names is in the table."""
    leaves = {"s", "b", "i", "l", "t", "q", "n", "any"}
    named = {kind.lstrip("[]{}") for name in _lines() for kind in fields_of(name).values()}
    assert named - leaves <= set(_lines())
