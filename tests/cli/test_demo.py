# SPDX-License-Identifier: Apache-2.0
"""`caplet demo` on this machine's kernel: what it prints, its exit codes, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from caplet.cli.main import run
from caplet.demo import scenes, stage
from caplet.demo.scenes import Ending

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from caplet.demo.scenes import Scene
    from caplet.image.image import Image
    from caplet.run.pod import Plan

pytestmark = [pytest.mark.usefixtures("root"), pytest.mark.root]

COMMAND = [sys.executable, "-m", "caplet", "demo"]

TEXT = """\
A server on port 80, run by a user that is not root.

   Pod      runAsUser: 65535, runAsNonRoot, drop: [all], add: [NET_BIND_SERVICE],
            allowPrivilegeEscalation: false, readOnlyRootFilesystem: true
   engine   as containerd 1.7 would; ports below 1024 need a privilege
   kernel   KERNEL

1. Without the capability on the file
   image    /http  DIGEST
   Pod      drop: [all], add: [NET_BIND_SERVICE]
                     bounding          permitted         effective         inheritable  ambient
   before execve     NET_BIND_SERVICE  NET_BIND_SERVICE  NET_BIND_SERVICE  -            -
   after: predicted  NET_BIND_SERVICE  -                 -                 -            -
          observed   NET_BIND_SERVICE  -                 -                 -            -
   ends     listen :80: permission denied  as it must be
   because  the file carries no capabilities
            P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)
                          = (none & none) | (none & NET_BIND_SERVICE) | none = none
            port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has none

2. With it
   image    /http cap_net_bind_service=ep  DIGEST
   Pod      drop: [all], add: [NET_BIND_SERVICE]
                     bounding          permitted         effective         inheritable  ambient
   before execve     NET_BIND_SERVICE  NET_BIND_SERVICE  NET_BIND_SERVICE  -            -
   after: predicted  NET_BIND_SERVICE  NET_BIND_SERVICE  NET_BIND_SERVICE  -            -
          observed   NET_BIND_SERVICE  NET_BIND_SERVICE  NET_BIND_SERVICE  -            -
   ends     answers ok as uid 65535  as it must be
   because  the file carries cap_net_bind_service=ep
            P'(permitted) = (P(inheritable) & F(inheritable)) | (F(permitted) & P(bounding)) | P'(ambient)
                          = (none & none) | (NET_BIND_SERVICE & NET_BIND_SERVICE) | none = NET_BIND_SERVICE
            no_new_privs takes nothing of it: P(permitted) had NET_BIND_SERVICE before
            port 80 is below 1024: bind(2) asks for NET_BIND_SERVICE in the effective set, which has it

3. With it, but everything dropped
   image    /http cap_net_bind_service=ep  DIGEST
   Pod      drop: [all], add: []
                     bounding          permitted         effective         inheritable  ambient
   before execve     -                 -                 -                 -            -
   after: predicted  not started
          observed   not started
   ends     exec /http: operation not permitted  as it must be
   because  F(permitted) & P(bounding) = NET_BIND_SERVICE & none = none
            the file's effective bit is set: it starts with all of F(permitted) or not at all
            execve(2): the file demands NET_BIND_SERVICE, which the bounding set lacks

3 of 3 ended as predicted and as they must, in SECONDS s. Nothing is left behind.
Yours:  caplet pack ./server -o oci:image --caps NET_BIND_SERVICE
"""


def masked(text: str) -> str:
    """Without what differs from machine to machine and from run to run."""
    text = re.sub(r"sha256:[0-9a-f]{64}", "DIGEST", text)
    text = re.sub(r"(?m)^(   kernel   )Linux .*$", r"\1KERNEL", text)
    return re.sub(r"in [0-9.]+ s\.", "in SECONDS s.", text)


def test_the_three_scenes_end_as_they_must(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["demo"]) == 0
    out, err = capfd.readouterr()
    assert masked(out) == TEXT
    assert err == ""


def test_it_needs_no_tool_and_no_network_and_takes_under_ten_seconds(tool: Callable[[str], str]) -> None:
    environment = {"PATH": "/nonexistent", "HOME": "/nonexistent"}
    began = time.monotonic()
    done = subprocess.run(
        [tool("unshare"), "--net", *COMMAND], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - began < 10


def test_colour_is_for_terminals_that_want_it(tool: Callable[[str], str]) -> None:
    def on_a_terminal(**extra: str) -> str:
        argv = [tool("script"), "--quiet", "--return", "--command", " ".join(COMMAND), "/dev/null"]
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | extra
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout

    assert "\x1b[" in on_a_terminal(TERM="xterm")
    assert "\x1b[" not in on_a_terminal(TERM="xterm", NO_COLOR="1")
    assert "\x1b[" not in on_a_terminal(TERM="dumb")


def test_a_scene_that_ends_otherwise_is_exit_1(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    first, *_ = scenes.SCENES
    monkeypatch.setattr(scenes, "SCENES", (replace(first, ending=Ending.ANSWERS),))
    assert run(["demo"]) == 1
    assert "listen :80: permission denied  NOT as it must be" in capfd.readouterr().out


def test_a_wrong_model_is_exit_5_and_says_where(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    right = stage.planned

    def wrong(scene: Scene, image: Image) -> Plan:
        plan = right(scene, image)
        created, execution, *_ = plan.explanation.steps
        unchanged = replace(execution, after=created.after)
        return replace(plan, explanation=replace(plan.explanation, steps=(created, unchanged)))

    first, *_ = scenes.SCENES
    monkeypatch.setattr(scenes, "SCENES", (first,))
    monkeypatch.setattr(stage, "planned", wrong)
    assert run(["demo"]) == 5
    said = [
        line.split(None, 1)[1] for line in capfd.readouterr().out.splitlines() if line.startswith("   wrong")
    ]
    assert said == [
        "after execve: permitted",
        "after execve: effective",
        "the end: answers ok predicted, listen :80: permission denied observed",
    ]


LEFT_BEHIND = """
import os, signal, subprocess, sys, time
number, *delays = sys.argv[1:3]
def mounts():
    with open("/proc/self/mountinfo") as file:
        return file.read()
before = mounts()
demo = subprocess.Popen(sys.argv[3:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
if int(number):
    time.sleep(float(delays[0]))
    demo.send_signal(int(number))
code = demo.wait()
deadline = time.monotonic() + 30
while True:
    left = [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    if not left or time.monotonic() > deadline:
        break
    time.sleep(0.01)
print(code, left, mounts() == before, os.listdir(os.environ["TMPDIR"]))
"""
"""Runs the demo in a pid and mount namespace of its own, where whatever is there afterwards was left by it."""

ENDINGS = [(0, 0.0)] + [
    (number, delay)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
    for delay in (0.1, 0.2, 0.3, 0.4, 0.5)
]


@pytest.mark.parametrize(("number", "delay"), ENDINGS, ids=str)
def test_nothing_stays_behind_however_it_ends(
    number: int, delay: float, tool: Callable[[str], str], tmp_path: Path
) -> None:
    unshare = [tool("unshare"), "--mount", "--pid", "--fork", "--mount-proc"]
    argv = [*unshare, sys.executable, "-c", LEFT_BEHIND, str(int(number)), str(delay), *COMMAND]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    said = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True).stdout
    code, _, rest = said.partition(" ")
    assert rest == "[] True []\n"
    assert number or code == "0"
