"""What the documentation says of execve(2), and each consequence that is easily got wrong. The oracle has the rest."""

from __future__ import annotations

import contextlib
import errno
from dataclasses import replace

import pytest
from hypothesis import given
from tests.kernel.strategies import credentials, programs

from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Denied, Securebits, ThreadCaps
from caplet.kernel.execve import STEPS, Bprm, Program, Unsafe, execve, steps
from caplet.kernel.filecaps import FileCaps
from caplet.kernel.namespaces import INITIAL, IdMap, UserNamespace
from caplet.kernel.versions import NEWEST, Kernel

NBS, RAW = Caps.of(Cap.NET_BIND_SERVICE), Caps.of(Cap.NET_RAW)
ALL = Caps.all()
OLD = Kernel(6, 12)

EP = Program(caps=FileCaps(NBS, effective=True))
P = Program(caps=FileCaps(NBS))
EI = Program(caps=FileCaps(inheritable=NBS, effective=True))
PLAIN = Program()


def outcome(old: Credentials, program: Program) -> Credentials | int:
    """The credentials, or the errno."""
    try:
        return execve(old, program)
    except Denied as denied:
        return denied.errno or 0


@given(credentials, programs)
def test_the_formula_of_the_manual(old: Credentials, program: Program) -> None:
    """capabilities(7), "Transformation of capabilities during execve()", for those who are not root, without no_new_privs."""
    old = replace(old, no_new_privs=False, securebits=old.securebits | Securebits.NOROOT)
    new = outcome(old, program)
    if isinstance(new, int):
        return
    file = FileCaps()
    if program.caps is not None and not program.nosuid:
        file = FileCaps.decode(program.caps) if isinstance(program.caps, bytes) else program.caps
        if file.rootid:
            file = FileCaps()
    privileged = program.caps is not None and not program.nosuid and not _foreign(program)
    changed = new.euid != old.euid or not old.in_group(new.egid)
    before, after = old.caps, new.caps
    assert after.ambient == (NO_CAPS if privileged or changed else before.ambient)
    assert (
        after.permitted
        == (before.inheritable & file.inheritable & ALL) | (file.permitted & before.bounding) | after.ambient
    )
    assert after.effective == (after.permitted if file.effective else after.ambient)
    assert after.inheritable == before.inheritable
    assert after.bounding == before.bounding


def _foreign(program: Program) -> bool:
    caps = FileCaps.decode(program.caps) if isinstance(program.caps, bytes) else program.caps
    return caps is not None and bool(caps.rootid)


@given(credentials, programs)
def test_what_always_holds(old: Credentials, program: Program) -> None:
    new = outcome(old, program)
    if isinstance(new, int):
        assert new in (errno.EPERM, errno.EACCES, errno.EINVAL, errno.ERANGE)
        return
    caps = new.caps
    assert caps.effective <= caps.permitted
    assert caps.ambient <= caps.permitted & caps.inheritable
    assert (new.uid, new.gid, new.groups, new.no_new_privs) == (
        old.uid,
        old.gid,
        old.groups,
        old.no_new_privs,
    )
    assert new.suid == new.fsuid == new.euid
    assert not new.has(Securebits.KEEP_CAPS)
    if old.no_new_privs:
        assert caps.permitted <= old.caps.permitted
        assert (new.euid, new.egid) in ((old.euid, old.egid), (old.uid, old.gid))


def user(caps: ThreadCaps, **changes: object) -> Credentials:
    return replace(Credentials.of_user(65535, 65535, caps=caps), **changes)  # type: ignore[arg-type]


CONTAINERD = ThreadCaps(NBS, NBS, NO_CAPS, NBS, NO_CAPS)
BOUNDING = ThreadCaps(bounding=NBS)
INHERITABLE = ThreadCaps(inheritable=NBS, bounding=NBS)
AMBIENT = ThreadCaps(NBS, NBS, NBS, NBS, NBS)
NOTHING = ThreadCaps()
NNP = {"no_new_privs": True}


