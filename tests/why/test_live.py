# SPDX-License-Identifier: Apache-2.0
"""A live Pod: the real kubectl talks to an API server on the loopback, which records that nothing but GET is asked."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from tests.explain.memory import ELF
from tests.layouts import Layout, file
from tests.why import cluster_objects as obj
from tests.why.apiserver import Cluster, serving, write_kubeconfig

from caplet.cli.main import run
from caplet.kernel.filecaps import FileCaps
from caplet.why.kubectl import Kubectl
from caplet.why.live import read_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NODE = {"nodes/node-1": obj.node()}
DROPPED = {"runAsUser": 1000, "capabilities": {"drop": ["ALL"]}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Callable[[str], str]) -> None:
    """kubectl keeps what it discovers below HOME."""
    tool("kubectl")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with serving(Cluster(dict(NODE)), tmp_path) as one:
        yield one
        assert {verb for verb, _ in one.asked} <= {"GET"}, "why only reads"


class Ask(Protocol):
    def __call__(self, *words: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, JSON, standard error."""
        ...


def why(cluster: Cluster, *words: str) -> int:
    return run(["why", *words, "-n", "shop", "--kubeconfig", cluster.kubeconfig, "-o", "json"])


@pytest.fixture
def answered(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> Ask:
    def ask(*words: str) -> tuple[int, dict[str, Any], str]:
        code = why(cluster, *words)
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else {}, err

    return ask


def codes(answer: dict[str, Any]) -> list[str]:
    return [one["code"] for one in answer["causes"] if one["clues"]]


def open_codes(answer: dict[str, Any]) -> list[str]:
    return [one["code"] for one in answer["candidates"]]


@pytest.mark.parametrize(
    ("said", "program"),
    [
        pytest.param(obj.RUNC, "/usr/bin/caddy", id="runc"),
        pytest.param(obj.CRUN, "/usr/bin/caddy", id="crun"),
    ],
)
def test_a_crash_loop_names_what_the_oci_runtime_said(
    cluster: Cluster, answered: Ask, said: str, program: str
) -> None:
    """CrashLoopBackOff: what counts is in lastState. Without the image it is likely, and what decides is said."""
    loop = obj.entry(
        restarts=7,
        state=obj.waiting("CrashLoopBackOff", obj.BACK_OFF),
        lastState=obj.terminated("StartError", said),
    )
    cluster.add(obj.pod(DROPPED, loop), obj.event(obj.BACK_OFF, "BackOff", container="http"))
    code, answer, err = answered("pod/web")
    assert code == 4
    assert open_codes(answer)[0] == "CAP102"
    assert "CAP110" in [one["code"] for one in answer["ruledOut"]], "nothing of a default set is left"
    assert answer["candidates"][0]["program"] == program
    assert answer["needs"] == ["the image of container http: --image http=oci:DIR"]
    assert "is in a registry" in err


def test_with_its_image_a_live_pod_is_decided(cluster: Cluster, answered: Ask, tmp_path: Path) -> None:
    attribute = FileCaps.parse("cap_net_bind_service=ep").encode()
    caddy = file("usr/bin/caddy", ELF, xattrs={"security.capability": attribute})
    Layout(str(tmp_path / "image")).image([[caddy]], config={"Entrypoint": ["/usr/bin/caddy"]})
    cluster.add(obj.pod(DROPPED, obj.entry(lastState=obj.terminated("StartError", obj.RUNC))))
    code, answer, err = answered("pod/web", "--image", f"http=oci:{tmp_path / 'image'}")
    assert (code, err) == (0, "")
    assert codes(answer) == ["CAP102"]
    assert answer["causes"][0]["by"] == "explanation"
    assert answer["causes"][0]["remedies"]


def test_what_the_kubelet_refuses_is_decided_without_the_image(cluster: Cluster, answered: Ask) -> None:
    status = obj.entry(state=obj.waiting("CreateContainerConfigError", obj.NON_ROOT))
    cluster.add(
        obj.pod({"runAsNonRoot": True}, status), obj.event(f"Error: {obj.NON_ROOT}", container="http")
    )
    code, answer, _ = answered("pod/web")
    assert code == 0
    assert codes(answer) == ["CAP120"]
    assert answer["causes"][0]["by"] == "text"
    assert answer["causes"][0]["container"] == "http"
    assert answer["needs"] == []


@pytest.mark.parametrize("kind", ["pod", "pods", "po"])
def test_a_running_pod_is_known_by_its_log(cluster: Cluster, answered: Ask, kind: str) -> None:
    cluster.add(obj.pod(DROPPED, obj.entry(state=obj.RUNNING)))
    cluster.logs["http", False] = "starting\nlisten tcp :80: bind: permission denied\n"
    code, answer, _ = answered(f"{kind}/web")
    assert code == 4
    assert answer["clues"][0]["source"] == "log of http, line 2"
    assert open_codes(answer)[0] == "CAP134"


def test_a_restarted_container_is_known_by_the_log_before(cluster: Cluster, answered: Ask) -> None:
    cluster.add(
        obj.pod(DROPPED, obj.entry(restarts=2, state=obj.RUNNING, lastState=obj.terminated("Error", code=1)))
    )
    cluster.logs["http", True] = "unable to set CAP_SETFCAP effective capability: Operation not permitted\n"
    cluster.logs["http", False] = "starting\n"
    code, answer, _ = answered("pod/web")
    assert code == 0
    assert codes(answer) == ["CAP105"]


def test_where_the_log_before_is_gone_the_present_one_is_read(cluster: Cluster, answered: Ask) -> None:
    cluster.add(
        obj.pod(DROPPED, obj.entry(restarts=2, state=obj.RUNNING, lastState=obj.terminated("Error", code=1)))
    )
    cluster.logs["http", False] = "listen tcp :80: bind: permission denied\n"
    _, answer, err = answered("pod/web")
    assert answer["clues"][0]["text"] == "listen tcp :80: bind: permission denied"
    assert "log of container" not in err


def test_without_events_and_nodes_the_rest_is_said(cluster: Cluster, answered: Ask) -> None:
    cluster.forbidden = frozenset({"events", "nodes"})
    cluster.add(obj.pod({"runAsNonRoot": True}, obj.entry(state=obj.waiting("x", obj.NON_ROOT))))
    code, answer, err = answered("pod/web")
    assert code == 0
    assert codes(answer) == ["CAP120"]
    assert "without its events" in err
    assert "without its node: " in err
    assert len(answer["notes"]) == 2


def test_a_pod_that_waits_for_a_node(cluster: Cluster, answered: Ask) -> None:
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes are available: 3 Insufficient cpu.",
    }
    cluster.add(obj.pod(DROPPED, node="", phase="Pending", conditions=[unschedulable]))
    code, answer, err = answered("pod/web")
    assert code == 4
    assert [one["text"] for one in answer["clues"]] == [unschedulable["message"]]
    assert "no node has the Pod yet" in err


