# SPDX-License-Identifier: Apache-2.0
"""runc's system calls: applied to a root process they leave the sets that config.json asks for."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caplet.kernel.caps import Cap, Caps
from caplet.kernel.credentials import Credentials, Denied, ThreadCaps
from caplet.kernel.syscalls import CapbsetDrop, SetKeepcaps, SetNoNewPrivs, Setresuid, apply_all
from caplet.runtimes import runc
from caplet.runtimes.model import LinuxCapabilities, Process, Refused, User, Version, oci_names

SETS = st.integers(0, Caps.all().mask).map(Caps)


@given(SETS, st.integers(0, 65535), st.booleans())
def test_the_sets_of_an_engine_arrive(caps: Caps, uid: int, no_new_privs: bool) -> None:
    process = Process(("x",), User(uid, 5, (5, 6)), LinuxCapabilities.granted(oci_names(caps)), no_new_privs)
    root = Credentials(caps=ThreadCaps.root(Caps.all()))
    after = apply_all(root, runc.system_calls(process, Caps.all()))
    assert after.caps == ThreadCaps(permitted=caps, effective=caps, bounding=caps)
    assert (after.uid, after.euid, after.suid, after.gid, after.groups) == (uid, uid, uid, 5, (5, 6))
    assert after.no_new_privs is no_new_privs
    assert after.securebits == 0


@given(SETS)
def test_podmans_ambient_sets_arrive(caps: Caps) -> None:
    names = oci_names(caps)
    process = Process(("x",), User(7), LinuxCapabilities(names, names, names, names, names))
    after = apply_all(Credentials(caps=ThreadCaps.root(Caps.all())), runc.system_calls(process, Caps.all()))
    assert after.caps == ThreadCaps(caps, caps, caps, caps, caps)


def test_the_order_is_runcs() -> None:
    names = ("CAP_NET_BIND_SERVICE",)
    process = Process(("x",), User(7), LinuxCapabilities.granted(names), no_new_privileges=True)
    calls = runc.system_calls(process, Caps.all())
    kinds = [type(call) for call in calls]
    assert kinds[0] is SetNoNewPrivs
    assert kinds[1:41] == [CapbsetDrop] * 40
    assert calls[41] == SetKeepcaps(True)
    assert kinds.index(Setresuid) < len(kinds) - 1 - kinds[::-1].index(SetKeepcaps)


def test_only_exact_names_are_known() -> None:
    assert runc.caps_of(("CAP_CHOWN", "cap_kill", "KILL", "CAP_CAP_KILL", "CAP_")) == Caps.of(Cap.CHOWN)
    assert runc.ignored(LinuxCapabilities.granted(("CAP_X", "CAP_CHOWN", "CAP_A"))) == ("CAP_A", "CAP_X")


def test_unknown_names_ended_it_until_rc93() -> None:
    process = Process(("x",), capabilities=LinuxCapabilities.granted(("CAP_CHOWN", "CAP_CAP_KILL")))
    old, new = Version.parse("1.0.0-rc93"), Version.parse("1.0.0-rc94")
    assert runc.start(process, Caps.all(), old) == Refused("runc", 'unknown capability "CAP_CAP_KILL"')
    assert runc.ignored(process.capabilities, old) == ()
    assert not isinstance(runc.start(process, Caps.all(), new), Refused)
    names = runc.ignored(process.capabilities, new)
    assert runc.warning(names) == "ignoring unknown or unavailable capabilities: [CAP_CAP_KILL]"


def test_capabilities_that_the_kernel_has_not_are_left_out() -> None:
    process = Process(("x",), User(7), LinuxCapabilities.granted(("CAP_CHOWN", "CAP_BPF")))
    old_kernel = Caps.all(Cap.AUDIT_READ)
    after = apply_all(Credentials(caps=ThreadCaps.root(old_kernel)), runc.system_calls(process, old_kernel))
    assert after.caps.permitted == Caps.of(Cap.CHOWN)


def test_capabilities_that_runc_lacks_itself_end_it() -> None:
    """As seen of runc 1.1.5 without CAP_SYS_RESOURCE: `unable to apply caps: operation not permitted`."""
    process = Process(("x",), User(7), LinuxCapabilities.granted(("CAP_SYS_RESOURCE",)))
    own = Caps.all() - Caps.of(Cap.SYS_RESOURCE)
    with pytest.raises(Denied, match="permitted"):
        apply_all(Credentials(caps=ThreadCaps.root(own)), runc.system_calls(process, own))


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("1.0.0-rc8", 'standard_init_linux.go:228: exec user process caused "operation not permitted"'),
        ("1.0.3", "standard_init_linux.go:228: exec user process caused: operation not permitted"),
        ("1.1.5", "exec /ep: operation not permitted"),
        ("1.5.1", "exec /ep: operation not permitted"),
    ],
)
def test_its_words_where_execve_fails(version: str, text: str) -> None:
    assert runc.exec_error("/ep", errno.EPERM, Version.parse(version)) == text


def test_its_words_where_there_is_no_program() -> None:
    """Those of the real one: tests/run/test_container.py."""
    assert runc.not_found("ngnix", "/") == 'exec: "ngnix": executable file not found in $PATH'
    assert runc.not_found("/nope", "/") == 'exec: "/nope": stat /nope: no such file or directory'