@pytest.mark.parametrize(
    ("cred", "program", "permitted", "effective", "secure"),
    [
        (user(CONTAINERD), PLAIN, "", "", False),
        (user(CONTAINERD), EP, "p", "e", True),
        (user(CONTAINERD, **NNP), EP, "p", "e", True),
        (user(BOUNDING), EP, "p", "e", True),
        (user(BOUNDING, **NNP), EP, "", "", True),
        (user(INHERITABLE), EI, "p", "e", True),
        (user(INHERITABLE, **NNP), EI, "", "", True),
        (user(BOUNDING), EI, "", "", True),
        (user(CONTAINERD), P, "p", "", True),
        (user(NOTHING), P, "", "", False),
        (user(AMBIENT), PLAIN, "p", "e", False),
        (user(AMBIENT, **NNP), PLAIN, "p", "e", False),
        (user(AMBIENT), EP, "p", "e", True),
        (user(AMBIENT), Program(caps=FileCaps()), "", "", False),
        (user(NOTHING), replace(EP, nosuid=True), "", "", False),
        (user(AMBIENT), replace(EP, nosuid=True), "p", "e", False),
        (user(CONTAINERD), Program(caps=EP.caps, interpreter=PLAIN), "", "", False),
        (user(CONTAINERD), Program(interpreter=EP), "p", "e", True),
        (user(CONTAINERD), Program(caps=FileCaps(NBS, effective=True, rootid=100000)), "", "", False),
        (user(ThreadCaps(inheritable=NBS)), Program(caps=FileCaps(inheritable=NBS)), "p", "", True),
        (Credentials(caps=ThreadCaps.root(NBS)), PLAIN, "p", "e", False),
        (Credentials(caps=ThreadCaps(bounding=NBS), no_new_privs=True), PLAIN, "", "", False),
        (Credentials(caps=ThreadCaps.root(NBS), securebits=1), PLAIN, "", "", False),
        (user(BOUNDING), Program(mode=0o4755), "p", "e", True),
        (user(BOUNDING, **NNP), Program(mode=0o4755), "", "", False),
    ],
    ids=[
        "containerd, plain", "containerd, ep", "containerd, ep, NNP", "bounding only", "bounding only, NNP", "ei", "ei, NNP",
        "ei, not inheritable", "p", "p, not bounding", "ambient", "ambient, NNP", "ambient, ep", "ambient, empty attribute",
        "nosuid", "nosuid, ambient", "script with ep", "interpreter with ep", "foreign rootid", "not bounding but inheritable",
        "root", "root, NNP, nothing permitted", "root, NOROOT", "suid root", "suid root, NNP",
    ],
)  # fmt: skip
def test_consequences(
    cred: Credentials, program: Program, permitted: str, effective: str, secure: bool
) -> None:
    new = execve(cred, program)
    assert new.caps.permitted == (NBS if permitted else NO_CAPS)
    assert new.caps.effective == (NBS if effective else NO_CAPS)
    assert new.at_secure is secure


@pytest.mark.parametrize(
    ("cred", "program", "number"),
    [
        (user(NOTHING), EP, errno.EPERM),
        (Credentials(caps=ThreadCaps.root(RAW)), EP, errno.EPERM),
        (user(NOTHING), Program(caps=b""), errno.EINVAL),
        (user(NOTHING), Program(caps=b"\0\0\0\4" + bytes(16)), errno.EINVAL),
        (user(NOTHING), Program(caps=b"\0\0\0\2" + bytes(15)), errno.EINVAL),
        (user(NOTHING), Program(caps=b"\0\0\0\2" + bytes(21)), errno.ERANGE),
        (user(NOTHING), Program(mode=0o744), errno.EACCES),
        (Credentials(caps=ThreadCaps.root(ALL)), Program(mode=0o644), errno.EACCES),
        (Credentials(caps=ThreadCaps.root(ALL)), Program(noexec=True), errno.EACCES),
    ],
    ids=["user", "root", "empty", "revision 4", "short", "long", "mode", "nobody may", "noexec"],
)
def test_denials(cred: Credentials, program: Program, number: int) -> None:
    with pytest.raises(Denied) as denied:
        execve(cred, program)
    assert denied.value.errno == number


def test_set_user_id_with_file_capabilities_gives_only_the_file_s() -> None:
    new = execve(user(ThreadCaps(bounding=ALL)), replace(EP, mode=0o4755))
    assert (new.uid, new.euid, new.suid, new.fsuid) == (65535, 0, 0, 0)
    assert new.caps.permitted == NBS


