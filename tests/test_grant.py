# SPDX-License-Identifier: Apache-2.0
"""Grants, judged by the engines: they show the new capability, and everything else as before."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests import engines
from tests.grant_cases import BIND, CASES, Case
from tests.layouts import Layout

from caplet.grant import Grant, grant
from caplet.image.change import Change, Manner, Way
from caplet.image.copy import write_image
from caplet.image.image import open_image
from caplet.image.validate import validate
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CAPS = FileCaps.decode(BIND)
WAYS = pytest.mark.parametrize("way", list(Way), ids=[way.value for way in Way])
NOW = 1_750_000_000_000_000_000


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Containerd]:
    with engines.Containerd.started(str(tmp_path_factory.mktemp("containerd"))) as started:
        yield started


def written(work: Path, case: Case, way: Way) -> Layout:
    """A layout with the image, and what became of it under the tag `after`."""
    layout = Layout(str(work / "layout"))
    layout.image(case.made(str(work)), compression=case.compression, **case.image)
    done = granted(layout, case.path, way)
    write_image(done.after, f"oci:{layout.path}:after")
    return layout


def granted(
    layout: Layout, path: str, way: Way = Way.APPEND, tag: str = "latest", caps: FileCaps = CAPS
) -> Change:
    return grant(
        open_image(f"oci:{layout.path}:{tag}"), [Grant(caps, os.fsencode(path))], Manner("grant", way)
    )


def assert_only_capability(before: engines.Tree, after: engines.Tree, names: list[str], engine: str) -> None:
    """The times that unpacking made itself (of directories without an entry) do not count."""
    assert set(before) == set(after), engine
    for path, node in before.items():
        expected, found = node, after[path]
        if path in names:
            expected = engines.with_capability(node, BIND)
        if node.mtime > NOW or path == ".":
            expected, found = expected._replace(mtime=0), found._replace(mtime=0)
        assert found == expected, f"{engine}: {path!r}"


@pytest.mark.e2e
@pytest.mark.usefixtures("root")
@WAYS
@pytest.mark.parametrize("name", CASES)
def test_engines_show_nothing_but_the_capability(
    name: str, way: Way, tmp_path: Path, tool: Callable[[str], str], containerd: engines.Containerd
) -> None:
    for program in ("umoci", "skopeo", "podman", "ctr", "getcap"):
        tool(program)
    case = CASES[name]
    layout = written(tmp_path, case, way)
    names = list(case.names)
    work = str(tmp_path)
    assert validate(open_image(f"oci:{layout.path}:after")) == []
    engines.skopeo(layout.path, "after", f"{work}/copied")
    if case.compression != "zstd":  # umoci 0.4 has no zstd
        with engines.umoci(work, layout.path, "latest") as root:
            before = engines.tree(root)
        with engines.umoci(work, layout.path, "after") as root:
            assert_only_capability(before, engines.tree(root), names, "umoci")
            if name != "odd-names":
                listed = engines.getcap(root)
                assert {path: listed.get(f"/{path}") for path in names} == dict.fromkeys(names, str(CAPS))
    with containerd.mounted(layout.path, "latest") as root:
        before = engines.tree(root)
    with containerd.mounted(layout.path, "after") as root:
        assert_only_capability(before, engines.tree(root), names, "containerd")
    if name == "several-entries-of-one-name":
        return  # containers/storage refuses a path that comes twice
    with engines.podman(layout.path, "latest") as root:
        before = engines.tree(root)
    with engines.podman(layout.path, "after") as root:
        assert_only_capability(before, engines.tree(root), names, "podman")
