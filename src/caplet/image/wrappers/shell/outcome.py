# SPDX-License-Identifier: Apache-2.0
"""The ends that a script may come to, put together to one answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from caplet.image.wrappers.model import Executes, Next, Nothing, SetcapAtRunTime, Unknown, Unsure, as_environ
from caplet.image.wrappers.shell.state import Ran, Several, known, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from caplet.image.wrappers.shell.state import State

DECIDE = "say with --then which program it starts"
MAX_CANDIDATES = 8

HOUSEKEEPING = frozenset(
    [
        "addgroup",
        "adduser",
        "apk",
        "apt-get",
        "awk",
        "base64",
        "basename",
        "bunzip2",
        "bzip2",
        "cat",
        "chgrp",
        "chmod",
        "chown",
        "cmp",
        "comm",
        "cp",
        "curl",
        "cut",
        "date",
        "dd",
        "df",
        "diff",
        "dirname",
        "dos2unix",
        "du",
        "egrep",
        "envsubst",
        "expr",
        "fgrep",
        "find",
        "fold",
        "free",
        "getconf",
        "getent",
        "gettext",
        "grep",
        "groupadd",
        "groupmod",
        "groups",
        "gunzip",
        "gzip",
        "head",
        "hostname",
        "iconv",
        "id",
        "install",
        "ip",
        "join",
        "jq",
        "kill",
        "killall",
        "ldconfig",
        "less",
        "link",
        "ln",
        "logger",
        "ls",
        "md5sum",
        "mkdir",
        "mkfifo",
        "mknod",
        "mktemp",
        "mount",
        "mv",
        "nl",
        "nproc",
        "od",
        "openssl",
        "paste",
        "pgrep",
        "pidof",
        "ping",
        "pkill",
        "ps",
        "pwgen",
        "readlink",
        "realpath",
        "rm",
        "rmdir",
        "sed",
        "seq",
        "sha1sum",
        "sha256sum",
        "sha512sum",
        "shuf",
        "sleep",
        "sort",
        "split",
        "stat",
        "stty",
        "sync",
        "sysctl",
        "tac",
        "tail",
        "tar",
        "tee",
        "touch",
        "tput",
        "tr",
        "true",
        "tty",
        "umount",
        "uname",
        "uniq",
        "unlink",
        "unzip",
        "update-ca-certificates",
        "uptime",
        "useradd",
        "usermod",
        "wc",
        "wget",
        "which",
        "whoami",
        "xargs",
        "xz",
        "yes",
        "yq",
        "zcat",
    ]
)
"""Programs that prepare, and end: what a script starts besides them is what it is about."""


@dataclass(frozen=True, slots=True)
class End:
    """One way through the script."""

    line: int
    state: State
    argv: tuple[str, ...] | None = None
    """What `exec` was given; None where the script ends by itself."""
    env: Mapping[str, str] | None = None
    code: int | None = None
    """The exit status, where `exit` or a failure said it."""
    perhaps: bool = False
    """Whether it ends here is not known."""


@dataclass(frozen=True, slots=True)
class Candidate:
    line: int
    argv: tuple[str, ...]
    env: Mapping[str, str]
    working_dir: str
    forks: bool
    certain: bool = True


def answer(script: str, ends: list[End]) -> Next:
    """Ends with an error are left out: they are the script's own refusal."""
    everything: State | None = None
    for end in ends:
        everything = merge(everything, end.state.copy())
    setcaps = everything.setcaps if everything is not None else ()
    candidates = [one for end in ends for one in _candidates(end)]
    notes = _notes(script, everything, candidates)
    distinct = list({(one.argv, one.forks): one for one in candidates}.values())
    if not distinct:
        return Nothing(f"{script} executes no other program", setcaps, notes)
    programs = {str(one.argv[0]) for one in distinct}
    if len(programs) == 1:
        certain = all((end.code or _candidates(end)) and not end.perhaps for end in ends)
        certain = certain and all(one.certain for one in distinct)
        found = _one(script, distinct, setcaps, notes)
        return replace(found, certain=certain) if isinstance(found, Executes) else found
    lines = ", ".join(f"line {one.line}: {' '.join(one.argv[:3])}" for one in distinct[:MAX_CANDIDATES])
    return Unknown(
        f"{script} executes one of several programs, as run time decides: {lines}",
        DECIDE,
        tuple(one.argv for one in distinct[:MAX_CANDIDATES]),
        setcaps,
        notes,
    )


