# SPDX-License-Identifier: Apache-2.0
"""Programs that become another user and then execute their arguments: what entrypoints that start as root do.

gosu 1.17 setup-user.go SetupUser, with moby/sys/user GetExecUser; su-exec 0.2 su-exec.c main; runit 2.1.2 chpst.c, uidgid.c;
s6 2.11 s6-setuidgid.c, s6-envuidgid.c, s6-applyuidgid.c; util-linux 2.38 login-utils/su-common.c; busybox 1.35
runit/chpst.c, loginutils/su.c; dpkg 1.21 utils/start-stop-daemon.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.image.wrappers.accounts import Account, getgrnam, getgrouplist, getpwnam, getpwuid, groups, number
from caplet.image.wrappers.model import Fails, Nothing, Undecided, Unknown, sure
from caplet.image.wrappers.options import Options, parse
from caplet.kernel.syscalls import Setgid, Setgroups, Setuid

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation, Next, Wrapper
    from caplet.kernel.syscalls import Syscall


def become(uid: int, gid: int, others: tuple[int, ...]) -> tuple[Syscall, ...]:
    """The order that all of them keep: groups while one still may, the user last."""
    return (Setgroups(tuple(sorted(others))), Setgid(gid), Setuid(uid))


def gosu(run: Invocation) -> Next:
    if run.args and run.args[0] in ("--help", "-h", "-?", "--version", "-v"):
        return Nothing("gosu prints its help or version")
    if len(run.args) < 2:
        raise Fails("gosu was given no user and program")
    spec = sure(run.args[0], "gosu's user")
    uid, gid, others, home = _exec_user(run, spec)
    return run.executes(
        run.args[1:],
        f"gosu becomes {spec}",
        calls=become(uid, gid, others),
        env=run.env | {"HOME": home},  # type: ignore[operator]
        user=spec,
    )


def _exec_user(run: Invocation, spec: str) -> tuple[int, int, tuple[int, ...], str]:
    """GetExecUser(): (uid, gid, supplementary groups, home)."""
    who, _, group = spec.partition(":")
    uid_number, gid_number = number(who), number(group)
    account = getpwnam(run.files, who) if who else None
    wanted = run.credentials("without a user stays the user it is").uid if not who else uid_number
    if account is None and wanted is not None:
        account = getpwuid(run.files, wanted)
    if account is None and wanted is None:
        raise Fails(f"{run.name}: the image has no user {who}")
    uid = account.uid if account is not None else wanted
    assert uid is not None
    others: tuple[int, ...] = ()
    if account is not None:
        gid, home = account.gid, account.home
        if not group:
            others = tuple(one.gid for one in groups(run.files) if account.name in one.members)
    else:
        gid, home = (run.cred.gid if run.cred else 0), "/"
    if group:
        found = next((one for one in groups(run.files) if group == one.name or one.gid == gid_number), None)
        if found is None and gid_number is None:
            raise Fails(f"{run.name}: the image has no group {group}")
        gid = found.gid if found is not None else gid_number or 0
    return uid, gid, others, home


def su_exec(run: Invocation) -> Next:
    if len(run.args) < 2:
        raise Fails("su-exec was given no user and program")
    spec = sure(run.args[0], "su-exec's user")
    who, colon, group = spec.partition(":")
    account, uid, gid = None, number(who), None
    if not who:
        uid = run.credentials("without a user stays the user it is").uid
    elif uid is None:
        account = _needed(run, who)
    if account is None and uid is not None:
        account = getpwuid(run.files, uid)
    if account is not None:
        uid, gid = account.uid, account.gid
    if gid is None:
        gid = run.credentials("keeps the group of a user without a name").gid
    assert uid is not None
    others = getgrouplist(run.files, account.name, gid) if account is not None else (gid,)
    if colon and group:
        gid = _group(run, group)
        others = (gid,)
    home = account.home if account is not None else "/"
    return run.executes(
        run.args[1:],
        f"su-exec becomes {spec}",
        calls=become(uid, gid, others),
        env={**run.env, "HOME": home},
        user=spec,
    )


_CHPST = Options("u:U:b:e:m:d:o:p:f:c:r:t:/:n:l:L:vP012V")


def chpst(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, _CHPST)
    if not parsed.operands:
        raise Fails("chpst was given no program")
    if (new_root := parsed.last("-/")) is not None and new_root != "/":
        raise Undecided(f"chpst -/ {new_root}: executes a program below another root")
    spec = parsed.last("-u")
    if spec is None:
        return run.executes(parsed.operands, "chpst changes limits and environment, not the user")
    spec = sure(spec, "chpst's user")
    uid, ids = _uidgid(run, spec)
    return run.executes(parsed.operands, f"chpst becomes {spec}", calls=become(uid, ids[0], ids), user=spec)


def _uidgid(run: Invocation, spec: str) -> tuple[int, tuple[int, ...]]:
    """uidgids_get(): user[:group]..., by number where a colon leads. The groups are those that are named, no more."""
    if spec.startswith(":"):
        ids = [number(part) for part in spec[1:].split(":")]
        if None in ids or not ids:
            raise Fails(f"{run.name}: {spec} is not :uid:gid")
        known = [one for one in ids if one is not None]
        return known[0], tuple(known[1:]) or (known[0],)
    who, _, named = spec.partition(":")
    account = _needed(run, who)
    if not named:
        return account.uid, (account.gid,)
    return account.uid, tuple(_named_group(run, group) for group in named.split(":"))


def setuidgid(run: Invocation) -> Next:
    """What chpst does under this name, and daemontools' program of the name: the primary group only."""
    if len(run.args) < 2:
        raise Fails(f"{run.name} was given no user and program")
    spec = sure(run.args[0], "setuidgid's user")
    uid, ids = _uidgid(run, spec)
    return run.executes(run.args[1:], f"{run.name} becomes {spec}", calls=become(uid, ids[0], ids), user=spec)


