# SPDX-License-Identifier: Apache-2.0
"""Where nobody says which node it is, and where the one that is said cannot have written the line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.explain.memory import image, web
from tests.why.containers import codes, containers

from caplet.why.answer import OF_NODE, OF_PORTS, answer
from caplet.why.clue import clues_of
from caplet.why.somewhere import answer_somewhere

if TYPE_CHECKING:
    from caplet.explain.facts import ImageFacts
    from caplet.why.answer import Answer

BIND = "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)"
EXEC = "exec /usr/bin/ping: operation not permitted"
DROPPED = "runAsUser: 101, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}"
ADDED = DROPPED.replace("drop: [ALL]", "drop: [ALL], add: [NET_BIND_SERVICE]")
NGINX = image({"/usr/sbin/nginx": "elf"}, Entrypoint=["/usr/sbin/nginx"])
PING = image({"/usr/bin/ping": "elf cap_net_raw=ep"}, Entrypoint=["/usr/bin/ping"])


def somewhere(line: str, text: str, facts: ImageFacts | None) -> Answer:
    return answer_somewhere(clues_of(line), lambda on: containers(text, facts, on))


@pytest.mark.parametrize(("security", "code"), [(ADDED, "CAP101"), (DROPPED, "CAP134")])
def test_a_denied_port_is_of_a_node_that_does_not_open_it(security: str, code: str) -> None:
    """containerd from 2.0 on sets ip_unprivileged_port_start=0 (internal/cri/config DefaultRuntimeConfig)."""
    found = somewhere(BIND, web(security), NGINX)
    assert codes(found) == [code]
    assert found.assumed
    assert str(found.node).startswith("containerd 1.7")


def test_without_the_image_too() -> None:
    found = somewhere(BIND, web(ADDED), None)
    assert str(found.node).startswith("containerd 1.7")
    assert (codes(found), found.impossible) == ([], {})


def test_a_port_that_the_line_does_not_name_may_be_any() -> None:
    found = somewhere("bind: permission denied", web(ADDED), NGINX)
    assert codes(found) == ["CAP101"]
    assert str(found.node).startswith("containerd 1.7")


def test_what_only_crio_does_is_of_crio() -> None:
    """Its default set has no NET_RAW (pkg/config DefaultCapabilities)."""
    found = somewhere(EXEC, web("runAsUser: 101"), PING)
    assert codes(found) == ["CAP110"]
    assert str(found.node).startswith("CRI-O")


def test_what_happens_everywhere_is_of_the_newest() -> None:
    found = somewhere(EXEC, web(DROPPED), PING)
    assert codes(found) == ["CAP102"]
    assert str(found.node).startswith("containerd 2.")


@pytest.mark.parametrize("whole", ['sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]'])
def test_where_the_pod_opens_the_port_no_node_is_it(whole: str) -> None:
    found = somewhere(BIND, web(ADDED, whole=whole), NGINX)
    assert codes(found) == []
    (why,) = found.impossible.values()
    assert "the Pod sets net.ipv4.ip_unprivileged_port_start=0" in why


@pytest.mark.parametrize("on", ["containerd", "docker"])
def test_a_port_that_the_named_node_opens_was_denied_elsewhere(on: str) -> None:
    found = answer(clues_of(BIND), containers(web(ADDED), NGINX, on))
    assert codes(found) == []
    (why,) = found.impossible.values()
    assert why.startswith(f"this line cannot come from {found.node}: port 80 is free to every user there")
    assert found.open == ()
    assert not found.assumed
    assert found.needs == (OF_NODE, OF_PORTS)


def test_of_hostnetwork_the_node_decides() -> None:
    text = web(ADDED).replace("spec:\n", "spec:\n  hostNetwork: true\n", 1)
    found = answer(clues_of(BIND), containers(text, NGINX, "containerd"))
    assert found.impossible == {}


def test_a_program_that_starts_there_failed_elsewhere() -> None:
    found = answer(clues_of(EXEC), containers(web("runAsUser: 101"), PING, "containerd"))
    assert codes(found) == []
    (why,) = found.impossible.values()
    assert why.endswith("with this Pod and this image: /usr/bin/ping starts there")


def test_a_port_in_use_may_be_in_use_anywhere() -> None:
    """Whether EADDRINUSE was meant or EACCES, the line does not tell."""
    found = answer(clues_of("Port 80 is already in use"), containers(web(ADDED), NGINX, "containerd"))
    assert (codes(found), found.impossible) == ([], {})


def test_what_took_the_capability_answers_whoever_lists_the_line() -> None:
    """CAP103 has no line of ping's."""
    text = web(
        DROPPED.replace("drop: [ALL]", "drop: [ALL], add: [NET_RAW]"), command="[sh, -c, ping -c1 ::1]"
    )
    facts = image({"/usr/bin/ping": "elf cap_net_raw=ep"}, Env=["PATH=/usr/bin:/bin"])
    assert codes(somewhere("ping: socket: Operation not permitted", text, facts)) == ["CAP103"]
