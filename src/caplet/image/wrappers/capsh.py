# SPDX-License-Identifier: Apache-2.0
"""capsh(1): does what its arguments say, one after the other, and then executes a shell (`--`) or itself (`==`).

libcap 2.66 progs/capsh.c main(), set_ambient_from(), do_launch(); libcap/cap_proc.c _cap_setuid(), _cap_setgroups():
--user and --cap-uid keep the permitted set through the change of user and clear the effective one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.wrappers.accounts import getgrnam, getgrouplist, getpwnam, number
from caplet.image.wrappers.calling import Caller
from caplet.image.wrappers.model import Fails, Nothing, Undecided, sure
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.captext import from_text
from caplet.kernel.syscalls import (
    AmbientClearAll,
    AmbientLower,
    AmbientRaise,
    CapbsetDrop,
    Setgid,
    Setgroups,
    SetKeepcaps,
    SetNoNewPrivs,
    SetSecurebits,
    Setuid,
)

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation, Next, Wrapper

DEFAULT_SHELL = "/bin/bash"
"""capsh.c, SHELL: the build sets it; Alpine's is /bin/sh (the option --shell says it)."""

_PASSES = ("--has-ambient", "--decode=", "--explain=", "--supports=", "--suggest=")
_PRINTS = frozenset({"--print", "--current", "--mode", "--modes", "--license", "--noenv", "--quiet"})


def capsh(run: Invocation) -> Next:
    caller = Caller(run.credentials("changes the sets that it holds"))
    shell, user = DEFAULT_SHELL, ""
    for place, word in enumerate(run.args):
        sure(word, "an argument of capsh")
        rest = run.args[place + 1 :]
        if word in ("--", "-+"):
            return run.executes(
                (shell, *rest), "capsh executes a shell", calls=caller.calls, forks=word == "-+", user=user
            )
        if word in ("==", "=+"):
            return run.executes(
                (run.argv[0], *rest),
                "capsh executes itself",
                calls=caller.calls,
                forks=word == "=+",
                user=user,
            )
        option, _, value = word.partition("=")
        if option == "--shell":
            shell = value
        else:
            user = value if option in ("--user", "--uid", "--cap-uid") else user
            _option(run, caller, word, option, value)
    return Nothing("capsh was given no -- or ==: it executes nothing")


def _option(run: Invocation, caller: Caller, word: str, option: str, value: str) -> None:
    match option:
        case "--drop":
            caller.call(*(CapbsetDrop(cap) for cap in _caps(value)))
        case "--caps":
            _set_caps(caller, value)
        case "--inh":
            caller.capset(inheritable=Caps.of(*_caps(value)))
        case "--addamb":
            caller.call(*(AmbientRaise(cap) for cap in _caps(value)))
        case "--delamb":
            caller.call(*(AmbientLower(cap) for cap in _caps(value)))
        case "--noamb":
            if caller.cred.caps.ambient:
                caller.call(AmbientClearAll())
        case "--keep":
            caller.call(SetKeepcaps(_number(value) != 0))
        case "--secbits":
            caller.call(SetSecurebits(_number(value)))
        case "--no-new-privs":
            caller.call(SetNoNewPrivs())
        case "--uid":
            caller.call(Setuid(_number(value)))
        case "--gid":
            caller.call(Setgid(_number(value)))
        case "--groups":
            caller.call(Setgroups(tuple(sorted(_group(run, one) for one in value.split(",")))))
        case "--cap-uid":
            _cap_setuid(caller, _number(value))
        case "--user":
            _become(run, caller, value)
        case "--chroot" | "--mode" | "--iab" | "--strict" | "--forkfor" | "--killit" if (
            value or option != "--mode"
        ):
            raise Undecided(f"capsh {word} is not followed", "say with --then which program it starts")
        case "--is-uid" | "--is-gid" | "--has-p" | "--has-i" | "--has-a" | "--has-b" | "--has-no-new-privs":
            if not _holds(caller, option, value):
                raise Fails(f"capsh {word}: that is not so")
        case _ if option not in _PRINTS and not word.startswith(_PASSES):
            raise Undecided(
                f"capsh {word}: an option that is not known here", "say with --then which program it starts"
            )


def _holds(caller: Caller, option: str, value: str) -> bool:
    cred = caller.cred
    match option:
        case "--is-uid":
            return cred.uid == _number(value)
        case "--is-gid":
            return cred.gid == _number(value)
        case "--has-no-new-privs":
            return cred.no_new_privs
    held = {
        "--has-p": cred.caps.permitted,
        "--has-i": cred.caps.inheritable,
        "--has-a": cred.caps.ambient,
        "--has-b": cred.caps.bounding,
    }[option]
    return Caps.of(*_caps(value)) <= held


def _set_caps(caller: Caller, text: str) -> None:
    """CAP_SETPCAP is made effective first where it is permitted, so that inheritable ones may be added."""
    sets = caller.cred.caps
    if Cap.SETPCAP in sets.permitted - sets.effective:
        caller.raise_effective([Cap.SETPCAP])
    try:
        wanted = from_text(text)
    except InvalidInput as error:
        raise Fails(f"capsh --caps={text}: {error.message}") from None
    caller.capset(wanted.permitted, wanted.effective, wanted.inheritable)


def _become(run: Invocation, caller: Caller, name: str) -> None:
    account = getpwnam(run.files, name)
    if account is None:
        raise Fails(f"capsh: the image has no user {name}")
    caller.raise_effective([Cap.SETGID])
    others = getgrouplist(run.files, account.name, account.gid)
    caller.call(Setgid(account.gid), Setgroups(tuple(sorted(others))))
    caller.capset(effective=NO_CAPS)
    _cap_setuid(caller, account.uid)


def _cap_setuid(caller: Caller, uid: int) -> None:
    caller.call(SetKeepcaps(True))
    caller.raise_effective([Cap.SETUID])
    caller.call(Setuid(uid), SetKeepcaps(False))
    caller.capset(effective=NO_CAPS)


def _caps(text: str) -> list[Cap]:
    """A list of names, `all`, or nothing."""
    if text == "all":
        return list(Cap)
    found = []
    for name in text.split(",") if text else []:
        upper = name.upper().removeprefix("CAP_")
        if upper not in Cap.__members__:
            raise Fails(f"capsh: unknown capability {name}")
        found.append(Cap[upper])
    return found


def _group(run: Invocation, name: str) -> int:
    group = getgrnam(run.files, name)
    found = group.gid if group is not None else number(name)
    if found is None:
        raise Fails(f"capsh: the image has no group {name}")
    return found


def _number(text: str) -> int:
    """strtoul(3) with base 0."""
    try:
        return int(text, 0)
    except ValueError:
        raise Fails(f"capsh: {text!r} is no number") from None


WRAPPERS: dict[str, Wrapper] = {"capsh": capsh}