def s6_setuidgid(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, Options(""))
    if len(parsed.operands) < 2:
        raise Fails("s6-setuidgid was given no user and program")
    spec = sure(parsed.operands[0], "s6-setuidgid's user")
    who, colon, group = spec.partition(":")
    if colon:  # s6-applyuidgid -u USER -g GROUP -G "", which takes numbers only
        uid, gid = _number(run, who), _number(run, group)
        others: tuple[int, ...] = (gid,)
    else:
        account = _needed(run, who)
        uid, gid = account.uid, account.gid
        others = getgrouplist(run.files, account.name, gid)
    return run.executes(
        parsed.operands[1:], f"s6-setuidgid becomes {spec}", calls=become(uid, gid, others), user=spec
    )


_S6_APPLYUIDGID = Options("u:g:G:Uz")


def s6_applyuidgid(run: Invocation) -> Next:
    """Numbers from options, or with -U from UID, GID and GIDLIST."""
    parsed = parse(run.name, run.args, _S6_APPLYUIDGID)
    texts = {"uid": parsed.last("-u"), "gid": parsed.last("-g"), "groups": parsed.last("-G")}
    if parsed.has("-U"):
        texts = {"uid": run.env.get("UID"), "gid": run.env.get("GID"), "groups": run.env.get("GIDLIST")}
    calls: list[Syscall] = []
    if texts["groups"] is not None:
        listed = [_number(run, one) for one in texts["groups"].split(",") if one]
        if texts["gid"] is not None:
            listed.append(_number(run, texts["gid"]))
        calls.append(Setgroups(tuple(sorted(set(listed)))))
    if texts["gid"] is not None:
        calls.append(Setgid(_number(run, texts["gid"])))
    if texts["uid"] is not None:
        calls.append(Setuid(_number(run, texts["uid"])))
    if not parsed.operands:
        raise Fails("s6-applyuidgid was given no program")
    return run.executes(
        parsed.operands, "s6-applyuidgid sets the ids that it is given", calls=calls, user=texts["uid"] or ""
    )


_SU = Options(
    "c:fg:G:lmpPs:u:hVTw:-",
    (
        "command=", "session-command=", "fast", "group=", "supp-group=", "login", "preserve-environment", "pty",
        "shell=", "user=", "help", "version", "whitelist-environment=", "no-pty",
    ),
    permute=True,
)  # fmt: skip


def runuser(run: Invocation) -> Next:
    """With -u it executes its operands; it takes options from behind them, too, unless `--` stands before."""
    if not any(word.startswith(("-u", "--user")) for word in run.args):
        return su(run)
    parsed = parse(run.name, run.args, _SU)
    if not parsed.operands:
        raise Fails("runuser was given no program")
    who = sure(parsed.last("-u", "--user") or "", "runuser's user")
    account = _needed(run, who)
    return run.executes(
        parsed.operands,
        f"runuser becomes {who}, in a child",
        calls=_initgroups(run, account, parsed.last("-g", "--group")),
        env=_su_env(run, account, keep=parsed.has("-m", "-p", "--preserve-environment")),
        forks=True,
        user=who,
    )


def su(run: Invocation) -> Next:
    """Starts the user's shell, with -c for one command line. PAM makes it fork."""
    parsed = parse(run.name, run.args, _SU)
    operands = list(parsed.operands)
    login = parsed.has("-l", "--login")
    if operands[:1] == ["-"]:
        login = True
        del operands[0]
    who = sure(operands.pop(0) if operands else "root", f"{run.name}'s user")
    account = _needed(run, who)
    if run.name == "su" and run.cred is not None and run.cred.uid != 0:
        return Unknown(
            f"su asks user {run.cred.uid} for a password",
            "start the program without su, as the user that it needs",
        )
    keep = parsed.has("-m", "-p", "--preserve-environment")
    shell = (
        parsed.last("-s", "--shell") or (run.env.get("SHELL") if keep else "") or account.shell or "/bin/sh"
    )
    base = shell.rpartition("/")[2]
    argv = [shell]  # a login shell is told by a dash before argv[0]: the file is the same
    command = parsed.last("-c", "--command", "--session-command")
    if command is not None:
        argv += ["-c", command]
    argv += operands
    return run.executes(
        argv,
        f"{run.name} becomes {who} and starts {base}",
        calls=_initgroups(run, account, parsed.last("-g", "--group")),
        env=_su_env(run, account, keep=keep and not login),
        forks=True,
        user=who,
    )