def test_an_init_container_fails(cluster: Cluster, answered: Ask) -> None:
    init = obj.init_container("prepare", {"runAsNonRoot": True})
    failing = obj.entry("prepare", state=obj.waiting("CreateContainerConfigError", obj.NON_ROOT))
    cluster.add(
        obj.pod(
            {},
            obj.entry(state=obj.waiting("PodInitializing", "")),
            init=[init],
            initContainerStatuses=[failing],
        )
    )
    code, answer, _ = answered("pod/web")
    assert code == 0
    assert [(one["code"], one["container"]) for one in answer["causes"] if one["clues"]] == [
        ("CAP120", "prepare")
    ]


def test_the_container_of_an_event_is_its_field_path(cluster: Cluster, answered: Ask) -> None:
    cluster.add(obj.pod(DROPPED, obj.entry()), obj.event(obj.RUNC, container="http"))
    _, answer, _ = answered("pod/web")
    assert answer["clues"][0]["container"] == "http"
    assert answer["clues"][0]["source"] == "event Failed"


def test_events_of_others_and_those_that_are_no_warning_are_left_out(cluster: Cluster, answered: Ask) -> None:
    normal = obj.event(obj.RUNC) | {"type": "Normal"}
    cluster.add(obj.pod(DROPPED, obj.entry()), normal, obj.event(obj.NON_ROOT, uid="another"))
    _, answer, _ = answered("pod/web")
    assert answer["clues"] == []


