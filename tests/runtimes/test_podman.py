# SPDX-License-Identifier: Apache-2.0
"""Podman's config.json: the ambient rule, the algebra, the image's label. Rows marked were seen with 4.3 and 5.8."""

from __future__ import annotations

import pytest

from caplet.kernel.caps import Cap, Caps
from caplet.runtimes import podman, runc
from caplet.runtimes.model import LinuxCapabilities, Refused, SecurityContext, Version

ALL = Caps.all()
ELEVEN = Caps(0x800405FB)
NBS = Caps.of(Cap.NET_BIND_SERVICE)
NONE = Caps()


def capabilities(
    context: SecurityContext,
    user: str = "7",
    version: Version = podman.NEWEST,
    labels: dict[str, str] | None = None,
    every: Caps = ALL,
) -> LinuxCapabilities:
    found = podman.capabilities(context, user, every, version, labels)
    assert isinstance(found, LinuxCapabilities)
    return found


def context(
    add: tuple[str, ...] = (), drop: tuple[str, ...] = (), *, privileged: bool = False
) -> SecurityContext:
    return SecurityContext(add_capabilities=add, drop_capabilities=drop, privileged=privileged)


@pytest.mark.parametrize(
    ("asked", "user", "bounding", "own"),
    [
        pytest.param(context(), "7", ELEVEN, NONE, id="default: bounding only, measured"),
        pytest.param(context(("NET_BIND_SERVICE",), ("ALL",)), "7", NBS, NBS, id="added: ambient, measured"),
        pytest.param(context(("cap_net_bind_service",), ("all",)), "7:8", NBS, NBS, id="any spelling"),
        pytest.param(context(("ALL",)), "7", ALL, ALL, id="ALL"),
        pytest.param(context(privileged=True), "7", ALL, NONE, id="privileged: bounding only"),
        pytest.param(context(("SYS_TIME",), privileged=True), "7", ALL, Caps.of(Cap.SYS_TIME), id="privileged, added"),
        pytest.param(context(("SYS_TIME",)), "toor", ELEVEN | Caps.of(Cap.SYS_TIME), Caps.of(Cap.SYS_TIME), id="a name of uid 0 is no root"),
    ],
)  # fmt: skip
def test_a_user_gets_what_is_added_and_gets_it_ambient(
    asked: SecurityContext, user: str, bounding: Caps, own: Caps
) -> None:
    found = capabilities(asked, user)
    assert runc.caps_of(found.bounding) == bounding
    sets = (found.permitted, found.effective, found.inheritable, found.ambient)
    assert [runc.caps_of(names) for names in sets] == [own] * 4


@pytest.mark.parametrize("user", ["", "root", "0", "0:5", "root:staff"])
def test_root_has_it_all_effective_and_nothing_ambient(user: str) -> None:
    found = capabilities(context(("NET_RAW",)), user)
    caps = ELEVEN | Caps.of(Cap.NET_RAW)
    assert [runc.caps_of(names) for names in (found.bounding, found.permitted, found.effective)] == [caps] * 3
    assert found.inheritable == found.ambient == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (context(("ALL",), ("ALL",)), "adding all caps and removing all caps not allowed"),
        (context(("NET_RAW",), ("net_raw",)), 'capability "CAP_NET_RAW" cannot be dropped and added'),
        (context(("NET_BIND",)), '"CAP_NET_BIND": unknown capability'),
        (context((), ("CAP_ALL",)), '"CAP_ALL": unknown capability'),
    ],
)
def test_its_words(asked: SecurityContext, message: str) -> None:
    assert podman.capabilities(asked, "7", ALL) == Refused("Podman", message)


@pytest.mark.parametrize(
    ("version", "caps"),
    [
        ("4.3.1", Caps(0xA80425FB)),
        ("4.4.0", ELEVEN - Caps.of(Cap.SYS_CHROOT)),
        ("4.5.0", ELEVEN),
        ("5.8.2", ELEVEN),
    ],
)
def test_the_default_shrank(version: str, caps: Caps) -> None:
    assert runc.caps_of(capabilities(context(), version=Version.parse(version)).bounding) == caps


def test_inheritable_of_root_ended_with_4_0_3() -> None:
    assert capabilities(context(), "", Version(4, 0, 2)).inheritable != ()
    assert capabilities(context(), "", Version(4, 0, 3)).inheritable == ()


@pytest.mark.parametrize(
    ("label", "bounding"),
    [("CHOWN,cap_kill", Caps.of(Cap.CHOWN, Cap.KILL)), ("", NONE), ("CHOWN,SYS_ADMIN", ELEVEN)],
)
def test_the_images_label_narrows(label: str, bounding: Caps) -> None:
    found = capabilities(context(), "", labels={podman.LABEL: label})
    assert runc.caps_of(found.bounding) == bounding


def test_it_gives_nothing_that_it_lacks_itself() -> None:
    found = capabilities(context(("SYS_RESOURCE", "SYS_TIME")), every=ALL - Caps.of(Cap.SYS_RESOURCE))
    assert runc.caps_of(found.ambient) == Caps.of(Cap.SYS_TIME)


def test_distributions_have_their_own_defaults() -> None:
    found = podman.capabilities(context(), "", ALL, Version(4, 3, 1), defaults=podman.DEBIANS)
    assert isinstance(found, LinuxCapabilities)
    assert runc.caps_of(found.bounding) == ELEVEN
