# SPDX-License-Identifier: Apache-2.0
"""A Pod's volumes in real containers: the same owner and mode under every OCI runtime, whatever the image has there."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.conftest import missing
from tests.run.containers import RUNTIMES, spec
from tests.run.test_rootless import as_user

from caplet.image.elf import read_elf
from caplet.image.rootfs import File, Rootfs
from caplet.kubernetes.document import documents
from caplet.kubernetes.pod import the_pod
from caplet.run.container import run_container
from caplet.run.rootless import as_root
from caplet.run.volumes import volume_mounts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

POD = """
kind: Pod
metadata: {name: web}
spec:
  securityContext: {%s}
  volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {}}]
  containers:
  - name: c
    volumeMounts:
    - {name: a, mountPath: /there}
    - {name: a, mountPath: /again, readOnly: true}
    - {name: a, mountPath: /part, subPath: x}
    - {name: b, mountPath: /not/there}
"""

LOOK = """
busybox stat -c '%n %a %u %g' /there /part /not/there
echo text > /there/file && echo written
busybox cat /again/file
echo more > /again/file || echo read-only
busybox ls /part /not/there
busybox mknod /there/zero c 1 5
busybox cat /there/zero
"""


@pytest.fixture(params=RUNTIMES)
def runtime(request: pytest.FixtureRequest, tool: Callable[[str], str]) -> str:
    name: str = request.param
    if name != "embedded":
        tool(name)
    return name


@pytest.fixture
def files(tool: Callable[[str], str]) -> Rootfs:
    """With /there, which is nobody's but uid 7's, and without /not."""
    with open(tool("busybox"), "rb") as program:
        if not read_elf(program).static:
            missing("a static busybox (apt install busybox-static)")
        program.seek(0)
        content = program.read()
    kept = File(b"", 0o700, uid=7, gid=7, directory=True)
    return Rootfs.of({"/busybox": File(content, 0o755), "/there": kept})


@pytest.mark.parametrize(
    ("fs_group", "access"), [("", "777 0 0"), ("fsGroup: 2000", "2777 0 2000")], ids=["plain", "fsGroup"]
)
def test_a_volume_is_the_same_whatever_lies_below(
    runtime: str, files: Rootfs, fs_group: str, access: str
) -> None:
    assert look(runtime, files, fs_group) == expected(access)


@pytest.mark.parametrize(("fs_group", "access"), [("fsGroup: 2000", "2777 0 2000")])
def test_an_ordinary_user_has_the_same(
    runtime: str, files: Rootfs, fs_group: str, access: str, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    for name in ("newuidmap", "newgidmap"):
        tool(name)
    report = os.memfd_create("report")

    def work() -> int:
        os.write(report, json.dumps(look(runtime, files, fs_group)).encode())
        return 0

    assert as_user(lambda: as_root(work), tmp_path) == "0"
    said = json.loads(os.pread(report, 65536, 0))
    os.close(report)
    assert said == expected(access)


def look(runtime: str, files: Rootfs, fs_group: str) -> list[str]:
    """What the container says of its volumes."""
    pod = the_pod(documents(POD % fs_group, "pod.yaml"), "pod.yaml")
    wanted = spec("/busybox", "sh", "-c", LOOK, caps=(), uid=101)
    wanted = replace(wanted, mounts=(*wanted.mounts, *volume_mounts(pod, pod.containers[0])))
    result = run_container(wanted, files, runtime=runtime, relay=False)
    assert result.error == ""
    return result.stdout.decode().splitlines()


def expected(access: str) -> list[str]:
    return [
        f"/there {access}",
        f"/part {access}",
        f"/not/there {access}",
        "written",
        "text",
        "read-only",
        "/not/there:",
        "",
        "/part:",
    ]