def test_a_field_of_a_newer_server_is_no_error(cluster: Cluster, answered: Ask) -> None:
    """`obj.pod` has some. In a file they would be."""
    cluster.add(obj.pod(DROPPED, obj.entry()))
    code, _, err = answered("pod/web")
    assert code == 4
    assert "unknown field" not in err


def test_the_node_is_the_pods_own(cluster: Cluster) -> None:
    cluster.objects["nodes/node-1"] = obj.node("containerd://1.7.20-k3s1", "v1.30.4+k3s1")
    cluster.add(obj.pod(DROPPED, obj.entry()))
    live = read_live(Kubectl("shop", None, cluster.kubeconfig), "pod/web")
    assert live.node is not None
    assert (live.node.platform and live.node.platform.name, str(live.node.engine_version)) == (
        "k3s",
        "1.7.20",
    )
    assert live.notes == ()


def test_a_workload_is_its_worst_pod(cluster: Cluster, answered: Ask) -> None:
    ready = {"type": "Ready", "status": "True"}
    cluster.objects["namespaces/shop/deployments/web"] = workload("Deployment")
    cluster.add(obj.pod(DROPPED, obj.entry(ready=True), name="web-good", conditions=[ready]))
    cluster.add(
        obj.pod({"runAsNonRoot": True}, obj.entry(state=obj.waiting("x", obj.NON_ROOT)), name="web-bad")
    )
    code, answer, err = answered("deploy/web")
    assert code == 0
    assert codes(answer) == ["CAP120"]
    assert "deployment/web has 2 Pods; this is pod/web-bad" in err


def test_a_workload_whose_pods_are_not_let_in(cluster: Cluster, answered: Ask) -> None:
    """Admission's words are with the ReplicaSet: there is no Pod."""
    said = (
        'Error creating: pods "web-x" is forbidden: violates PodSecurity "restricted:latest": '
        "unrestricted capabilities"
    )
    cluster.objects["namespaces/shop/deployments/web"] = workload("Deployment")
    cluster.objects["namespaces/shop/replicasets/web-1"] = workload("ReplicaSet", "web-1", "rs-1")
    cluster.objects["namespaces/shop/events/e"] = obj.event(said, "FailedCreate", uid="rs-1")
    code, answer, err = answered("deployment/web")
    assert code == 0
    assert codes(answer) == ["CAP122"]
    assert "deployment/web has no Pod" in err


def workload(kind: str, name: str = "web", uid: str = "d-1") -> dict[str, Any]:
    labels = {"app": "web"}
    metadata = {"name": name, "namespace": "shop", "uid": uid, "labels": labels}
    template = {"metadata": {"labels": labels}, "spec": obj.pod(DROPPED)["spec"]}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    return {"kind": kind, "apiVersion": "apps/v1", "metadata": metadata, "spec": spec, "status": {}}


@pytest.mark.parametrize(
    ("what", "says"),
    [
        pytest.param("pod/nobody", '"nobody" not found', id="unknown Pod"),
        pytest.param("deploy/nobody", '"nobody" not found', id="unknown Deployment"),
        pytest.param("pod/--all", "is no object's name", id="an option"),
        pytest.param("pod/", "is no object's name", id="no name"),
        pytest.param("pod/../nodes/x", "is no object's name", id="a path"),
    ],
)
def test_what_is_not_there_is_one_line(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], what: str, says: str
) -> None:
    code = why(cluster, what)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert says in err.splitlines()[0]


def test_no_pods_may_be_read(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.forbidden = frozenset({"pods"})
    assert why(cluster, "pod/web") == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
    assert "orbidden" in err


def test_a_server_that_is_down_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    write_kubeconfig(tmp_path / "down", port)
    assert run(["why", "pod/web", "--kubeconfig", str(tmp_path / "down")]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert len(err.splitlines()) == 1
    assert "was refused" in err


def test_without_kubectl_what_else_helps_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["why", "pod/web"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == "caplet: kubectl is not installed"
    assert "-f pod.yaml" in second
