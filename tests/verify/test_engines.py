# SPDX-License-Identifier: Apache-2.0
"""Sessions with real engines: what is seen from outside is what the program sees, and nothing stays behind."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.verify import outcome
from tests.verify.machine import MACHINES
from tests.verify.outcome import PORT_START
from tests.verify.rows import BIND_80, image

from caplet.explain.container import explain
from caplet.explain.facts import ImageFacts
from caplet.image.rootfs import Rootfs
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.run.available import own_credentials
from caplet.runtimes.node import parse
from caplet.verify.engines.containerd import Containerd
from caplet.verify.engines.docker import Docker
from caplet.verify.probed import probed
from caplet.verify.sweeper import unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from caplet.kubernetes.pod import PodSpec
    from caplet.verify.engines.interface import RealEngine, Session

pytestmark = [pytest.mark.e2e, pytest.mark.root]

FOREVER = {"x86_64": "34", "aarch64": "73,0,0,0,0"}[platform.machine()]
"""pause(2), or ppoll(2) of nothing."""

FIRST_PORT = {"docker": 0}
"""What the engine sets; else the kernel's 1024."""


def pod(*argv: str, **security: object) -> PodSpec:
    container = {
        "name": "c",
        "image": "i",
        "command": argv,
        "securityContext": {"runAsUser": 65535, **security},
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p"},
        "spec": {"containers": [container]},
    }
    return the_pod(documents(json.dumps(manifest), "p"), "p")


ENGINES = ("runc", "crun", "podman", "docker", "containerd")
"""Each with its own OCI runtime; the sample of the matrix has the other pairs."""


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[RealEngine]:
    from tests.conftest import missing
    from tests.verify.matrix import lacking

    machine = MACHINES[request.param]
    if os.geteuid() != 0:
        missing("root")
    if tools := lacking(machine):
        missing(", ".join(tools))
    with tempfile.TemporaryDirectory(prefix="caplet-test-") as work, machine.engine(work) as started:
        yield started


@pytest.fixture(scope="module")
def session(engine: RealEngine) -> Iterator[Session]:
    with engine.session(image()) as session:
        yield session


