# SPDX-License-Identifier: Apache-2.0
"""setpriv(1): ids, groups, capability sets, securebits and no_new_privs, then its operands.

util-linux 2.38 sys-utils/setpriv.c main(), do_caps(), do_setresuid(): keep-caps is set and SETPCAP, SETUID and SETGID are
made effective before anything is changed, so that sets survive the change of user; execve then decides what is left of
them. busybox has an applet of the name with three of the options (util-linux/setpriv.c).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.image.wrappers.accounts import getgrnam, getgrouplist, getpwnam, getpwuid, number
from caplet.image.wrappers.calling import Caller
from caplet.image.wrappers.model import Fails, Nothing, Undecided, sure
from caplet.image.wrappers.options import Options, Parsed, parse
from caplet.kernel.caps import Cap, Caps
from caplet.kernel.credentials import Securebits
from caplet.kernel.syscalls import (
    KEEP,
    AmbientLower,
    AmbientRaise,
    CapbsetDrop,
    Setgroups,
    SetKeepcaps,
    SetNoNewPrivs,
    Setresgid,
    Setresuid,
    SetSecurebits,
)

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation, Next, Wrapper

_OPTIONS = Options(
    "dhV",
    (
        "dump", "nnp", "no-new-privs", "inh-caps=", "ambient-caps=", "list-caps", "ruid=", "euid=", "rgid=", "egid=",
        "reuid=", "regid=", "clear-groups", "keep-groups", "init-groups", "groups=", "bounding-set=", "securebits=",
        "pdeathsig=", "selinux-label=", "apparmor-profile=", "landlock-access=", "landlock-rule=", "seccomp-filter=",
        "reset-env", "help", "version", "ptracer=",
    ),
)  # fmt: skip

_SECUREBITS = {
    "noroot": Securebits.NOROOT,
    "noroot_locked": Securebits.NOROOT_LOCKED,
    "no_setuid_fixup": Securebits.NO_SETUID_FIXUP,
    "no_setuid_fixup_locked": Securebits.NO_SETUID_FIXUP_LOCKED,
    "keep_caps_locked": Securebits.KEEP_CAPS_LOCKED,
}


def setpriv(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, _OPTIONS)
    if parsed.has("-h", "--help", "-V", "--version", "-d", "--dump", "--list-caps"):
        return Nothing("setpriv prints")
    if not parsed.operands:
        raise Fails("setpriv was given no program")
    for option in ("--selinux-label", "--apparmor-profile", "--seccomp-filter"):
        if parsed.has(option):
            raise Undecided(f"setpriv {option} is not followed", "say with --then which program it starts")
    ids = _Ids(run, parsed)
    caller = Caller(run.credentials("changes the sets that it holds"))
    _calls(caller, run, parsed, ids)
    return run.executes(
        parsed.operands,
        "setpriv changes what it is told",
        calls=caller.calls,
        env=_environment(run, ids) if parsed.has("--reset-env") else None,
        user=parsed.last("--reuid", "--euid") or "",
    )


class _Ids:
    """The ids that are asked for; KEEP for those that are not."""

    def __init__(self, run: Invocation, parsed: Parsed) -> None:
        self.run = run
        self.ruid = self._user(parsed.last("--reuid", "--ruid"))
        self.euid = self._user(parsed.last("--reuid", "--euid"))
        self.rgid = self._group(parsed.last("--regid", "--rgid"))
        self.egid = self._group(parsed.last("--regid", "--egid"))
        choices = [
            one for one in ("--clear-groups", "--keep-groups", "--init-groups", "--groups") if parsed.has(one)
        ]
        if len(choices) > 1:
            raise Fails(f"setpriv: {' and '.join(choices)} exclude each other")
        if (self.rgid, self.egid) != (KEEP, KEEP) and not choices:
            raise Fails(
                "setpriv: --regid needs one of --keep-groups, --clear-groups, --init-groups, --groups"
            )
        self.groups = self._groups(parsed)

    def _user(self, text: str | None) -> int:
        if text is None:
            return KEEP
        account = getpwnam(self.run.files, sure(text, "setpriv's user"))
        found = account.uid if account is not None else number(text)
        if found is None:
            raise Fails(f"setpriv: the image has no user {text}")
        return found

    def _group(self, text: str | None) -> int:
        if text is None:
            return KEEP
        group = getgrnam(self.run.files, sure(text, "setpriv's group"))
        found = group.gid if group is not None else number(text)
        if found is None:
            raise Fails(f"setpriv: the image has no group {text}")
        return found

    def _groups(self, parsed: Parsed) -> tuple[int, ...] | None:
        """None: they stay."""
        if parsed.has("--clear-groups"):
            return ()
        listed = parsed.last("--groups")
        if listed is not None:
            return tuple(sorted(self._group(one) for one in listed.split(",")))
        if not parsed.has("--init-groups"):
            return None
        if self.ruid == KEEP:
            raise Fails("setpriv: --init-groups requires --ruid or --reuid")
        account = getpwuid(self.run.files, self.ruid)
        if account is None:
            raise Fails(f"setpriv: user {self.ruid} has no name for --init-groups")
        gid = account.gid if self.rgid == KEEP else self.rgid
        return tuple(sorted(getgrouplist(self.run.files, account.name, gid)))


def _calls(caller: Caller, run: Invocation, parsed: Parsed, ids: _Ids) -> None:
    """In the order of main()."""
    bits = _securebits(caller, parsed.last("--securebits"))
    if parsed.has("--nnp", "--no-new-privs"):
        caller.call(SetNoNewPrivs())
    if run.name == "busybox setpriv":
        _busybox(caller, parsed)
        return
    caller.call(SetKeepcaps(True))
    permitted = caller.cred.caps.permitted
    sets = _Sets(caller)
    sets.effective |= permitted & Caps.of(Cap.SETPCAP, Cap.SETUID, Cap.SETGID)
    sets.apply()
    if (ids.ruid, ids.euid) != (KEEP, KEEP):
        now = caller.cred
        euid = now.euid if ids.euid == KEEP else ids.euid
        caller.call(Setresuid(now.uid if ids.ruid == KEEP else ids.ruid, euid, euid))
        sets.apply()
    if (ids.rgid, ids.egid) != (KEEP, KEEP):
        now = caller.cred
        egid = now.egid if ids.egid == KEEP else ids.egid
        caller.call(Setresgid(now.gid if ids.rgid == KEEP else ids.rgid, egid, egid))
    if ids.groups is not None:
        caller.call(Setgroups(ids.groups))
    if bits is not None:
        caller.call(SetSecurebits(bits))
    bounding = parsed.last("--bounding-set")
    if (
        bounding is not None and Cap.SETPCAP in caller.cred.caps.effective
    ):  # capng_apply() leaves it out else, and says nothing
        wanted = changed(bounding, caller.cred.caps.bounding, "--bounding-set")
        caller.call(*(CapbsetDrop(cap) for cap in Caps.all() - wanted))
    inheritable = parsed.last("--inh-caps")
    if inheritable is not None:
        sets.inheritable = changed(inheritable, caller.cred.caps.inheritable, "--inh-caps")
        sets.apply()
    ambient = parsed.last("--ambient-caps")
    if ambient is not None:
        _ambient(caller, ambient)


class _Sets:
    """libcap-ng's copy of the sets, read once at the start and written back by each capng_apply()."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.permitted = caller.cred.caps.permitted
        self.effective = caller.cred.caps.effective
        self.inheritable = caller.cred.caps.inheritable

    def apply(self) -> None:
        self.caller.capset(self.permitted, self.effective, self.inheritable)


