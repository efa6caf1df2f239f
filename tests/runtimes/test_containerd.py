# SPDX-License-Identifier: Apache-2.0
"""containerd's config.json: capabilities, groups, environment, sysctls. The table's rows were measured with real engines."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import containerd, runc, template
from caplet.runtimes.model import Refused, SecurityContext, Version

ALL = Caps.all()
NBS = Caps.of(Cap.NET_BIND_SERVICE)


def test_the_default_mask_is_dockers() -> None:
    assert containerd.DEFAULT_CAPS.mask == 0xA80425FB


@pytest.mark.parametrize(
    ("add", "drop", "caps", "ignored"),
    [
        ((), (), containerd.DEFAULT_CAPS, ()),
        (("NET_BIND_SERVICE",), ("ALL",), NBS, ()),
        (("net_bind_service",), ("all",), NBS, ()),
        (("CAP_NET_BIND_SERVICE",), ("ALL",), Caps(), ("CAP_CAP_NET_BIND_SERVICE",)),
        ((), ("CAP_NET_RAW",), containerd.DEFAULT_CAPS, ()),
        ((), ("NET_RAW",), containerd.DEFAULT_CAPS - Caps.of(Cap.NET_RAW), ()),
        (("NET_RAW",), ("NET_RAW",), containerd.DEFAULT_CAPS - Caps.of(Cap.NET_RAW), ()),
        (("All",), (), ALL, ()),
        (("ALL",), ("ALL",), Caps(), ()),
        (("ALL", "NET_BIND_SERVICE"), ("ALL",), NBS, ()),
        (("ALL",), ("CHOWN",), ALL - Caps.of(Cap.CHOWN), ()),
        (("CAP_ALL",), ("ALL",), Caps(), ("CAP_CAP_ALL",)),
        (("NET_BIND",), (), containerd.DEFAULT_CAPS, ("CAP_NET_BIND",)),
        (("",), ("ALL",), Caps(), ("CAP_",)),
    ],
)
def test_add_and_drop(
    add: tuple[str, ...], drop: tuple[str, ...], caps: Caps, ignored: tuple[str, ...]
) -> None:
    found = containerd.capabilities(SecurityContext(add_capabilities=add, drop_capabilities=drop), ALL)
    assert (
        runc.caps_of(found.bounding) == runc.caps_of(found.permitted) == runc.caps_of(found.effective) == caps
    )
    assert found.inheritable == found.ambient == ()
    assert runc.ignored(found) == ignored


def test_privileged_gives_everything() -> None:
    found = containerd.capabilities(SecurityContext(privileged=True, drop_capabilities=("ALL",)), ALL)
    assert runc.caps_of(found.permitted) == ALL


@pytest.mark.parametrize(
    ("version", "host_network", "pod", "start"),
    [
        ("1.7", False, {}, None),
        ("2.0", False, {}, "0"),
        ("2.1", True, {}, None),
        ("2.1", False, {"net.ipv4.ip_unprivileged_port_start": "1024"}, "1024"),
        ("1.7", False, {"net.ipv4.ip_unprivileged_port_start": "80"}, "80"),
    ],
)
def test_where_unprivileged_ports_start(
    version: str, host_network: bool, pod: dict[str, str], start: str | None
) -> None:
    found = containerd.sysctls(pod, Version.parse(version), host_network=host_network)
    assert found.get(template.PORT_START) == start


class Account(NamedTuple):
    uid: int = 7
    gid: int = 5
    groups: tuple[int, ...] = (5, 30, 20)


@pytest.mark.parametrize(
    ("context", "gids"),
    [
        (SecurityContext(), (5, 20, 30)),
        (SecurityContext(supplemental_groups=(9, 30)), (5, 9, 20, 30)),
        (SecurityContext(supplemental_groups=(9,), supplemental_groups_policy="Strict"), (5, 9)),
    ],
)
def test_supplementary_groups(context: SecurityContext, gids: tuple[int, ...]) -> None:
    assert containerd.additional_gids(context, Account()) == gids


def test_the_user_that_is_looked_up() -> None:
    assert containerd.user_string(SecurityContext(run_as_user=7), "app") == "7"
    assert containerd.user_string(SecurityContext(run_as_user=7, run_as_group=8), "app") == "7:8"
    assert containerd.user_string(SecurityContext(run_as_username="app"), "app:staff") == "app"
    refused = containerd.user_string(SecurityContext(run_as_group=8), "")
    assert refused == Refused("containerd", 'user group "8" is specified without user')


def test_the_container_wins_over_the_image_in_its_place() -> None:
    found = template.environment(["A=1", "PATH=/bin"], {"B": "2", "A": "3"}, "web")
    assert found == ("PATH=/bin", "HOSTNAME=web", "A=3", "B=2")


@pytest.mark.parametrize(
    ("version", "inheritable"),
    [("1.4.13", True), ("1.5.10", True), ("1.5.11", False), ("1.6.0", True), ("1.6.1", True), ("1.6.2", False), ("2.1.9", False)],
)  # fmt: skip
def test_inheritable_ended_in_two_lines(version: str, inheritable: bool) -> None:
    """GHSA-c9cp-9c75-9v8c."""
    for privileged in (False, True):
        found = containerd.capabilities(SecurityContext(privileged=privileged), ALL, Version.parse(version))
        assert found.inheritable == (found.bounding if inheritable else ())


def test_1_4_knows_nothing_of_linux_5_8() -> None:
    found = containerd.capabilities(SecurityContext(add_capabilities=("ALL",)), ALL, Version(1, 4, 13))
    assert runc.caps_of(found.bounding) == Caps.all(Cap.AUDIT_READ)
