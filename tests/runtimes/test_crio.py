# SPDX-License-Identifier: Apache-2.0
"""CRI-O's config.json: what add and drop come to, and its words. Rows marked were seen on CRI-O 1.37's development build."""

from __future__ import annotations

import pytest

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import crio, runc
from caplet.runtimes.model import LinuxCapabilities, Refused, SecurityContext, Version

ALL = Caps.all()
NBS = Caps.of(Cap.NET_BIND_SERVICE)
NINE = Caps(0x5FB)
SINCE_1_26 = Version(1, 26)


def granted(
    add: tuple[str, ...] = (), drop: tuple[str, ...] = (), version: Version = crio.NEWEST
) -> LinuxCapabilities:
    found = crio.capabilities(SecurityContext(add_capabilities=add, drop_capabilities=drop), ALL, version)
    assert isinstance(found, LinuxCapabilities)
    return found


@pytest.mark.parametrize(
    ("add", "drop", "caps"),
    [
        pytest.param((), (), NINE, id="default, measured"),
        pytest.param(("NET_BIND_SERVICE",), ("ALL",), NBS, id="drop ALL, add one, measured"),
        pytest.param(("net_bind_service",), ("all",), NBS, id="lower case, measured"),
        pytest.param(("CAP_NET_BIND_SERVICE",), ("ALL",), NBS, id="prefixed, measured"),
        pytest.param(("cap_net_bind_service",), ("ALL",), NBS, id="prefixed in lower case"),
        pytest.param(("NET_RAW",), (), NINE | Caps.of(Cap.NET_RAW), id="add to the default"),
        pytest.param(("NET_RAW",), ("NET_RAW",), NINE, id="both: dropped, measured"),
        pytest.param((), ("CHOWN",), NINE - Caps.of(Cap.CHOWN), id="drop of the default"),
        pytest.param(("All",), (), ALL, id="All, measured"),
        pytest.param(("ALL",), ("ALL",), Caps(), id="ALL and ALL: nothing, measured"),
        pytest.param(("ALL", "NET_BIND_SERVICE"), ("ALL",), NBS, id="ALL and ALL and one"),
        pytest.param(("ALL",), ("CHOWN",), ALL - Caps.of(Cap.CHOWN), id="all but one"),
    ],
)
def test_add_and_drop(add: tuple[str, ...], drop: tuple[str, ...], caps: Caps) -> None:
    found = granted(add, drop)
    sets = (found.bounding, found.permitted, found.effective)
    assert [runc.caps_of(names) for names in sets] == [caps, caps, caps]
    assert found.inheritable == found.ambient == ()


@pytest.mark.parametrize(
    ("add", "drop", "message"),
    [
        (("NET_BIND",), (), 'unknown capability "CAP_NET_BIND" to add'),
        (("cap_net_bind",), (), 'unknown capability "cap_net_bind" to add'),
        (("CAP_ALL",), (), 'unknown capability "CAP_ALL" to add'),
        (("",), ("ALL",), 'unknown capability "CAP_" to add'),
        ((), ("NET_BIND",), "failed to drop cap CAP_NET_BIND invalid capability: CAP_NET_BIND"),
    ],
)
def test_unknown_names_are_errors(add: tuple[str, ...], drop: tuple[str, ...], message: str) -> None:
    context = SecurityContext(add_capabilities=add, drop_capabilities=drop)
    assert crio.capabilities(context, ALL) == Refused("CRI-O", message)


def test_the_default_lost_two_in_1_18() -> None:
    assert runc.caps_of(granted(version=Version(1, 17)).bounding) == NINE | Caps.of(
        Cap.NET_RAW, Cap.SYS_CHROOT
    )
    assert runc.caps_of(granted(version=Version(1, 18)).bounding) == NINE


@pytest.mark.parametrize(
    ("version", "inheritable"),
    [("1.23.5", True), ("1.24.0", False), ("1.24.2", False), ("1.24.3", True), ("1.24.6", True), ("1.25.0", False), ("1.36.3", False)],
)  # fmt: skip
def test_inheritable_went_came_back_and_went(version: str, inheritable: bool) -> None:
    found = granted(version=Version.parse(version))
    assert found.inheritable == (found.bounding if inheritable else ())


def test_privileged_fills_all_five_sets() -> None:
    """As CRI-O's own container_test.go has it."""
    found = crio.capabilities(SecurityContext(privileged=True, drop_capabilities=("ALL",)), ALL)
    assert isinstance(found, LinuxCapabilities)
    sets = (found.bounding, found.effective, found.permitted, found.inheritable, found.ambient)
    assert [runc.caps_of(names) for names in sets] == [ALL] * 5


def test_a_group_without_a_user() -> None:
    refused = crio.user_string(SecurityContext(run_as_group=8), "app")
    assert refused == Refused("CRI-O", "user group is specified without user or username")
    assert crio.user_string(SecurityContext(run_as_user=7, run_as_group=8), "app") == "7:8"