def _ambient(caller: Caller, text: str) -> None:
    """cap_effect_on_each of do_caps(): one prctl for each, as it is written."""
    for sign, caps in _actions(text, "--ambient-caps"):
        for cap in caps:
            caller.call(AmbientRaise(cap) if sign == "+" else AmbientLower(cap))


def _busybox(caller: Caller, parsed: Parsed) -> None:
    inheritable = parsed.last("--inh-caps")
    if inheritable is not None:
        caller.capset(inheritable=changed(inheritable, caller.cred.caps.inheritable, "--inh-caps"))
    ambient = parsed.last("--ambient-caps")
    if ambient is not None:
        _ambient(caller, ambient)


def changed(text: str, base: Caps, option: str) -> Caps:
    """do_caps(): `+NAME`, `-NAME`, `+all`, `-all`, one after the other."""
    for sign, caps in _actions(text, option):
        base = base | caps if sign == "+" else base - caps
    return base


def _actions(text: str, option: str) -> list[tuple[str, Caps]]:
    actions: list[tuple[str, Caps]] = []
    for word in sure(text, f"setpriv {option}").split(","):
        sign, name = word[:1], word[1:]
        if sign not in ("+", "-"):
            raise Fails(f"setpriv {option}: {word!r} begins with neither + nor -")
        actions.append((sign, _named(name, option)))
    return actions


def _named(name: str, option: str) -> Caps:
    """Names without CAP_, in lower case or upper (capng_name_to_capability), `all`, `cap_N`."""
    if name == "all":
        return Caps.all()
    if name.upper() in Cap.__members__:
        return Caps.of(Cap[name.upper()])
    digits = name.removeprefix("cap_")
    if digits != name and digits.isdecimal() and int(digits) < 64:
        return Caps.of(int(digits))
    raise Fails(f"setpriv {option}: unknown capability {name!r}")


def _securebits(caller: Caller, text: str | None) -> int | None:
    """parse_securebits(): what there is, changed; keep-caps stays on, as execve resets it."""
    if text is None:
        return None
    bits = caller.cred.securebits
    for word in sure(text, "setpriv --securebits").split(","):
        sign, name = word[:1], word[1:]
        if word == "-all":
            bits = 0
            continue
        bit = _SECUREBITS.get(name)
        if sign not in ("+", "-") or bit is None:
            raise Fails(f"setpriv --securebits: {word!r} is not understood")
        bits = bits | bit if sign == "+" else bits & ~bit
    return int(bits | Securebits.KEEP_CAPS)


def _environment(run: Invocation, ids: _Ids) -> dict[str, str]:
    uid = ids.ruid if ids.ruid != KEEP else run.credentials("resets the environment of its user").uid
    account = getpwuid(run.files, uid)
    kept = {"TERM": run.env["TERM"]} if "TERM" in run.env else {}
    if account is None:
        return kept
    path = (
        "/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin"
        if uid == 0
        else "/usr/local/bin:/bin:/usr/bin"
    )
    return kept | {
        "PATH": path,
        "HOME": account.home,
        "SHELL": account.shell or "/bin/sh",
        "USER": account.name,
        "LOGNAME": account.name,
    }


WRAPPERS: dict[str, Wrapper] = {"setpriv": setpriv, "busybox setpriv": setpriv}
