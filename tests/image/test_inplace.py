# SPDX-License-Identifier: Apache-2.0
"""Which outputs take the place of the input."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from tests.layouts import ELF, Layout, file

from caplet.image.image import open_image
from caplet.image.inplace import replaces
from caplet.image.reference import parse_reference

if TYPE_CHECKING:
    from pathlib import Path

CASES = {
    "the same tag": ("oci:many:one", "oci:many:one", True),
    "another tag": ("oci:many:one", "oci:many:new", False),
    "the tag of another image": ("oci:many:one", "oci:many:two", False),
    "another tag of the same image": ("oci:many:one", "oci:many:also", False),
    "another layout": ("oci:many:one", "oci:single:one", False),
    "a layout to be": ("oci:many:one", "oci:new:one", False),
    "the same by another path": ("oci:many:one", "oci:./link:one", True),
    "the only one, by its tag": ("oci:single", "oci:single:latest", True),
    "the only one, untagged": ("oci:single", "oci:single", False),  # refused when it is written
    "the only one, another tag": ("oci:single", "oci:single:new", False),
    "one without a tag": ("oci:untagged", "oci:untagged", True),
    "one without a tag, to a tag": ("oci:untagged", "oci:untagged:new", False),
    "an archive": ("oci-archive:image.tar", "oci-archive:image.tar", True),
    "an archive under another name": ("oci-archive:image.tar", "oci-archive:./image.tar:new", True),
    "an archive in the other form": ("oci-archive:image.tar", "docker-archive:image.tar:a:b", True),
    "another archive": ("oci-archive:image.tar", "oci-archive:new.tar", False),
}


@pytest.mark.parametrize(("source", "destination", "expected"), CASES.values(), ids=list(CASES))
def test_what_takes_the_place_of_the_input(
    source: str, destination: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    many = Layout("many")
    one = many.image([[file("app", ELF)]], "one")
    many.tag(one, "also")
    many.image([[file("app")]], "two")
    os.symlink("many", "link")
    Layout("single").image([[file("app", ELF)]])
    untagged = Layout("untagged")
    untagged._json(
        "index.json", {"schemaVersion": 2, "manifests": [untagged.image([[file("app", ELF)]], None)]}
    )
    with tarfile.open("image.tar", "w") as out:
        out.add("single", ".")
    reference = parse_reference(source)
    assert replaces(open_image(reference), reference, parse_reference(destination)) is expected
