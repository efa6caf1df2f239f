# SPDX-License-Identifier: Apache-2.0
"""The bundle of certificates: as it is, never a key, never something else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from caplet.errors import InvalidInput, Unavailable
from caplet.pack import certificates

if TYPE_CHECKING:
    from pathlib import Path

PEM = b"# Some CA\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEY = b"-----BEGIN EC PRIVATE KEY-----\nMIIB\n-----END EC PRIVATE KEY-----\n"


def test_a_named_bundle_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(PEM)
    assert certificates.read_bundle(str(tmp_path / "ca.pem")) == PEM


def test_the_first_bundle_of_the_machine_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "second.pem").write_bytes(PEM)
    monkeypatch.setattr(certificates, "BUNDLES", (str(tmp_path / "first.pem"), str(tmp_path / "second.pem")))
    assert certificates.read_bundle() == PEM


def test_a_machine_without_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "BUNDLES", ("/nonexistent",))
    with pytest.raises(Unavailable) as caught:
        certificates.read_bundle()
    assert "--ca-certificates=FILE" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "why"),
    [(PEM + KEY, "private key"), (b"", "no certificate"), (b"\x30\x82" * 99, "no certificate in PEM")],
)
def test_what_does_not_belong_into_an_image_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(InvalidInput, match=why):
        certificates.read_bundle(str(tmp_path / "ca.pem"))


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(InvalidInput, match="no bundle of certificates"):
        certificates.read_bundle("/dev/zero")


def test_this_machines_bundle_is_read_where_there_is_one() -> None:
    if not any(os.path.exists(file) for file in certificates.BUNDLES):
        pytest.skip("needs a CA bundle")
    assert certificates.read_bundle().count(b"-----BEGIN CERTIFICATE-----") > 10
