# SPDX-License-Identifier: Apache-2.0
"""crun's system calls and names."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.kernel.caps import Cap, Caps
from caplet.kernel.credentials import Credentials, ThreadCaps
from caplet.kernel.syscalls import SetNoNewPrivs, apply_all
from caplet.runtimes import crun
from caplet.runtimes.model import LinuxCapabilities, Process, Refused, User, Version, oci_names

SETS = st.integers(0, Caps.all().mask).map(Caps)


@given(SETS, st.integers(0, 65535), st.booleans())
def test_the_sets_of_an_engine_arrive(caps: Caps, uid: int, no_new_privs: bool) -> None:
    process = Process(("x",), User(uid, 5, (5, 6)), LinuxCapabilities.granted(oci_names(caps)), no_new_privs)
    calls = crun.system_calls(process, Caps.all())
    assert not isinstance(calls, Refused)
    after = apply_all(Credentials(caps=ThreadCaps.root(Caps.all())), calls)
    assert after.caps == ThreadCaps(permitted=caps, effective=caps, bounding=caps)
    assert (after.uid, after.euid, after.suid, after.gid, after.groups) == (uid, uid, uid, 5, (5, 6))
    assert after.no_new_privs is no_new_privs


def test_no_new_privs_comes_last() -> None:
    process = Process(("x",), User(7), LinuxCapabilities.granted(("CAP_CHOWN",)), no_new_privileges=True)
    calls = crun.system_calls(process, Caps.all())
    assert not isinstance(calls, Refused)
    assert [place for place, call in enumerate(calls) if isinstance(call, SetNoNewPrivs)] == [len(calls) - 1]


@pytest.mark.parametrize(
    ("name", "cap"),
    [("CAP_CHOWN", Cap.CHOWN), ("cap_chown", Cap.CHOWN), ("Cap_Chown", Cap.CHOWN), ("21", Cap.SYS_ADMIN), ("CHOWN", None), ("CAP_", None), ("CAP_CAP_CHOWN", None), ("", None)],
)  # fmt: skip
def test_the_names_of_libcap(name: str, cap: Cap | None) -> None:
    assert crun.caps_of((name,)) == (Caps() if cap is None else Caps.of(cap))


@pytest.mark.parametrize(
    ("version", "message"),
    [("0.17", "unknown cap: `CAP_CAP_KILL`"), ("0.19", None), ("1.8.1", None), ("1.28", None), ("1.29", "unknown capability `CAP_CAP_KILL`")],
)  # fmt: skip
def test_unknown_names_by_release(version: str, message: str | None) -> None:
    process = Process(("x",), capabilities=LinuxCapabilities.granted(("CAP_CHOWN", "CAP_CAP_KILL")))
    found = crun.system_calls(process, Caps.all(), Version.parse(version))
    ignored = crun.ignored(process.capabilities, Version.parse(version))
    if message is None:
        assert not isinstance(found, Refused)
        assert ignored == ("CAP_CAP_KILL",)
        assert crun.warning(ignored) == "unknown cap: `CAP_CAP_KILL`"
    else:
        assert found == Refused("crun", message)


def test_its_words_where_execve_fails() -> None:
    assert crun.exec_error("/ep", errno.EPERM) == "exec container process `/ep`: Operation not permitted"


@pytest.mark.parametrize(
    ("version", "name", "text"),
    [
        ("1.20", "ngnix", "executable file `ngnix` not found in $PATH: No such file or directory"),
        ("1.20", "/nope", "executable file `/nope` not found in $PATH: No such file or directory"),
        ("1.21", "ngnix", "executable file `ngnix` not found in $PATH: No such file or directory"),
        ("1.21", "/nope", "executable file `/nope` not found: No such file or directory"),
        ("1.21", "bin/nope", "executable file `/srv/bin/nope` not found: No such file or directory"),
    ],
)
def test_its_words_where_there_is_no_program(version: str, name: str, text: str) -> None:
    assert crun.not_found(name, "/srv", Version.parse(version)) == text
