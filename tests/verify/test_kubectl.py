# SPDX-License-Identifier: Apache-2.0
"""What is asked of kubectl, and what is made of its answers. A stand-in answers: no cluster is needed, and none is proved."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest
from tests.verify.rows import image

from caplet.kernel.caps import Cap, Caps
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.verify.engines.kubectl import Cluster

if TYPE_CHECKING:
    from pathlib import Path

    from caplet.verify.seen import Seen

STATUS = """\
Name:\tapp
State:\tS (sleeping)
Uid:\t65535\t65535\t65535\t65535
Gid:\t0\t0\t0\t0
Groups:\t0
CapInh:\t0000000000000000
CapPrm:\t0000000000000400
CapEff:\t0000000000000400
CapBnd:\t0000000000000400
CapAmb:\t0000000000000000
NoNewPrivs:\t1
"""

STAND_IN = """\
#!{python}
import json, sys
words = sys.argv[3:]
with open({calls!r}, "a") as file:
    file.write(json.dumps([words, sys.stdin.read() if "--filename" in words else ""]) + "\\n")
with open({answers!r}) as file:
    answers = json.load(file)
for key, answer in answers.items():
    if all(part in words for part in key.split()):
        if isinstance(answer, list):
            sys.exit(answer[0])
        print(answer, end="")
        break
"""

POD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  template:
    spec:
      securityContext: {runAsUser: 65535}
      hostNetwork: true
      serviceAccountName: web
      volumes: [{name: data, emptyDir: {}}]
      containers:
        - name: app
          image: registry.example/app
          volumeMounts: [{name: data, mountPath: /data}]
          securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}
        - {name: other, image: registry.example/other}
"""


def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any]) -> tuple[Seen, list[Any]]:
    calls, answers = tmp_path / "calls", tmp_path / "answers"
    pod = {"status": {"containerStatuses": [{"state": state}]}}
    node = {"status": {"nodeInfo": {"containerRuntimeVersion": "cri-o://1.31.2"}}}
    answers.write_text(
        json.dumps(
            {
                "get pod": json.dumps(pod),
                "get nodes": json.dumps({"items": [node]}),
                "exec /proc/1/status": STATUS,
                "exec": "1024\n",
                "logs": "hello\n",
            }
        )
    )
    program = tmp_path / "kubectl"
    program.write_text(STAND_IN.format(python=sys.executable, calls=str(calls), answers=str(answers)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    spec = the_pod(documents(POD, "web.yaml"), "web.yaml")
    cluster = Cluster("kind")
    assert cluster.lacks() == ""
    assert cluster.versions().node == "crio:1.31.2"
    with cluster.session(image()) as session:
        seen = session.run(spec, spec.containers[0], 0.0)
    return seen, [json.loads(line) for line in calls.read_text().splitlines()]


def test_the_pod_in_a_namespace_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, calls = run(tmp_path, monkeypatch, {"running": {}})
    assert seen.observed is not None
    assert seen.observed.caps.effective == Caps.of(Cap.NET_BIND_SERVICE)
    assert (seen.started, seen.exit_code, seen.port_start, seen.stdout) == (True, None, 1024, "hello\n")
    (created,) = [json.loads(text) for _, text in calls if text]
    assert created["spec"] == {
        "securityContext": {"runAsUser": 65535},
        "hostNetwork": True,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "app",
                "image": "registry.example/app",
                "securityContext": {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
            }
        ],
    }
    (namespace,) = [words[2] for words, _ in calls if words[:2] == ["create", "namespace"]]
    assert calls[-1][0][:3] == ["delete", "namespace", namespace]
    for words, _ in calls:
        assert words[0] in {"version", "create", "label", "delete"} or words[:2] in (
            ["get", "nodes"],
            ["--namespace", namespace],
        )


@pytest.mark.parametrize(
    ("state", "refused", "error"),
    [
        pytest.param(
            {"waiting": {"reason": "CreateContainerConfigError", "message": "image will run as root"}},
            True,
            "image will run as root",
            id="the kubelet refuses",
        ),
        pytest.param(
            {"terminated": {"reason": "StartError", "exitCode": 128, "message": "exec /app: EPERM"}},
            False,
            "exec /app: EPERM",
            id="execve fails",
        ),
    ],
)
def test_a_container_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], refused: bool, error: str
) -> None:
    seen, _ = run(tmp_path, monkeypatch, state)
    assert (seen.started, seen.refused, seen.error, seen.observed) == (False, refused, error, None)
