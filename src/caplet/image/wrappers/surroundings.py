# SPDX-License-Identifier: Apache-2.0
"""Programs that change a process's surroundings and execute their operands: env, nice, timeout, chroot, unshare, ...

The credentials stay as they are, but for chroot --userspec and namespaces. GNU coreutils 9.1 src/{env,nice,nohup,timeout,
stdbuf,chroot}.c; util-linux 2.38 {schedutils,sys-utils}; GNU time 1.9; busybox 1.35 applets of the same names.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.image.wrappers.accounts import getgrnam, getgrouplist, getpwnam, number
from caplet.image.wrappers.model import Fails, Nothing, Undecided, Unsure, sure
from caplet.image.wrappers.options import Options, parse
from caplet.kernel.caps import Cap
from caplet.kernel.syscalls import Setgid, Setgroups, Setuid

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation, Next, Wrapper
    from caplet.kernel.syscalls import Syscall

_ENV = Options(
    "+C:iS:u:v0",
    (
        "ignore-environment", "null", "unset=", "chdir=", "default-signal=?", "ignore-signal=?", "block-signal=?",
        "list-signal-handling", "debug", "split-string=", "argv0=", "help", "version",
    ),
)  # fmt: skip


def env(run: Invocation) -> Next:
    words = _split_string(run.args)
    if words is not None:
        return env(replace(run, argv=(run.argv[0], *words)))
    parsed = parse(run.name, run.args, _ENV)
    if parsed.has("-S", "--split-string"):
        raise Undecided("env -S behind other options is not followed")
    clean = parsed.has("-i", "--ignore-environment") or parsed.operands[:1] == ("-",)
    operands = list(parsed.operands[1:] if parsed.operands[:1] == ("-",) else parsed.operands)
    variables = {} if clean else dict(run.env)
    for option, value in parsed.options:
        if option in ("-u", "--unset"):
            variables.pop(value or "", None)
    while operands and "=" in operands[0]:
        name, _, value = operands[0].partition("=")
        variables[name] = Unsure(value) if isinstance(operands[0], Unsure) else value
        del operands[0]
    if not operands:
        return Nothing("env prints the environment")
    chdir = parsed.last("-C", "--chdir")
    return run.executes(operands, "env changes the environment only", env=variables, working_dir=chdir)


def _split_string(args: tuple[str, ...]) -> tuple[str, ...] | None:
    """What `-S TEXT` at the front is replaced by, as in `#!/usr/bin/env -S PROG ARG`: plain words only."""
    match = re.match(r"(-v?S|--split-string=)(.*)", args[0], re.DOTALL) if args else None
    if match is None:
        return None
    text, rest = (match[2], args[1:]) if match[2] else ("".join(args[1:2]), args[2:])
    text = sure(text, "what env -S splits")
    if any(character in text for character in "\\\"'${}#"):
        raise Undecided(f"env -S {text!r}: quotes and variables in it are not followed")
    return (*text.split(), *rest)


_FLAGS: dict[str, tuple[Options, int]] = {
    "nice": (Options("n:0123456789", ("adjustment=", "help", "version")), 0),
    "nohup": (Options("", ("help", "version")), 0),
    "stdbuf": (Options("i:o:e:", ("input=", "output=", "error=", "help", "version")), 0),
    "ionice": (Options("c:n:p:P:u:tVh", ("class=", "classdata=", "pid=", "ignore", "version", "help")), 0),
    "chrt": (
        Options(
            "abdD:fiphmoP:T:rRvV",
            ("all-tasks", "batch", "deadline", "fifo", "idle", "pid", "help", "max", "other", "sched-deadline=",
             "sched-period=", "sched-runtime=", "rr", "reset-on-fork", "verbose", "version"),
        ),
        1,
    ),
    "taskset": (Options("apchV", ("all-tasks", "pid", "cpu-list", "help", "version")), 1),
    "numactl": (
        Options(
            "i:N:C:m:p:lHsbad",
            ("all", "interleave=", "cpunodebind=", "physcpubind=", "membind=", "preferred=", "localalloc", "hardware",
             "show", "balancing"),
        ),
        0,
    ),
    "softlimit": (Options("a:c:d:f:l:m:o:p:r:s:t:"), 0),
    "pgrphack": (Options(""), 0),
    "setlock": (Options("nNxX"), 1),
    "envdir": (Options(""), 1),
    "envuidgid": (Options(""), 1),
    "s6-envuidgid": (Options("nBuge"), 1),
    "s6-softlimit": (Options("HhSsa:c:d:f:l:m:o:p:r:t:"), 0),
    "s6-nice": (Options("n:"), 0),
    "s6-setsid": (Options("sbfgiIq"), 0),
    "with-contenv": (Options(""), 0),
    "setarch": (Options("hVv3BFILRSTXZu:", ("uname-2.6", "addr-no-randomize", "verbose", "32bit")), 0),
}  # fmt: skip
"""Name -> its options, and how many operands come before the program."""

_PRINTS = frozenset({"--help", "--version", "-V"})


def plain(run: Invocation) -> Next:
    """Executes its operands with the credentials that it has."""
    known, skip = _FLAGS[run.name]
    parsed = parse(run.name, run.args, known)
    operands = parsed.operands[skip:]
    if parsed.has(*_PRINTS) or not operands:
        return Nothing(f"{run.name} was given no program")
    return run.executes(operands, f"{run.name} executes its arguments with the same credentials")


_TIMEOUT = Options(
    "fk:ps:v", ("foreground", "kill-after=", "preserve-status", "signal=", "verbose", "help", "version")
)

_DURATION = re.compile(r"\s*\+?(\.?\d|inf|nan)", re.IGNORECASE)
"""How a number begins, as strtold(3) reads it."""


def timeout(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, _TIMEOUT)
    if len(parsed.operands) < 2:
        raise Fails("timeout was given no program")
    if not _DURATION.match(sure(parsed.operands[0], "timeout's duration")):
        raise Fails(f"timeout: invalid time interval {parsed.operands[0]}")
    return run.executes(parsed.operands[1:], "timeout starts its arguments as a child", forks=True)


_TIME = Options(
    "af:ho:pqvV", ("append", "format=", "output=", "portability", "quiet", "verbose", "version", "help")
)


def time(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, _TIME)
    if not parsed.operands:
        raise Fails("time was given no program")
    return run.executes(parsed.operands, "time starts its arguments as a child", forks=True)


def setsid(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, Options("Vhcfw", ("ctty", "fork", "wait", "help", "version")))
    if not parsed.operands:
        raise Fails("setsid was given no program")
    forks = parsed.has("-f", "--fork")
    return run.executes(parsed.operands, "setsid makes a new session", forks=forks)


_CHROOT = Options("", ("groups=", "userspec=", "skip-chdir", "help", "version"))


def chroot(run: Invocation) -> Next:
    """The groups, then the group, the user last, once the root is changed (src/chroot.c, main)."""
    parsed = parse(run.name, run.args, _CHROOT)
    if len(parsed.operands) < 1:
        raise Fails("chroot was given no directory")
    root, *argv = parsed.operands
    if sure(root, "chroot's directory").rstrip("/"):
        raise Undecided(
            f"chroot {root}: what is executed there is looked up below another root",
            "say with --then which program it starts",
        )
    if run.cred is not None and Cap.SYS_CHROOT not in run.cred.caps.effective:
        raise Fails(f"chroot: cannot change root directory to '{root}': Operation not permitted")
    argv = argv or [run.env.get("SHELL") or "/bin/sh", "-i"]
    spec = parsed.last("--userspec")
    calls = _chroot_calls(run, spec, parsed.last("--groups"))
    return run.executes(argv, "chroot executes its arguments", calls=calls, working_dir="/", user=spec or "")


def _chroot_calls(run: Invocation, spec: str | None, groups: str | None) -> list[Syscall]:
    uid = gid = None
    others: tuple[int, ...] | None = None
    if spec is not None:
        who, colon, group = sure(spec, "chroot's user").partition(":")
        account = getpwnam(run.files, who) if who else None
        uid = account.uid if account is not None else number(who) if who else None
        if who and uid is None:
            raise Fails(f"chroot: the image has no user {who}")
        if colon and group:
            gid = _group(run, group)
        elif account is not None:
            gid = account.gid
            others = getgrouplist(run.files, account.name, gid)
    if groups is not None:
        others = tuple(_group(run, one) for one in sure(groups, "chroot's groups").split(",") if one)
    calls: list[Syscall] = []
    if others is not None:
        calls.append(Setgroups(tuple(sorted(others))))
    if gid is not None:
        calls.append(Setgid(gid))
    if uid is not None:
        calls.append(Setuid(uid))
    return calls


def _group(run: Invocation, name: str) -> int:
    found = getgrnam(run.files, name)
    gid = found.gid if found is not None else number(name)
    if gid is None:
        raise Fails(f"{run.name}: the image has no group {name}")
    return gid


def unshare(run: Invocation) -> Next:
    known = Options(
        "+hVm::u::i::n::p::C::T::U::fr::c::S:G:R:w:l:",
        (
            "help", "version", "mount=?", "uts=?", "ipc=?", "net=?", "pid=?", "cgroup=?", "time=?", "user=?", "fork",
            "kill-child=?", "mount-proc=?", "map-user=", "map-group=", "map-root-user", "map-current-user",
            "map-auto", "map-users=", "map-groups=", "propagation=", "setgroups=", "keep-caps", "setuid=", "setgid=",
            "root=", "wd=", "monotonic=", "boottime=", "load-interp=",
        ),
    )  # fmt: skip
    parsed = parse(
        run.name, run.args, Options(known.short.replace("r::", "r").replace("c::", "c"), known.long)
    )
    mapped = [
        one for one, _ in parsed.options if one.startswith(("-U", "--user", "-r", "--map", "-c", "--keep"))
    ]
    changed = [
        one for one, _ in parsed.options if one in ("-S", "-G", "--setuid", "--setgid", "-R", "--root")
    ]
    if mapped or changed:
        raise Undecided(
            f"unshare {(mapped + changed)[0]}: a user namespace or another root is not followed",
            "say with --then which program it starts",
        )
    if not parsed.operands:
        return Nothing("unshare was given no program: it starts a shell")
    forks = parsed.has("-f", "--fork", "--kill-child")
    return run.executes(parsed.operands, "unshare makes namespaces", forks=forks)


def nsenter(run: Invocation) -> Next:
    raise Undecided(
        f"{run.name} enters the namespaces of another process: its files and its user may be others"
    )


WRAPPERS: dict[str, Wrapper] = {
    "env": env,
    **dict.fromkeys(_FLAGS, plain),
    "timeout": timeout,
    "time": time,
    "setsid": setsid,
    "chroot": chroot,
    "unshare": unshare,
    "nsenter": nsenter,
}