def _candidates(end: End) -> list[Candidate]:
    if end.argv is not None:
        env = end.env if end.env is not None else end.state.environment
        return [Candidate(end.line, end.argv, env, end.state.working_dir, forks=False)]
    if end.code:
        return []
    # Of a script that does nothing but housekeeping the last piece of it is what the container is for.
    programs = [ran for ran in end.state.ran if not housekeeping(ran)] or end.state.ran[-1:]
    foreground = [ran for ran in programs if not ran.background]
    chosen = foreground[-1:] if foreground and programs[-1] is foreground[-1] else programs
    return [
        Candidate(
            ran.line,
            ran.argv,
            end.state.environment | dict(ran.env),
            end.state.working_dir,
            forks=True,
            certain=ran.certain,
        )
        for ran in chosen
    ]


def housekeeping(ran: Ran) -> bool:
    return known(ran.argv[0]) and ran.argv[0].rpartition("/")[2] in HOUSEKEEPING


def _one(
    script: str, candidates: list[Candidate], setcaps: tuple[SetcapAtRunTime, ...], notes: tuple[str, ...]
) -> Next:
    """One program; arguments and variables that differ are not known."""
    first = candidates[0]
    lines = " and ".join(str(line) for line in sorted({one.line for one in candidates}))
    if not known(first.argv[0]):
        return Unknown(
            f"{script} line {lines}: executes {first.argv[0]}, which is known only at run time",
            DECIDE,
            (first.argv,),
            setcaps,
            notes,
        )
    argv, env = first.argv, dict(first.env)
    for one in candidates[1:]:
        argv = _merged(argv, one.argv)
        for name in env.keys() | one.env.keys():
            if env.get(name) != one.env.get(name):
                env[name] = Unsure(f"${name}")
    if (
        "/" in argv[0]
        and not argv[0].startswith("/")
        and not all(known(one.working_dir) for one in candidates)
    ):
        return Unknown(
            f"{script} line {lines}: executes {argv[0]} in a directory that is known only at run time",
            DECIDE,
            (argv,),
            setcaps,
            notes,
        )
    if "/" not in argv[0] and isinstance(env.get("PATH"), Unsure):
        return Unknown(
            f"{script} line {lines}: executes {argv[0]} along a PATH that is known only at run time",
            DECIDE,
            (argv,),
            setcaps,
            notes,
        )
    forks = any(one.forks for one in candidates)
    how = "starts" if forks else "executes"
    return Executes(
        argv=argv,
        env=as_environ(env),
        working_dir=first.working_dir if known(first.working_dir) else "/",
        forks=forks,
        why=f"{script} line {lines}: {how} {argv[0]}",
        setcaps=setcaps,
        notes=notes,
    )


def _merged(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    if len(one) != len(other):
        common = 0
        while common < min(len(one), len(other)) and one[common] == other[common]:
            common += 1
        return (*one[:common], Several("..."))
    return tuple(
        mine if mine == theirs else Unsure(f"{mine}|{theirs}")
        for mine, theirs in zip(one, other, strict=True)
    )


def _notes(script: str, everything: State | None, candidates: list[Candidate]) -> tuple[str, ...]:
    if everything is None:
        return ()
    executed = {one.argv for one in candidates}
    notes = list(everything.notes)
    for ran in everything.ran:
        if housekeeping(ran) or ran.argv in executed:
            continue
        how = "starts in the background" if ran.background else "runs"
        sometimes = "" if ran.certain else ", where a condition holds"
        notes.append(f"{script} line {ran.line} {how} {' '.join(ran.argv[:6])}{sometimes}")
    return tuple(notes[:MAX_CANDIDATES])
