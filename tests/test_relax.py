# SPDX-License-Identifier: Apache-2.0
"""+ep becomes +p, and nothing else changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import engines
from tests.grant_cases import REVISION_3
from tests.layouts import ELF, Layout, file

from caplet.grant import Grant, grant
from caplet.image.change import Manner, Way
from caplet.image.copy import write_image
from caplet.image.image import open_image
from caplet.kernel.filecaps import FileCaps
from caplet.relax import relax, relaxed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def encoded(text: str) -> bytes:
    return FileCaps.parse(text).encode()


FILES = [
    file("bind", ELF, xattrs={"security.capability": encoded("cap_net_bind_service=ep")}),
    file("inherit", ELF, xattrs={"security.capability": encoded("cap_net_raw=eip")}),
    file("permitted", ELF, xattrs={"security.capability": encoded("cap_net_raw=p")}),
    file("plain", ELF),
    file("revision3", ELF, xattrs={"security.capability": REVISION_3}),
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("cap_net_bind_service=ep", "cap_net_bind_service=p"),
        ("cap_net_raw,cap_kill=eip", "cap_net_raw,cap_kill=ip"),
        ("cap_net_raw=ei", "cap_net_raw=i"),
        ("cap_net_raw=p", "cap_net_raw=p"),
        ("=ep", "=p"),
        ("=", "="),
    ],
)
def test_only_the_effective_bit_goes(before: str, after: str) -> None:
    assert relaxed(encoded(before)) == encoded(after)


def test_no_attribute_and_an_empty_one_stay() -> None:
    assert relaxed(None) is None
    assert relaxed(b"") == b""


def test_revision_3_becomes_revision_2() -> None:
    assert relaxed(REVISION_3) == encoded("cap_net_bind_service=p")


def test_without_a_path_it_is_every_file_with_the_bit(tmp_path: Path) -> None:
    layout = Layout(str(tmp_path / "layout"))
    layout.image([FILES])
    done = relax(open_image(f"oci:{layout.path}"))
    files = done.images[0].files
    assert [one.path for one in files if one.changed] == [b"/bind", b"/inherit", b"/revision3"]
    assert [one.path for one in files if not one.changed] == [b"/permitted"]
    assert any("revision 3" in note for note in files[-1].notes)
    assert not relax(done.after).changed


def test_granting_p_is_the_same_as_relaxing_ep(tmp_path: Path) -> None:
    """The layers agree; the histories say which it was."""
    layout = Layout(str(tmp_path / "layout"))
    layout.image([[file("app", ELF)]])
    image = open_image(f"oci:{layout.path}")
    way = Manner("grant", Way.REWRITE)
    relaxed_image = relax(
        grant(image, [Grant.parse("/app=NET_RAW")], way).after, (), Manner("relax", Way.REWRITE)
    )
    granted = grant(image, [Grant.parse("/app=cap_net_raw=p")], way)
    assert relaxed_image.images[0].after.layers[0].diff_id == granted.images[0].after.layers[0].diff_id


@pytest.mark.e2e
@pytest.mark.usefixtures("root")
@pytest.mark.parametrize("way", list(Way), ids=[way.value for way in Way])
def test_getcap_agrees(way: Way, tmp_path: Path, tool: Callable[[str], str]) -> None:
    tool("umoci")
    layout = Layout(str(tmp_path / "layout"))
    layout.image([FILES])
    done = relax(open_image(f"oci:{layout.path}"), [b"/bind", b"/inherit"], Manner("relax", way))
    write_image(done.after, f"oci:{layout.path}:after")
    with engines.umoci(str(tmp_path), layout.path, "after") as root:
        listed = engines.getcap(root)
    assert listed["/bind"] == "cap_net_bind_service=p"
    assert listed["/inherit"] == "cap_net_raw=ip"
    assert listed["/permitted"] == "cap_net_raw=p"