def test_a_chain_keeps_the_capability_under_no_new_privs_only_while_each_link_has_it() -> None:
    start = user(CONTAINERD, **NNP)
    assert execve(execve(start, EP), EP).caps.effective == NBS
    assert execve(execve(start, PLAIN), EP).caps.effective == NO_CAPS
    assert execve(execve(user(CONTAINERD), PLAIN), EP).caps.effective == NBS


def test_set_group_id_to_a_supplementary_group_since_6_17() -> None:
    cred, program = replace(user(AMBIENT), groups=(5,)), Program(mode=0o2755, gid=5)
    assert execve(cred, program, NEWEST).caps.ambient == NBS
    assert execve(cred, program, NEWEST).at_secure
    assert execve(cred, program, OLD).caps.ambient == NO_CAPS


def test_an_effective_id_that_differs_from_the_real_one_since_6_17() -> None:
    """Before it an execve by such a process counted as set-user-ID, whatever the file."""
    cred = replace(user(AMBIENT), euid=1000, suid=1000, fsuid=1000)
    assert execve(cred, PLAIN, NEWEST).caps.ambient == NBS
    assert execve(cred, PLAIN, OLD).caps.ambient == NO_CAPS
    assert execve(cred, PLAIN, NEWEST).at_secure
    assert execve(cred, PLAIN, OLD).at_secure


def test_interpreters_of_interpreters() -> None:
    program = EP
    for _ in range(5):
        program = Program(interpreter=program)
    assert execve(user(BOUNDING), program).caps.effective == NBS
    with pytest.raises(Denied) as denied:
        execve(user(BOUNDING), Program(interpreter=program))
    assert denied.value.errno == errno.ELOOP


PODS = UserNamespace(INITIAL, 0, IdMap.of((0, 100000, 65536)), IdMap.of((0, 100000, 65536)))
POD_USER = replace(Credentials.of_user(101000, 101000, caps=ThreadCaps(bounding=ALL)), user_ns=PODS)
HOST_USER = Credentials.of_user(1000, 1000, caps=ThreadCaps(bounding=ALL))
V3 = Program(caps=FileCaps(NBS, effective=True, rootid=100000))


@pytest.mark.parametrize(
    ("cred", "program", "counts"),
    [
        (POD_USER, EP, True),
        (POD_USER, V3, True),
        (POD_USER, Program(caps=FileCaps(NBS, effective=True, rootid=65536)), False),
        (POD_USER, replace(EP, idmap=PODS), True),
        (POD_USER, replace(V3, idmap=PODS), False),
        (HOST_USER, replace(EP, idmap=PODS), False),
        (HOST_USER, replace(V3, idmap=PODS), False),
        (HOST_USER, replace(EP, user_ns=PODS), False),
        (POD_USER, replace(EP, user_ns=PODS), True),
    ],
    ids=[
        "v2 in a pod", "v3 of its root", "v3 of another", "v2, idmapped", "v3, idmapped", "v2, idmapped, host", "v3, idmapped, host",
        "mounted in the pod, host", "mounted in the pod",
    ],
)  # fmt: skip
def test_user_namespaces(cred: Credentials, program: Program, counts: bool) -> None:
    assert execve(cred, program).caps.effective == (NBS if counts else NO_CAPS)


def test_a_shared_working_directory_takes_what_set_user_id_gives() -> None:
    new = execve(user(BOUNDING), Program(mode=0o4755), unsafe=Unsafe.SHARE)
    assert (new.euid, new.caps.permitted) == (65535, NO_CAPS)


@given(credentials, programs)
def test_the_steps_end_where_execve_does(cred: Credentials, program: Program) -> None:
    done: list[tuple[object, Bprm]] = []
    with contextlib.suppress(Denied):
        done.extend(steps(cred, program))
    expected = outcome(cred, program)
    if isinstance(expected, int):
        assert len(done) < len(STEPS)
    else:
        assert [function for function, _ in done] == list(STEPS)
        assert done[-1][1].new == expected


def test_each_step_is_told() -> None:
    for number, step in enumerate(STEPS, start=1):
        assert (step.__doc__ or "").startswith(f"{number}. ")