def sudo(run: Invocation) -> Next:
    return Unknown(
        f"{run.name} does what sudoers(5) and its plugins say", "say with --then which program it starts"
    )


_START_STOP = Options(
    "HKSTVa:b:c:Cd:g:I:k:mn:N:oO:p:P:qr:R:s:tu:vwx:",
    (
        "help", "stop", "start", "status", "version", "startas=", "background", "chuid=", "no-close", "chdir=",
        "group=", "iosched=", "umask=", "make-pidfile", "name=", "nicelevel=", "oknodo", "output=", "pidfile=",
        "procsched=", "quiet", "chroot=", "retry=", "signal=", "test", "user=", "verbose", "exec=", "remove-pidfile",
        "ppid=", "pid=", "notify-await", "notify-timeout=",
    ),
    permute=True,
)  # fmt: skip


def start_stop_daemon(run: Invocation) -> Next:
    """Executes --exec (or --startas) with what follows `--`."""
    short = Options(_START_STOP.short.replace("b:", "b"), _START_STOP.long, permute=True)
    parsed = parse(run.name, run.args, short)
    program = parsed.last("-a", "--startas") or parsed.last("-x", "--exec")
    if not parsed.has("-S", "--start") or program is None:
        return Nothing("start-stop-daemon starts nothing")
    if parsed.has("-r", "--chroot"):
        raise Undecided("start-stop-daemon --chroot: executes a program below another root")
    spec = parsed.last("-c", "--chuid")
    calls: tuple[Syscall, ...] = ()
    if spec is not None:
        who, colon, group = sure(spec, "start-stop-daemon's user").partition(":")
        account = getpwnam(run.files, who) or getpwuid(run.files, _number(run, who))
        if account is None:
            raise Fails(f"start-stop-daemon: the image has no user {who}")
        gid = _group(run, group) if colon else account.gid
        calls = become(account.uid, gid, getgrouplist(run.files, account.name, gid))
        if run.name == "start-stop-daemon":  # dpkg's changes the group first
            calls = (calls[1], calls[0], calls[2])
    return run.executes(
        (program, *parsed.operands),
        "start-stop-daemon starts its --exec",
        calls=calls,
        forks=parsed.has("-b", "--background"),
        user=spec or "",
    )


def _initgroups(run: Invocation, account: Account, group: str | None) -> tuple[Syscall, ...]:
    """change_identity() of su-common.c."""
    gid = account.gid if group is None else _group(run, group)
    return become(account.uid, gid, getgrouplist(run.files, account.name, gid))


def _su_env(run: Invocation, account: Account, *, keep: bool) -> dict[str, str]:
    """modify_environment(): USER and LOGNAME for users other than root."""
    if keep:
        return dict(run.env)
    env = {**run.env, "HOME": account.home, "SHELL": account.shell or "/bin/sh"}
    if account.uid:
        env |= {"USER": account.name, "LOGNAME": account.name}
    return env


def _needed(run: Invocation, who: str) -> Account:
    account = getpwnam(run.files, sure(who, f"{run.name}'s user"))
    if account is None:
        raise Fails(f"{run.name}: the image has no user {who}")
    return account


def _group(run: Invocation, name: str) -> int:
    """By number, or by name."""
    found = number(sure(name, f"{run.name}'s group"))
    return _named_group(run, name) if found is None else found


def _named_group(run: Invocation, name: str) -> int:
    group = getgrnam(run.files, name)
    if group is None:
        raise Fails(f"{run.name}: the image has no group {name}")
    return group.gid


def _number(run: Invocation, text: str) -> int:
    found = number(sure(text, f"an id that {run.name} gets"))
    if found is None:
        raise Fails(f"{run.name}: {text} is no id")
    return found


WRAPPERS: dict[str, Wrapper] = {
    "gosu": gosu,
    "su-exec": su_exec,
    "chpst": chpst,
    "setuidgid": setuidgid,
    "s6-setuidgid": s6_setuidgid,
    "s6-applyuidgid": s6_applyuidgid,
    "runuser": runuser,
    "su": su,
    "sudo": sudo,
    "start-stop-daemon": start_stop_daemon,
    "busybox start-stop-daemon": start_stop_daemon,
}