def test_a_server_is_seen_from_outside(session: Session, engine: RealEngine) -> None:
    caps = {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    server = pod("/ep", FOREVER, allowPrivilegeEscalation=False, capabilities=caps)
    seen = session.run(server, server.containers[0], 0.3)
    assert seen.started
    assert seen.exit_code is None
    assert seen.observed is not None
    (inside,) = probed(seen.stdout).executed
    assert seen.observed.differences(inside) == ()
    assert seen.secure in {inside.at_secure, None}
    assert seen.port_start in {FIRST_PORT.get(engine.name, 1024), None}


def test_the_exit_code_of_a_program_that_ends(session: Session) -> None:
    one = pod("/plain", "/plain", "/nothing")
    seen = session.run(one, one.containers[0], 20.0)
    assert (seen.started, seen.exit_code) == (True, 1)


def test_a_program_that_may_not_start(session: Session) -> None:
    one = pod("/ep", capabilities={"drop": ["ALL"]})
    seen = session.run(one, one.containers[0], 20.0)
    assert (seen.started, seen.refused, seen.observed) == (False, False, None)
    assert seen.error.lower().endswith("operation not permitted")
    assert "/ep" in seen.error


def test_a_program_that_is_not_there(session: Session) -> None:
    one = pod("/nothing")
    seen = session.run(one, one.containers[0], 20.0)
    assert not seen.started
    assert "/nothing" in seen.error


def test_versions(engine: RealEngine) -> None:
    versions = engine.versions()
    node = parse(versions.node)
    assert (node.engine.name, node.runtime.name) == (versions.engine, versions.runtime)
    assert versions.engine_version.startswith(str(node.engine_version))


PASSWD = "root:x:0:0::/:/\napp:x:1000:1001::/:/\n"
GROUP = "root:x:0:\nstaff:x:50:app,other\nteam:x:2000:app\n"

FIELDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "user and group of the image, by name": ("app:team", {}),
    "user and group of the image, by number": ("1000:2000", {}),
    "user of the image, not in its passwd": ("4242", {}),
    "runAsUser in passwd": ("app:team", {"securityContext": {"runAsUser": 1000}}),
    "runAsUser not in passwd": ("app:team", {"securityContext": {"runAsUser": 4242}}),
    "runAsUser and runAsGroup": ("", {"securityContext": {"runAsUser": 1000, "runAsGroup": 7}}),
    "runAsGroup alone": ("", {"securityContext": {"runAsGroup": 7}}),
    "runAsGroup alone, user of the image": ("app:team", {"securityContext": {"runAsGroup": 7}}),
    "groups": ("app:team", {"securityContext": {"fsGroup": 3000, "supplementalGroups": [4000, 5]}}),
    "groups of root": ("", {"securityContext": {"fsGroup": 3000, "supplementalGroups": [4000, 5]}}),
    "runAsNonRoot, root": ("", {"securityContext": {"runAsNonRoot": True}}),
    "runAsNonRoot, a name": ("app:team", {"securityContext": {"runAsNonRoot": True}}),
    "runAsNonRoot": ("1000:2000", {"securityContext": {"runAsNonRoot": True}}),
    "ports from 80": ("app:team", {"securityContext": {"sysctls": [{"name": PORT_START, "value": "80"}]}}),
    "ports from 81": ("app:team", {"securityContext": {"sysctls": [{"name": PORT_START, "value": "81"}]}}),
    "an unsafe sysctl": (
        "app:team",
        {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
    ),
}
"""USER of the image, and fields of the Pod."""

KUBELET_ONLY = ("runAsNonRoot, root", "runAsNonRoot, a name", "an unsafe sysctl")
"""Refused by a kubelet; the engines themselves do as they are told."""


def test_fields_of_the_pod(engine: RealEngine) -> None:
    """Users, groups and sysctls: explain() and the engine agree."""
    node = parse(engine.versions().node)
    wrong = []
    users = sorted({user for user, _ in FIELDS.values()})
    for user in users:
        one = image(user, PASSWD, GROUP)
        facts = ImageFacts(one.config, Rootfs(one.layers))
        with engine.session(one) as session:
            for name, (wanted, fields) in FIELDS.items():
                if wanted != user or (name == "an unsafe sysctl" and node.kubernetes is None):
                    continue
                asked = whole(["/plain", *BIND_80[platform.machine()]], fields)
                found = outcome.seen(session.run(asked, asked.containers[0], 20.0))
                said = explain(asked, asked.containers[0], facts, node)
                predicted = outcome.explained(said, (("/plain",),), own_credentials().caps.bounding)
                assert (said.refused is not None) == (
                    name in KUBELET_ONLY and node.kubernetes is not None
                ) or ("runAsGroup alone" in name)
                if not outcome.agree(predicted, found):
                    wrong.append(f"{name}\n  predicted {predicted}\n  observed  {found}")
    assert wrong == []


def whole(command: list[str], fields: Mapping[str, Any]) -> PodSpec:
    spec = {"containers": [{"name": "c", "image": "i", "command": command}], **fields}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    return the_pod(documents(json.dumps(manifest), "p"), "p")


KILLED = """
from tests.verify.test_engines import FOREVER, name_of, pod
from tests.verify.rows import image
from caplet.verify.engines.containerd import Containerd
from caplet.verify.engines.docker import Docker
from caplet.verify.engines.ociruntime import OCIRuntimeAlone
from caplet.verify.engines.podman import Podman

with {engine!r}.session(image()) as session:
    name = name_of(session, {mark!r})
    one = pod("/plain", "-", name, FOREVER)
    print(name, flush=True)
    session.run(one, one.containers[0], 60.0)
"""


def test_a_killed_session_leaves_nothing(engine: RealEngine) -> None:
    before = in_engine(engine)
    code = KILLED.format(engine=engine, mark=unique())
    with subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        name = process.stdout.readline().decode().strip()
        wait(lambda: any("/plain" in one for one in on_machine(name)), "it does not run")
        process.send_signal(signal.SIGKILL)
    wait(lambda: on_machine(name) == [], "something stays on the machine")
    wait(lambda: in_engine(engine) == before, "something stays in the engine")


def test_an_ended_session_leaves_nothing(engine: RealEngine) -> None:
    before = in_engine(engine)
    with engine.session(image()) as session:
        name = name_of(session, unique())
        one = pod("/plain", "-", name, FOREVER)
        assert session.run(one, one.containers[0], 0.0).started
    assert on_machine(name) == []
    assert in_engine(engine) == before


def name_of(session: Session, otherwise: str) -> str:
    """The name that is in all that a session makes."""
    return getattr(session, "name", otherwise)


def wait(condition: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.1)


def in_engine(engine: RealEngine) -> list[str]:
    """What a daemon has; it is these tests' own."""
    match engine:
        case Docker(socket=socket):
            docker = ("docker", "--host", f"unix://{socket}")
            return [*_asked(*docker, "ps", "--all", "--quiet"), *_asked(*docker, "images", "--quiet")]
        case Containerd(socket=socket):
            ctr = ("ctr", "--address", socket, "--namespace", "k8s.io")
            kinds = ("containers", "images", "snapshots", "tasks")
            return [line for what in kinds for line in _asked(*ctr, what, "list")]
        case _:
            return []


def on_machine(name: str) -> list[str]:
    """What has the name of a session: cgroups, directories, mounts, processes."""
    cgroups = [path for path, _, _ in os.walk("/sys/fs/cgroup") if name in path]
    directories = [entry for place in ("/tmp", "/var/tmp") for entry in os.listdir(place) if name in entry]
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        mounts = [line for line in file if name in line]
    return [*cgroups, *directories, *mounts, *_processes(name)]


def _asked(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def _processes(name: str) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
                words = file.read()
        except OSError:
            continue
        if name in words:
            found.append(words.replace("\0", " "))
    return found
