# SPDX-License-Identifier: Apache-2.0
"""Programs are known by the last component of their path, with or without a version."""

from __future__ import annotations

import pytest

from caplet.image.interpreters import Runs, runs


@pytest.mark.parametrize(
    "path",
    [
        b"/bin/sh",
        b"/usr/bin/dash",
        b"/bin/busybox",
        b"/usr/bin/env",
        b"/usr/local/bin/python3.11",
        b"/usr/bin/perl5.36.0",
        b"/usr/bin/node",
        b"/usr/lib/jvm/java-21/bin/java",
        b"/usr/bin/mawk",
        b"ruby",
    ],
)
def test_what_runs_scripts(path: bytes) -> None:
    assert runs(path) is Runs.SCRIPTS


@pytest.mark.parametrize(
    "path",
    [b"/sbin/tini", b"/usr/bin/dumb-init", b"/usr/sbin/gosu", b"/lib64/ld-linux-x86-64.so.2", b"/bin/su"],
)
def test_what_starts_another_program(path: bytes) -> None:
    assert runs(path) is Runs.PROGRAMS


@pytest.mark.parametrize(
    "path",
    [
        b"/usr/sbin/nginx",
        b"/usr/bin/ping",
        b"/app",
        b"/usr/bin/pythonic",
        b"/sh/server",
        b"/usr/bin/nodejs-app",
        b"",
    ],
)
def test_what_does_its_own_work(path: bytes) -> None:
    assert runs(path) is None
