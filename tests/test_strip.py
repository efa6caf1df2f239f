# SPDX-License-Identifier: Apache-2.0
"""Capabilities taken away: from the files named, or from all, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests import engines
from tests.grant_cases import NET_RAW
from tests.layouts import ELF, NET_BIND_SERVICE, Layout, attribute, directory, file, hardlink, whiteout

from caplet.errors import InvalidInput
from caplet.grant import Grant, grant
from caplet.image.change import Manner, Way
from caplet.image.copy import write_image
from caplet.image.image import open_image
from caplet.image.validate import validate
from caplet.strip import strip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAYS = pytest.mark.parametrize("way", list(Way), ids=[way.value for way in Way])
RAW = {"security.capability": NET_RAW}
BIND = {"security.capability": NET_BIND_SERVICE, "user.kept": b"1"}
STACK = (
    [
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/ping", ELF, 0o4755, xattrs=RAW),
        file("usr/bin/app", ELF + b"2", xattrs=BIND),
        hardlink("usr/bin/b", "usr/bin/app", xattrs=BIND),
        file("usr/bin/hidden", ELF, xattrs=RAW),
        file("usr/bin/plain", ELF),
    ],
    [
        directory("usr"),
        directory("usr/bin"),
        whiteout("usr/bin/hidden"),
        file("top", ELF, xattrs={"security.capability": b""}),
    ],
)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    made = Layout(str(tmp_path / "layout"))
    made.image(STACK)
    return made


@WAYS
def test_without_a_path_every_visible_file_loses_them(way: Way, layout: Layout) -> None:
    done = strip(open_image(f"oci:{layout.path}"), (), Manner("strip", way))
    assert [(one.path, one.names) for one in done.images[0].files] == [
        (b"/top", (b"/top",)),
        (b"/usr/bin/app", (b"/usr/bin/app", b"/usr/bin/b")),
        (b"/usr/bin/ping", (b"/usr/bin/ping",)),
    ]
    write_image(done.after, f"oci:{layout.path}:after")
    after = open_image(f"oci:{layout.path}:after")
    assert validate(after) == []
    assert strip(after).images[0].files == ()


@WAYS
def test_only_what_is_named(way: Way, layout: Layout) -> None:
    done = strip(open_image(f"oci:{layout.path}"), [b"/usr/bin/b"], Manner("strip", way))
    write_image(done.after, f"oci:{layout.path}:after")
    members = layout.members(0 if way is Way.REWRITE else 2, "after")
    files = {one.name: (attribute(one), attribute(one, "user.kept")) for one in members if not one.isdir()}
    assert files["usr/bin/app"] == files["usr/bin/b"] == (None, b"1")
    if way is Way.REWRITE:
        assert files["usr/bin/ping"] == (NET_RAW, None)
    else:
        assert set(files) == {"usr/bin/app", "usr/bin/b"}


def test_a_file_without_capabilities_is_left_alone(layout: Layout) -> None:
    done = strip(open_image(f"oci:{layout.path}"), [b"/usr/bin/plain"])
    assert not done.changed
    assert [one.changed for one in done.images[0].files] == [False]


def test_a_path_that_is_not_there(layout: Layout) -> None:
    with pytest.raises(InvalidInput, match="/usr/bin/pong: not in the image") as caught:
        strip(open_image(f"oci:{layout.path}"), [b"/usr/bin/pong"])
    assert caught.value.hint == "Did you mean /usr/bin/ping?"


def test_stripping_undoes_a_rewritten_grant(tmp_path: Path) -> None:
    """strip(grant(x)) has x's layers again, byte for byte."""
    made = Layout(str(tmp_path / "layout"))
    made.image([[file("app", ELF), file("b", b"1")]], compression="none")
    image = open_image(f"oci:{made.path}")
    manner = Manner("grant", Way.REWRITE)
    given = grant(image, [Grant.parse("/app=NET_RAW")], manner)
    taken = strip(given.after, [b"/app"], Manner("strip", Way.REWRITE))
    old, new = image.layers[0], taken.images[0].after.layers[0]  # type: ignore[union-attr]
    assert (new.descriptor, new.diff_id) == (old.descriptor, old.diff_id)


@pytest.mark.e2e
@pytest.mark.usefixtures("root")
@WAYS
def test_umoci_shows_the_rest_as_it_was(
    way: Way, layout: Layout, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    tool("umoci")
    done = strip(open_image(f"oci:{layout.path}"), [b"/usr/bin/app", b"/usr/bin/ping"], Manner("strip", way))
    write_image(done.after, f"oci:{layout.path}:after")
    with engines.umoci(str(tmp_path), layout.path, "latest") as root:
        before = engines.tree(root)
    with engines.umoci(str(tmp_path), layout.path, "after") as root:
        after = engines.tree(root)
        assert engines.getcap(root) == {}
    for path in ("usr/bin/app", "usr/bin/b", "usr/bin/ping"):
        before[path] = engines.with_capability(before[path], None)
    assert {path: node for path, node in after.items() if path != "."} == {
        path: node for path, node in before.items() if path != "."
    }
