# SPDX-License-Identifier: Apache-2.0
"""The arguments of a program that a clue names, from the container's own command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.explain.memory import image, web
from tests.why.containers import codes, containers

from caplet.why.answer import answer
from caplet.why.clue import clues_of
from caplet.why.commandline import named_in

PING = "/usr/bin/ping"


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["sh", "-c", "ping -c1 127.0.0.1"], ["-c1", "127.0.0.1"]),
        (["sh", "-c", "sleep 1 && exec ping -c 1 'a b' >/dev/null; echo"], ["-c", "1", "a b"]),
        (["sh", "-ec", "set -x\nping ::1\necho ping done"], ["::1"]),
        (["/entry.sh", "ping", "-c1", "::1"], ["-c1", "::1"]),
        (["tini", "--", "/usr/bin/ping", "::1"], ["::1"]),
        (["/sbin/ping", "::1"], []),
        (["sh", "-c", "ping $HOST"], []),
        (["sh", "-c", "ping 'a"], []),
        (["sh", "-c", "pinging x"], []),
        ([], []),
    ],
)
def test_the_command_line_has_its_arguments(args: list[str], expected: list[str]) -> None:
    assert named_in(args, PING) == (PING, *expected)


@given(st.lists(st.text(max_size=30), max_size=5), st.text(min_size=1, max_size=10))
def test_any_command_line_is_read(args: list[str], program: str) -> None:
    assert named_in(args, program)[0] == program


def test_a_remedy_keeps_them() -> None:
    """What a program that is no shell executes is known by the line alone."""
    facts = image(
        {
            "/entry.py": "#!/usr/bin/python3\nimport os, sys\nos.execv(found(), sys.argv[1:])\n",
            "/usr/bin/python3": "elf",
            PING: "elf cap_net_raw=ep",
        },
        Entrypoint=["/entry.py"],
        Env=["PATH=/usr/bin:/bin"],
    )
    security = "runAsUser: 101, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}"
    text = web(security, args="[ping, -c1, 127.0.0.1]", ports="[]")
    found = answer(
        clues_of("PermissionError: [Errno 1] Operation not permitted: '/usr/bin/ping'"),
        containers(text, facts),
    )
    assert codes(found) == ["CAP102"]
    failed = found.explanations[0].failed
    assert failed is not None
    assert failed.program is not None
    assert failed.program.argv == (PING, "-c1", "127.0.0.1")
