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
from typing import TYPE_CHECKING

import pytest
from tests.verify.machine import MACHINES
from tests.verify.rows import image

from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.verify.engines.containerd import Containerd
from caplet.verify.engines.docker import Docker
from caplet.verify.probed import probed
from caplet.verify.sweeper import unique

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from caplet.kubernetes.pod import PodSpec
    from caplet.verify.engines.interface import RealEngine, Session

pytestmark = [pytest.mark.e2e, pytest.mark.root]

FOREVER = {"x86_64": "34", "aarch64": "73,0,0,0,0"}[platform.machine()]
"""pause(2), or ppoll(2) of nothing."""

PORT_START = {"docker": 0}
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


@pytest.fixture(scope="module", params=MACHINES)
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
    assert seen.port_start in {PORT_START.get(engine.name, 1024), None}


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
    from caplet.runtimes.node import parse

    versions = engine.versions()
    node = parse(versions.node)
    assert (node.engine.name, node.runtime.name) == (versions.engine, versions.runtime)
    assert versions.engine_version.startswith(str(node.engine_version))


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
