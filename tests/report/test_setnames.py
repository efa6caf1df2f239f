# SPDX-License-Identifier: Apache-2.0
"""The short form of a set, and what is behind it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.kernel.caps import KNOWN, Cap, Caps
from caplet.report.setnames import SetNames
from caplet.runtimes.node import nodes

CONTAINERD = SetNames.of(nodes("containerd")[0])


@pytest.mark.parametrize(
    ("caps", "text"),
    [
        pytest.param("none", "-", id="none"),
        pytest.param("NET_RAW,CHOWN", "CHOWN, NET_RAW", id="few"),
        pytest.param("ALL", "all 41", id="all"),
        pytest.param(
            "SYS_ADMIN,SYS_PTRACE,BPF,PERFMON,SYSLOG", "SYS_PTRACE, SYS_ADMIN, SYSLOG and 2 more", id="many"
        ),
    ],
)
def test_brief(caps: str, text: str) -> None:
    assert CONTAINERD.brief(Caps.parse(caps)) == text


def test_all_but() -> None:
    assert CONTAINERD.brief(KNOWN - Caps.of(Cap.SYS_ADMIN)) == "all but SYS_ADMIN"


def test_what_a_container_is_about_comes_first() -> None:
    caps = Caps.parse("CHOWN,KILL,SETUID,SETGID,BPF")
    assert CONTAINERD.brief(caps, first=Caps.of(Cap.BPF)).startswith("BPF, ")


@pytest.mark.parametrize(
    ("on", "size"),
    [("containerd:1.7", 14), ("docker", 14), ("crio", 9), ("podman", 11)],
)
def test_an_engines_defaults_have_its_name(on: str, size: int) -> None:
    (node,) = nodes(on)
    names = SetNames.of(node)
    assert len(names.defaults) == size
    assert names.brief(names.defaults) == f"{node.engine.title}'s default {size}"
    more = names.defaults | Caps.of(Cap.SYS_ADMIN)
    assert names.brief(more) == f"{node.engine.title}'s default {size} + SYS_ADMIN"
    less = names.defaults - Caps.of(Cap.CHOWN)
    assert names.brief(less) == f"{node.engine.title}'s default {size} without CHOWN"


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_two_sets_never_have_one_legend(one: int, other: int) -> None:
    """What a short form leaves out the legend says: every set is its names, or in the legend."""
    sets = (Caps(one), Caps(other))
    legend = CONTAINERD.legend(sets)
    for caps in sets:
        text = CONTAINERD.brief(caps)
        if text not in legend:
            assert text.split(", ") == list(caps.names()) or not caps
