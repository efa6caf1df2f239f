# SPDX-License-Identifier: Apache-2.0
"""runsc: what it leaves out, what it refuses, and where it is not Linux."""

from __future__ import annotations

import errno

import pytest

from caplet.kernel.caps import Cap, Caps
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.kernel.syscalls import apply_all
from caplet.runtimes import gvisor
from caplet.runtimes.model import LinuxCapabilities, Process, Refused, User, Version


def test_no_process_has_net_raw() -> None:
    process = Process(("x",), User(0), LinuxCapabilities.granted(("CAP_NET_RAW", "CAP_CHOWN")))
    calls = gvisor.system_calls(process, Caps.all())
    assert not isinstance(calls, Refused)
    after = apply_all(Credentials(caps=ThreadCaps.root(Caps.all())), calls)
    assert after.caps.bounding == after.caps.permitted == Caps.of(Cap.CHOWN)


def test_an_unknown_name_is_an_error() -> None:
    process = Process(("x",), capabilities=LinuxCapabilities.granted(("CAP_CAP_KILL",)))
    assert gvisor.system_calls(process, Caps.all()) == Refused("runsc", 'unknown capability "CAP_CAP_KILL"')


@pytest.mark.parametrize(
    ("version", "plain", "under_no_new_privs"),
    [
        (20230101, "discarded", "discarded"),
        (20240325, None, None),
        (20250820, "kernel", "kernel"),
        (20260608, "kernel", "kernel"),
        (20260615, "kernel", "discarded"),
        (20260817, "kernel", "discarded"),
    ],
)
def test_file_capabilities_by_release(
    version: int, plain: str | None, under_no_new_privs: str | None
) -> None:
    assert gvisor.file_caps(False, Version(version)) == plain
    assert gvisor.file_caps(True, Version(version)) == under_no_new_privs


def test_ambient_capabilities_are_new() -> None:
    names = ("CAP_CHOWN",)
    process = Process(("x",), User(7), LinuxCapabilities(names, names, names, names, names))
    for version, caps in ((20260608, Caps()), (20260615, Caps.of(Cap.CHOWN))):
        calls = gvisor.system_calls(process, Caps.all(), Version(version))
        assert not isinstance(calls, Refused)
        assert apply_all(Credentials(caps=ThreadCaps.root(Caps.all())), calls).caps.ambient == caps


def test_its_words_where_execve_fails() -> None:
    assert gvisor.exec_error("/ep", errno.EPERM) == (
        "creating process: failed to update creds with file privileges: operation not permitted"
    )
    assert (
        gvisor.exec_error("/ep", errno.ENOENT)
        == "creating process: failed to load /ep: no such file or directory"
    )
