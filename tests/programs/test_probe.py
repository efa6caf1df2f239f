# SPDX-License-Identifier: Apache-2.0
"""`probe` says what /proc/PID/status says of the same process, and what its auxiliary vector says."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from caplet.programs import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.programs.conftest import Command

STATUS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")


def report(output: str) -> dict[str, str]:
    return {label: value for label, _, value in (line.partition(" ") for line in output.splitlines())}


def run(argv: list[str]) -> dict[str, str]:
    return report(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("architecture", shipped.ARCHITECTURES)
def test_the_report_has_every_fact_once_in_order(architecture: str, command: Command) -> None:
    output = subprocess.run(command("probe", architecture), capture_output=True, text=True, check=True).stdout
    labels = [line.split(" ")[0] for line in output.splitlines()]
    assert labels == ["uid", "gid", "groups", *STATUS, "Securebits", "AT_SECURE", "Dumpable"]
    assert output.endswith("\n")


@pytest.mark.parametrize("architecture", shipped.ARCHITECTURES)
def test_it_agrees_with_proc(architecture: str, command: Command) -> None:
    """The second program of the chain, cat, is the same process with nothing gained: its status is the probe's."""
    output = subprocess.run(
        [*command("probe", architecture), "/bin/cat", "/proc/self/status"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    probe, status = output[: output.index("Name:")], output[output.index("Name:") :]
    said = report(probe)
    kernel = {key: value.split() for key, _, value in (line.partition(":\t") for line in status.splitlines())}
    assert {key: [said[key]] for key in STATUS} == {key: kernel[key] for key in STATUS}
    assert said["uid"].split() == kernel["Uid"][:3]
    assert said["gid"].split() == kernel["Gid"][:3]
    assert said["groups"].split() == kernel["Groups"]


PRCTL = {"amd64": 157, "arm64": 167}
PR_SET_NO_NEW_PRIVS = 38


@pytest.mark.parametrize("architecture", shipped.ARCHITECTURES)
def test_it_makes_system_calls_and_reports_again(architecture: str, command: Command) -> None:
    """prctl(2) succeeds, then is refused (EINVAL: the third argument must be 0); a PROGRAM that is missing is ENOENT."""
    number = PRCTL[architecture]
    calls = [f"{number},{PR_SET_NO_NEW_PRIVS},1", f"{number},{PR_SET_NO_NEW_PRIVS},1,1"]
    argv = [*command("probe", architecture), *calls, "-", "ignored", "/nonexistent"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith(("result", "NoNewPrivs"))] == [
        "NoNewPrivs 0", "result 0", "NoNewPrivs 1", "result -22", "NoNewPrivs 1", "result -2",
    ]  # fmt: skip
    assert done.returncode == 1


SETPRIV = [
    "--reuid=65533", "--regid=65532", "--groups=5,3,70000", "--no-new-privs", "--securebits=+noroot,+noroot_locked",
    "--inh-caps=+net_raw", "--ambient-caps=+net_raw", "--bounding-set=-all,+net_raw,+chown",
]  # fmt: skip


@pytest.mark.usefixtures("root")
def test_it_shows_what_setpriv_made(tool: Callable[[str], str], command: Command) -> None:
    said = run([tool("setpriv"), *SETPRIV, *command("probe", shipped.host_architecture())])
    net_raw, chown = 1 << 13, 1 << 0
    assert said == {
        "uid": "65533 65533 65533",
        "gid": "65532 65532 65532",
        "groups": "3 5 70000",
        "CapInh": f"{net_raw:016x}",
        "CapPrm": f"{net_raw:016x}",
        "CapEff": f"{net_raw:016x}",
        "CapBnd": f"{net_raw | chown:016x}",
        "CapAmb": f"{net_raw:016x}",
        "NoNewPrivs": "1",
        "Securebits": "03",
        "AT_SECURE": "0",
        "Dumpable": "1",
    }


@pytest.mark.usefixtures("root")
def test_a_gained_capability_shows_in_at_secure_and_dumpable(tool: Callable[[str], str]) -> None:
    """The first program of the chain lost all it had; what the second gains makes it secure and not dumpable."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        copy = os.path.join(directory, "probe")
        shutil.copy(shipped.path("probe"), copy)
        os.setxattr(copy, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        drop = [tool("setpriv"), "--reuid=65533", "--regid=65533", "--clear-groups"]
        argv = [*drop, str(shipped.path("probe")), copy]
        output = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    first, second = (report("uid" + part) for part in output.split("uid")[1:])
    assert (first["CapPrm"], first["AT_SECURE"], first["Dumpable"]) == (f"{0:016x}", "0", "1")
    with open("/proc/sys/fs/suid_dumpable", encoding="ascii") as suid_dumpable:
        dumpable = suid_dumpable.read().strip()
    assert (second["CapEff"], second["AT_SECURE"], second["Dumpable"]) == (f"{1 << 13:016x}", "1", dumpable)
