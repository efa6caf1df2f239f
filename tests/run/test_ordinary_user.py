# SPDX-License-Identifier: Apache-2.0
"""Containers of an ordinary user: in a user namespace, with the same sets as root's."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from tests.run.containers import RUNTIMES, predicted, rootfs, spec
from tests.run.test_rootless import as_user

from caplet.run.container import run_container
from caplet.run.rootless import as_root

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("root")]

ROOTFS = rootfs()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("program", "status", "started"), [("/http", 200, True), ("/http-plain", 0, True), ("/ep", 0, False)]
)
def test_an_ordinary_user_runs_the_same(
    runtime: str, program: str, status: int, started: bool, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    for name in ("newuidmap", "newgidmap", *(() if runtime == "embedded" else (runtime,))):
        tool(name)
    report = os.memfd_create("report")
    wanted = spec(program, caps=() if program == "/ep" else ("CAP_NET_BIND_SERVICE",))

    def work() -> int:
        expected = predicted(wanted, ROOTFS)
        result = run_container(wanted, ROOTFS, runtime=runtime, probe="http://:80/", relay=False)
        wrong = [] if result.created is None else list(result.created.differences(expected.before))
        if result.observed is not None and expected.after is not None:
            wrong += result.observed.differences(expected.after)
        said = {
            "started": (result.started, expected.after is not None),
            "status": result.probe.status if result.probe else None,
            "differences": wrong,
            "error": result.error,
            "probe": str(result.probe),
            "stderr": str(result.stderr),
        }
        os.write(report, json.dumps(said).encode())
        return 0

    assert as_user(lambda: as_root(work), tmp_path) == "0"
    said = json.loads(os.pread(report, 65536, 0))
    os.close(report)
    assert said["started"] == [started, started], said
    assert said["status"] == status, said
    assert said["differences"] == []
