# SPDX-License-Identifier: Apache-2.0
"""Docker's config.json by release: algebra, sets and words. Rows marked were seen with 20.10, 26.1 and 28.5."""

from __future__ import annotations

import pytest

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import docker, runc
from caplet.runtimes.model import LinuxCapabilities, Refused, SecurityContext, Version
from caplet.runtimes.template import PORT_START

ALL = Caps.all()
DEFAULT = Caps(0xA80425FB)
NBS = Caps.of(Cap.NET_BIND_SERVICE)
OLD = Version(20, 10, 24)


def capabilities(
    context: SecurityContext, uid: int = 0, version: Version = docker.NEWEST, every: Caps = ALL
) -> LinuxCapabilities:
    found = docker.capabilities(context, uid, every, version)
    assert isinstance(found, LinuxCapabilities)
    return found


@pytest.mark.parametrize(
    ("add", "drop", "caps"),
    [
        pytest.param((), (), DEFAULT, id="default, measured"),
        pytest.param(("NET_BIND_SERVICE",), ("ALL",), NBS, id="drop ALL, add one, measured"),
        pytest.param(("net_bind_service",), ("all",), NBS, id="lower case, measured"),
        pytest.param(("CAP_NET_BIND_SERVICE",), ("ALL",), NBS, id="prefixed, measured"),
        pytest.param(("NET_RAW",), ("NET_RAW",), DEFAULT, id="both: kept, measured"),
        pytest.param(("ALL",), ("ALL",), ALL, id="ALL and ALL: everything, measured"),
        pytest.param(("ALL",), ("CHOWN",), ALL - Caps.of(Cap.CHOWN), id="all but one"),
        pytest.param((), ("CHOWN",), DEFAULT - Caps.of(Cap.CHOWN), id="drop of the default"),
        pytest.param(("SYS_TIME",), (), DEFAULT | Caps.of(Cap.SYS_TIME), id="add to the default"),
    ],
)
def test_add_and_drop(add: tuple[str, ...], drop: tuple[str, ...], caps: Caps) -> None:
    found = capabilities(SecurityContext(add_capabilities=add, drop_capabilities=drop))
    sets = (found.bounding, found.permitted, found.effective)
    assert [runc.caps_of(names) for names in sets] == [caps, caps, caps]
    assert found.inheritable == found.ambient == ()


@pytest.mark.parametrize(
    ("version", "uid", "sets"),
    [
        ("17.12.1", 7, "BPEI"),
        ("18.03.1", 7, "BPEI"),
        ("18.06.3", 7, "BI"),
        ("20.10.13", 7, "BI"),
        ("20.10.13", 0, "BPEI"),
        ("20.10.14", 7, "B"),
        ("20.10.24", 7, "B"),
        ("20.10.24", 0, "BPE"),
        ("23.0.6", 7, "B"),
        ("23.0.7", 7, "BPE"),
        ("24.0.0", 7, "BPE"),
        ("24.0.6", 7, "BPE"),
        ("26.1.5", 7, "BPE"),
        ("29.7.2", 7, "BPE"),
        ("29.7.2", 0, "BPE"),
    ],
)
def test_which_sets_are_filled(version: str, uid: int, sets: str) -> None:
    found = capabilities(SecurityContext(), uid, Version.parse(version))
    fields = {
        "B": found.bounding,
        "P": found.permitted,
        "E": found.effective,
        "I": found.inheritable,
        "A": found.ambient,
    }
    assert "".join(letter for letter, names in fields.items() if names) == sets
    assert {runc.caps_of(names) for names in fields.values() if names} == {DEFAULT}


@pytest.mark.parametrize(
    ("add", "drop", "version", "message"),
    [
        (("NET_BIND",), (), docker.NEWEST, 'invalid CapAdd: unknown capability: "CAP_NET_BIND"'),
        ((), ("cap_x",), docker.NEWEST, 'invalid CapDrop: unknown capability: "CAP_X"'),
        (("",), (), docker.NEWEST, 'invalid CapAdd: unknown capability: "CAP_"'),
        (("CAP_ALL",), (), docker.NEWEST, 'invalid CapAdd: unknown capability: "CAP_ALL"'),
        (("BPF",), (), OLD, 'invalid CapAdd: unknown capability: "CAP_BPF"'),
        (("SYS_RESOURCE",), (), docker.NEWEST, 'invalid CapAdd: capability not supported by your kernel or not available in the current environment: "CAP_SYS_RESOURCE"'),
    ],
)  # fmt: skip
def test_its_words(add: tuple[str, ...], drop: tuple[str, ...], version: Version, message: str) -> None:
    every = ALL - Caps.of(Cap.SYS_RESOURCE)
    for privileged in (False, True):
        context = SecurityContext(add_capabilities=add, drop_capabilities=drop, privileged=privileged)
        assert docker.capabilities(context, 0, every, version) == Refused("Docker", message)


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (("net_raw",), ("all",), Caps.of(Cap.NET_RAW)),
        (("NET_RAW",), ("NET_RAW",), DEFAULT),
        (("ALL",), ("ALL",), Caps()),
        (("ALL",), ("CHOWN",), Caps.all(Cap.AUDIT_READ) - Caps.of(Cap.CHOWN)),
        (("CAP_NET_RAW",), (), 'Unknown capability to add: "CAP_CAP_NET_RAW"'),
        ((), ("CAP_NET_RAW",), 'Unknown capability drop: "CAP_NET_RAW"'),
    ],
)
def test_add_and_drop_before_19_03(add: tuple[str, ...], drop: tuple[str, ...], expected: Caps | str) -> None:
    """By the source of v18.09.9."""
    context = SecurityContext(add_capabilities=add, drop_capabilities=drop)
    found = docker.capabilities(context, 0, ALL, Version(18, 9, 9))
    if isinstance(expected, str):
        assert found == Refused("Docker", expected)
    else:
        assert isinstance(found, LinuxCapabilities)
        assert runc.caps_of(found.bounding) == expected


def test_20_10_knows_none_of_linux_5_8_and_does_not_ask_what_it_has_itself() -> None:
    context = SecurityContext(add_capabilities=("ALL",))
    found = capabilities(context, version=OLD, every=ALL - Caps.of(Cap.SYS_RESOURCE))
    assert runc.caps_of(found.bounding) == Caps.all(Cap.AUDIT_READ)


@pytest.mark.parametrize(
    ("version", "host_network", "start"),
    [("19.3.15", False, None), ("20.10.0", False, "0"), ("28.5.2", False, "0"), ("28.5.2", True, None)],
)
def test_where_unprivileged_ports_start(version: str, host_network: bool, start: str | None) -> None:
    found = docker.sysctls({}, Version.parse(version), host_network=host_network)
    assert found.get(PORT_START) == start
    asked = docker.sysctls({PORT_START: "80"}, Version.parse(version), host_network=host_network)
    assert asked[PORT_START] == "80"


def test_the_images_group_counts_where_no_kubelet_loses_it() -> None:
    assert docker.ENGINE.user_string(SecurityContext(), "app:staff") == "app:staff"
    assert docker.ENGINE.user_string(SecurityContext(), "app:") == "app"
    assert docker.ENGINE.user_string(SecurityContext(run_as_user=7), "app:staff") == "7"
    assert docker.ENGINE.user_string(SecurityContext(run_as_group=8), "app") == ":8"
    assert docker.ENGINE.user_string(SecurityContext(run_as_username="app", run_as_group=8), "app") == "app:8"
