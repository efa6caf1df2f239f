# SPDX-License-Identifier: Apache-2.0
"""The output of commands that the image, the arguments and the credentials decide: id, basename, command -v, ...

Anything else is known only at run time.
"""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.program import find_program
from caplet.image.wrappers.accounts import getgrnam, getpwnam, getpwuid, groups
from caplet.image.wrappers.model import Unsure, as_environ
from caplet.image.wrappers.shell.state import State, known

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation

SHELL_OWN = frozenset(
    [
        ".",
        ":",
        "[",
        "alias",
        "bg",
        "break",
        "builtin",
        "caller",
        "cd",
        "command",
        "continue",
        "declare",
        "echo",
        "enable",
        "eval",
        "exec",
        "exit",
        "export",
        "false",
        "fc",
        "fg",
        "getopts",
        "hash",
        "help",
        "history",
        "jobs",
        "kill",
        "let",
        "local",
        "logout",
        "mapfile",
        "popd",
        "printf",
        "pushd",
        "pwd",
        "read",
        "readarray",
        "readonly",
        "return",
        "set",
        "shift",
        "shopt",
        "source",
        "test",
        "times",
        "trap",
        "true",
        "type",
        "typeset",
        "ulimit",
        "umask",
        "unalias",
        "unset",
        "wait",
    ]
)
"""Commands of the shell itself."""


def output(argv: list[str], run: Invocation, state: State) -> str | None:
    """What the command prints, without the newlines at its end; None where run time decides."""
    if not argv or not all(known(word) for word in argv):
        return None
    name, args = argv[0].rpartition("/")[2], argv[1:]
    match name:
        case "id":
            return _id(args, run)
        case "whoami":
            return _id(["-un"], run)
        case "echo":
            plain = not any(word.startswith("-") or "\\" in word for word in args)
            return " ".join(args) if plain else None
        case "printf":
            return _printf(args)
        case "basename":
            return _basename(args)
        case "dirname":
            return posixpath.dirname(args[0].rstrip("/") or "/") or "." if len(args) == 1 else None
        case "command" | "type":
            wanted = [word for word in args if not word.startswith("-")]
            flags = [word for word in args if word.startswith("-")]
            if len(wanted) == 1 and flags in (["-v"], ["-p"], ["-P"]):
                return which(wanted[0], run, state)
        case "which":
            return which(args[0], run, state) if len(args) == 1 else None
        case "readlink" | "realpath":
            return _resolved(args, run, state)
        case "pwd":
            return state.working_dir if known(state.working_dir) and not args else None
        case "uname":
            return "Linux" if args in ([], ["-s"]) else None
        case "true" | ":":
            return ""
        case "getent":
            return None
    return None


def which(name: str, run: Invocation, state: State) -> str | None:
    """`command -v`: the path along PATH; "" where there is none."""
    if name in state.functions or name in SHELL_OWN:
        return name
    path = state.variables.get("PATH", "")
    if not known(path):
        return None
    env = as_environ({"PATH": path}) if path else ()
    program = find_program(run.files, [name], env, state.working_dir)
    if not program.chain:
        return ""
    if "/" in name:
        return name
    for directory in (path or "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").split(":"):
        candidate = f"{directory.rstrip('/')}/{name}"
        try:
            if run.files.resolve(os.fsencode(candidate)).path == program.chain[0].path:
                return candidate
        except InvalidInput:
            continue
    return os.fsdecode(program.chain[0].path)


def _id(args: list[str], run: Invocation) -> str | None:
    flags = "".join(word[1:] for word in args if word.startswith("-") and not word.startswith("--"))
    long = [word for word in args if word.startswith("--")]
    names = [word for word in args if not word.startswith("-")]
    flags += "".join(
        {"--user": "u", "--group": "g", "--name": "n", "--real": "r"}.get(word, "?") for word in long
    )
    if len(names) > 1 or set(flags) - set("ugnr") or len(set(flags) & set("ug")) != 1:
        return None
    if names:
        account = getpwnam(run.files, names[0])
        if account is None:
            return None
        uid, gid = account.uid, account.gid
    elif run.cred is not None:
        seen = run.cred.seen()
        uid, gid = (seen.uid, seen.gid) if "r" in flags else (seen.euid, seen.egid)
    else:
        return None
    number = uid if "u" in flags else gid
    if "n" not in flags:
        return str(number)
    if "u" in flags:
        found = getpwuid(run.files, number)
        return found.name if found is not None else None
    return next((group.name for group in groups(run.files) if group.gid == number), None)


def exists(kind: str, name: str, run: Invocation) -> bool:
    """`getent passwd NAME`, `getent group NAME`."""
    return (getpwnam if kind == "passwd" else getgrnam)(run.files, name) is not None


def _printf(args: list[str]) -> str | None:
    if not args or "\\" in args[0]:
        return None
    if args[0] == "%s" and len(args) == 2:
        return args[1].rstrip("\n")
    return args[0].rstrip("\n") if len(args) == 1 and "%" not in args[0] else None


def _basename(args: list[str]) -> str | None:
    if not 1 <= len(args) <= 2 or args[0].startswith("-"):
        return None
    base = posixpath.basename(args[0].rstrip("/")) or args[0][:1]
    if len(args) == 2 and base != args[1]:
        base = base.removesuffix(args[1])
    return base


def _resolved(args: list[str], run: Invocation, state: State) -> str | None:
    names = [word for word in args if not word.startswith("-")]
    flags = [word for word in args if word.startswith("-")]
    if len(names) != 1 or flags not in ([], ["-f"], ["-e"], ["--canonicalize"]):
        return None
    path = posixpath.join(str(state.working_dir), names[0])
    if isinstance(state.working_dir, Unsure) and not names[0].startswith("/"):
        return None
    try:
        return os.fsdecode(run.files.resolve(os.fsencode(path)).path)
    except InvalidInput:
        return None
