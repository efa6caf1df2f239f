# SPDX-License-Identifier: Apache-2.0
"""Which capability unlocks which system call, by engine and release; and that a capability may be held and of no use."""

from __future__ import annotations

import json

import pytest

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import seccomp
from caplet.runtimes.model import Version
from caplet.runtimes.node import ENGINES


@pytest.mark.parametrize(
    ("engine", "version", "cap", "call", "denied"),
    [
        ("docker", "20.10.27", Cap.BPF, "bpf", True),
        ("docker", "23.0.0", Cap.BPF, "bpf", False),
        ("docker", "20.10.27", Cap.SYS_ADMIN, "bpf", False),
        ("docker", "29.7.2", Cap.PERFMON, "perf_event_open", False),
        ("containerd", "1.6.8", Cap.BPF, "bpf", True),
        ("containerd", "1.6.9", Cap.BPF, "bpf", False),
        ("containerd", "2.3.4", Cap.PERFMON, "perf_event_open", False),
        ("containerd", "1.6.15", Cap.SYS_NICE, "set_mempolicy", False),
        ("containerd", "2.1.9", Cap.SYS_TIME, "clock_settime", False),
        ("containerd", "2.1.9", Cap.SYS_PTRACE, "kcmp", False),
        ("podman", "5.1.2", Cap.BPF, "bpf", True),
        ("podman", "5.2.0", Cap.BPF, "bpf", False),
        ("crio", "1.30.14", Cap.BPF, "bpf", True),
        ("crio", "1.31.0", Cap.BPF, "bpf", False),
        ("crio", "1.36.3", Cap.PERFMON, "perf_event_open", False),
    ],
)  # fmt: skip
def test_a_capability_that_is_held_may_unlock_nothing(
    engine: str, version: str, cap: Cap, call: str, denied: bool
) -> None:
    """moby/moby#43374: CAP_BPF was of no use under the default profile."""
    found = seccomp.denied(engine, Version.parse(version), cap, Caps.of(cap))
    assert (call in found) is denied


def test_what_else_would_unlock_it_is_said() -> None:
    assert seccomp.denied("docker", Version(20, 10, 27), Cap.BPF, Caps.of(Cap.BPF)) == {
        "bpf": Caps.of(Cap.SYS_ADMIN)
    }
    found = seccomp.gated("docker", Version(29, 7, 2), Caps())
    assert found["bpf"] == Caps.of(Cap.BPF, Cap.SYS_ADMIN)
    assert found["syslog"] == Caps.of(Cap.SYSLOG, Cap.SYS_ADMIN)


def test_every_engine_has_a_profile_and_all_capabilities_unlock_everything() -> None:
    for engine in ENGINES.values():
        for release in engine.releases:
            assert seccomp.gated(engine.name, release, Caps.all()) == {}
            assert "open_by_handle_at" in seccomp.gated(engine.name, release, Caps())


def test_where_two_rules_contradict_each_other_it_takes_both() -> None:
    podman = Version(5, 8, 2)
    for caps in (Caps(), Caps.of(Cap.PERFMON), Caps.of(Cap.SYS_ADMIN), Caps.of(Cap.PERFMON, Cap.BPF)):
        assert seccomp.gated("podman", podman, caps)["perf_event_open"] == Caps()
    assert "perf_event_open" not in seccomp.gated("podman", podman, Caps.of(Cap.PERFMON, Cap.SYS_ADMIN))
    assert "perf_event_open" not in seccomp.gated("crio", Version(1, 35, 1), Caps.of(Cap.PERFMON))


def test_the_profile_of_this_machines_podman() -> None:
    """/usr/share/containers/seccomp.json is the list itself; Debian's is of containers/common 0.50, as Podman 4.3 vendors it."""
    path = "/usr/share/containers/seccomp.json"
    try:
        with open(path, encoding="utf-8") as file:
            rules = json.load(file)["syscalls"]
    except FileNotFoundError:
        pytest.skip(f"needs {path}")
    keys: dict[str, Caps] = {}
    for rule in rules:
        if rule["action"] != "SCMP_ACT_ALLOW":
            continue
        for name in (rule.get("includes") or {}).get("caps", []):
            for call in rule["names"]:
                keys[call] = keys.get(call, Caps()) | Caps.parse(name)
    assert seccomp.gated("podman", Version(4, 3, 1), Caps()) == dict(sorted(keys.items()))
