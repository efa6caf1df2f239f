"""Each rule and each denial once, by name; `test_oracle.py` has them in thousands of combinations, judged by the kernel."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from caplet.kernel import syscalls as k
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Denied, Securebits, ThreadCaps
from caplet.kernel.namespaces import INITIAL, UNMAPPED, IdMap, UserNamespace
from caplet.kernel.versions import Kernel

ALL = Caps.all()
NBS = Caps.of(Cap.NET_BIND_SERVICE)
ROOT = Credentials(caps=ThreadCaps.root(ALL))
USER = Credentials.of_user(1000, 1000, caps=ThreadCaps(bounding=ALL))
PODS = UserNamespace(INITIAL, 0, IdMap.of((0, 100000, 65536)), IdMap.of((0, 100000, 65536)))
POD_ROOT = replace(Credentials.of_user(100000, 100000, caps=ThreadCaps.root(ALL)), user_ns=PODS)


def with_sets(cred: Credentials, **sets: Caps) -> Credentials:
    return replace(cred, caps=replace(cred.caps, **sets))


def test_giving_up_the_last_uid_0_gives_up_capabilities() -> None:
    ambient = with_sets(ROOT, inheritable=NBS, ambient=NBS)
    new = k.apply(ambient, k.Setresuid(1000, 1000, 1000)).caps
    assert (new.permitted, new.effective, new.ambient) == (NO_CAPS, NO_CAPS, NO_CAPS)
    assert (new.inheritable, new.bounding) == (NBS, ALL)


def test_keepcaps_keeps_permitted_and_neither_effective_nor_ambient() -> None:
    ambient = with_sets(ROOT, inheritable=NBS, ambient=NBS)
    new = k.apply_all(ambient, [k.SetKeepcaps(True), k.Setresuid(1000, 1000, 1000)]).caps
    assert (new.permitted, new.effective, new.ambient) == (ALL, NO_CAPS, NO_CAPS)


def test_a_saved_uid_0_keeps_permitted_and_gives_effective_back() -> None:
    away = k.apply(ROOT, k.Setresuid(k.KEEP, 1000, k.KEEP))
    assert (away.caps.permitted, away.caps.effective) == (ALL, NO_CAPS)
    assert k.apply(away, k.Setresuid(k.KEEP, 0, k.KEEP)).caps.effective == ALL


def test_no_setuid_fixup() -> None:
    new = k.apply_all(ROOT, [k.SetSecurebits(Securebits.NO_SETUID_FIXUP), k.Setuid(1000)])
    assert (new.uid, new.caps.effective) == (1000, ALL)


def test_setfsuid_takes_and_gives_the_file_capabilities() -> None:
    away = k.apply(ROOT, k.Setfsuid(1000))
    assert away.caps.effective == ALL - k.FS_CAPS
    assert k.apply(away, k.Setfsuid(0)).caps.effective == ALL
    assert k.apply(USER, k.Setfsuid(5)) == USER, "denied, and it says nothing"


def test_losing_permitted_or_inheritable_loses_ambient() -> None:
    ambient = with_sets(ROOT, inheritable=NBS, ambient=NBS)
    assert k.apply(ambient, k.Capset(ALL, ALL, NO_CAPS)).caps.ambient == NO_CAPS
    assert k.apply(ambient, k.Capset(ALL - NBS, NO_CAPS, NBS)).caps.ambient == NO_CAPS


def test_a_new_user_namespace_gives_everything_over_itself_and_nothing_outside() -> None:
    bound = replace(with_sets(USER, inheritable=NBS, bounding=NBS), securebits=0xFF, no_new_privs=True)
    new = k.apply(bound, k.UnshareUser(IdMap.of((0, 1000, 1)), IdMap.of((0, 1000, 1))))
    assert new.caps == ThreadCaps.root(ALL)
    assert (new.securebits, new.no_new_privs, new.uid, new.seen().uid) == (0, True, 1000, 0)
    assert new.capable(Cap.SYS_ADMIN)
    assert not new.capable(Cap.SYS_ADMIN, INITIAL)


def test_its_owner_has_every_capability_in_it_from_outside() -> None:
    owned = UserNamespace(INITIAL, 1000, IdMap.of((0, 1000, 1)), IdMap.of((0, 1000, 1)))
    assert USER.capable(Cap.SYS_ADMIN, owned)
    assert not replace(USER, euid=1001).capable(Cap.SYS_ADMIN, owned)
    assert k.apply(USER, k.SetnsUser(owned)).caps.effective == ALL


def test_the_effective_user_owns_what_it_makes() -> None:
    cred = replace(ROOT, euid=1000)
    assert k.apply(cred, k.UnshareUser()).user_ns.owner == 1000


def test_unmapped_ids_read_as_65534() -> None:
    assert k.apply(USER, k.UnshareUser()).seen().uid == 65534


@pytest.mark.parametrize(
    ("cred", "call", "number"),
    [
        (USER, k.Setuid(0), errno.EPERM),
        (USER, k.Setgid(0), errno.EPERM),
        (USER, k.Setreuid(0, k.KEEP), errno.EPERM),
        (USER, k.Setregid(k.KEEP, 0), errno.EPERM),
        (USER, k.Setresuid(k.KEEP, k.KEEP, 0), errno.EPERM),
        (USER, k.Setresgid(5, 5, 5), errno.EPERM),
        (USER, k.Setgroups(()), errno.EPERM),
        (ROOT, k.Setuid(-1), errno.EINVAL),
        (ROOT, k.Setgroups((-1,)), errno.EINVAL),
        (ROOT, k.Setgroups((0,) * 65537), errno.EINVAL),
        (POD_ROOT, k.Setresuid(65536, 65536, 65536), errno.EINVAL),
        (POD_ROOT, k.Setgroups((65536,)), errno.EINVAL),
        (replace(POD_ROOT, user_ns=replace(PODS, setgroups=False)), k.Setgroups(()), errno.EPERM),
        (replace(POD_ROOT, user_ns=replace(PODS, gid_map=UNMAPPED)), k.Setgroups(()), errno.EPERM),
        (USER, k.Capset(NBS, NO_CAPS, NO_CAPS), errno.EPERM),
        (ROOT, k.Capset(NO_CAPS, NBS, NO_CAPS), errno.EPERM),
        (USER, k.Capset(NO_CAPS, NO_CAPS, NBS), errno.EPERM),
        (with_sets(ROOT, bounding=NO_CAPS), k.Capset(ALL, ALL, NBS), errno.EPERM),
        (USER, k.CapbsetDrop(Cap.CHOWN), errno.EPERM),
        (USER, k.CapbsetDrop(64), errno.EPERM),
        (ROOT, k.CapbsetDrop(41), errno.EINVAL),
        (USER, k.SetSecurebits(0), errno.EPERM),
        (ROOT, k.SetSecurebits(1 << 12), errno.EPERM),
        (replace(ROOT, securebits=3), k.SetSecurebits(2), errno.EPERM),
        (replace(ROOT, securebits=3), k.SetSecurebits(1), errno.EPERM),
        (replace(ROOT, securebits=32), k.SetKeepcaps(True), errno.EPERM),
        (ROOT, k.AmbientRaise(Cap.CHOWN), errno.EPERM),
        (with_sets(USER, inheritable=NBS), k.AmbientRaise(Cap.NET_BIND_SERVICE), errno.EPERM),
        (
            replace(with_sets(ROOT, inheritable=NBS), securebits=64),
            k.AmbientRaise(Cap.NET_BIND_SERVICE),
            errno.EPERM,
        ),
        (ROOT, k.AmbientRaise(41), errno.EINVAL),
        (ROOT, k.AmbientLower(41), errno.EINVAL),
        (ROOT, k.SetnsUser(INITIAL), errno.EINVAL),
        (USER, k.SetnsUser(PODS), errno.EPERM),
        (replace(USER, user_ns=PODS), k.UnshareUser(), errno.EPERM),
        (POD_ROOT, k.UnshareUser(IdMap.of((0, 65536, 1))), errno.EPERM),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else errno.errorcode[value],
)
def test_denials(cred: Credentials, call: k.Syscall, number: int) -> None:
    with pytest.raises(Denied) as denied:
        k.apply(cred, call)
    assert denied.value.errno == number
    assert denied.value.strerror


def test_exec_securebits_need_nothing_since_6_14() -> None:
    bits = int(Securebits.EXEC_RESTRICT_FILE)
    assert k.apply(USER, k.SetSecurebits(bits), Kernel(6, 14)).securebits == bits
    with pytest.raises(Denied):
        k.apply(ROOT, k.SetSecurebits(bits), Kernel(6, 12))


def test_older_kernels_know_fewer_capabilities() -> None:
    assert [Kernel.parse(release).last_cap for release in ("4.18.0-553.el8", "5.8", "6.1.0-37-amd64")] == [
        37,
        39,
        40,
    ]
    new = k.apply(ROOT, k.UnshareUser(), Kernel(4, 18))
    assert new.caps.permitted == Caps.all(37)
