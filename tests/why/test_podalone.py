# SPDX-License-Identifier: Apache-2.0
"""Without its image a Pod rules out what it does not ask for."""

from __future__ import annotations

import pytest
from tests.explain.memory import web
from tests.why.containers import containers

from caplet.why.answer import answer
from caplet.why.clue import clues_of

BIND = "listen tcp :80: bind: permission denied"
EXEC = "exec /usr/bin/caddy: operation not permitted"
NNP = "runAsUser: 101, allowPrivilegeEscalation: false, "
NO_USER = "allowPrivilegeEscalation: false, "


def out(line: str, security: str, on: str = "crio", *, assumed: bool = False) -> set[str]:
    found = answer(clues_of(line), containers(web(security), None, on), assumed=assumed)
    assert {one.cause.code for one in found.open}.isdisjoint(cause.code for cause in found.refuted)
    return {cause.code for cause in found.refuted}


@pytest.mark.parametrize(
    ("line", "security", "gone", "left"),
    [
        pytest.param(
            BIND, NNP + "capabilities: {drop: [ALL]}", {"CAP101"}, {"CAP134", "CAP103"}, id="nothing is added"
        ),
        pytest.param(
            BIND,
            NNP + "capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}",
            {"CAP134"},
            {"CAP101", "CAP103"},
            id="it is added",
        ),
        pytest.param(
            BIND,
            NNP + "capabilities: {drop: [ALL], add: [NET_RAW]}",
            {"CAP101"},
            {"CAP134"},
            id="something else is added",
        ),
        pytest.param(
            BIND,
            "runAsUser: 101, capabilities: {add: [NET_BIND_SERVICE]}",
            {"CAP103", "CAP104", "CAP134"},
            {"CAP101"},
            id="no no_new_privs",
        ),
        pytest.param(
            EXEC,
            "capabilities: {drop: [ALL]}",
            {"CAP110", "CAP112", "CAP118", "CAP119"},
            {"CAP102"},
            id="exec, nothing is added",
        ),
        pytest.param(EXEC, "", {"CAP112", "CAP118", "CAP119"}, {"CAP102", "CAP110"}, id="exec, defaults"),
        pytest.param(
            EXEC,
            "capabilities: {drop: [NET_RAW], add: [CAP_NET_ADMIN]}",
            {"CAP118", "CAP119"},
            {"CAP102", "CAP112"},
            id="a name with CAP_",
        ),
    ],
)
def test_what_a_pod_does_not_ask_for(line: str, security: str, gone: set[str], left: set[str]) -> None:
    found = out(line, security)
    assert gone <= found
    assert not left & found


@pytest.mark.parametrize(
    ("on", "gone"),
    [
        ("containerd:1.7", True),
        ("crio", True),
        ("docker:19.03", False),
        ("docker:23.0.6", False),
        ("docker:23.0.7", True),
        ("containerd:1.7+runsc", False),
    ],
)
@pytest.mark.parametrize("user", [NNP, NO_USER])
def test_which_engines_empty_the_permitted_set(on: str, user: str, gone: bool) -> None:
    """moby/moby#45511 is in 23.0.7; runsc honours no file capability under no_new_privs since 20260727."""
    security = user + "capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}"
    assert ("CAP104" in out(BIND, security, on)) is gone


def test_of_a_node_that_is_assumed_the_engine_rules_nothing_out() -> None:
    assert "CAP104" not in out(BIND, NNP + "capabilities: {drop: [ALL]}", "containerd:1.7", assumed=True)
