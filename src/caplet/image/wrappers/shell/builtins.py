# SPDX-License-Identifier: Apache-2.0
"""Simple commands: the shell's own (POSIX.1-2024 XCU 2.15, bash(1) SHELL BUILTIN COMMANDS), functions, and other programs."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.entry import Kind
from caplet.image.wrappers.model import SetcapAtRunTime, Undecided, Unsure
from caplet.image.wrappers.shell import conditions
from caplet.image.wrappers.shell.expand import text_of
from caplet.image.wrappers.shell.state import Ran, Several, State, known, merge
from caplet.image.wrappers.shell.substitution import SHELL_OWN, which
from caplet.image.wrappers.shell.syntax import Assignment, Literal, Simple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from caplet.image.wrappers.shell.reader import Reader

    Builtin: TypeAlias = Callable[[Reader, Simple, list[str], dict[str, str], State], State | None]

MAX_SCRIPT = 1 << 20
"""Bytes of a script: the largest entrypoints have some 60 kB."""

_QUIET = frozenset(
    [
        ":",
        "echo",
        "printf",
        "true",
        "trap",
        "wait",
        "hash",
        "alias",
        "unalias",
        "jobs",
        "fg",
        "bg",
        "times",
        "shopt",
        "enable",
        "umask",
        "kill",
        "history",
        "fc",
        "caller",
        "pushd",
        "popd",
        "help",
        "logout",
    ]
)
"""Nothing of what they do changes what is followed here."""


def command(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    name = words[0]
    called = True
    while name in ("command", "builtin") and len(words) > 1 and not words[1].startswith("-"):
        words = words[1:]
        name = words[0]
        called = False
    if known(name):
        if (
            called and name in reader.aliases and reader.run.argv[0].rpartition("/")[2] != "bash"
        ):  # which expands them for a terminal alone
            raise Undecided(
                f"{reader.label} line {node.line}: {name} is an alias, which is not followed",
                "say with --then which program it starts",
            )
        if called and name in state.functions:
            return _function(reader, node, words, assigned, state)
        builtin = _BUILTINS.get(name)
        if builtin is not None:
            return builtin(reader, node, words, assigned, state)
        if name in _QUIET:
            _remember(reader, words)
            state.status = 0 if name in (":", "true", "echo", "printf", "trap", "umask") else None
            return _printf_v(words, state)
    return external(node, words, reader.assigned | assigned, state)


def _remember(reader: Reader, words: list[str]) -> None:
    """What `trap` and `alias` define."""
    if words[0] == "alias":
        reader.aliases |= {word.partition("=")[0] for word in words[1:] if "=" in word}
    elif words[0] == "trap" and len(words) > 2 and {"EXIT", "0"} & set(words[2:]) and not reader.in_child:
        reader.at_exit = "" if words[1] == "-" else words[1]


def external(node: Simple, words: list[str], assigned: dict[str, str], state: State) -> State:
    """Another program, as a child."""
    state.status = None
    base = words[0].rpartition("/")[2]
    if base == "false" and known(words[0]):
        state.status = 1
    elif base == "setcap" and known(words[0]):
        setcap = SetcapAtRunTime(node.line, tuple(words), certain=True)
        state.setcaps = tuple(dict.fromkeys((*state.setcaps, setcap)))
    else:
        ran = Ran(node.line, tuple(words), env=tuple(assigned.items()))
        state.ran = (*(one for one in state.ran if one != ran), ran)
    return state


def _function(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    body = state.functions[words[0]]
    if body is None:
        return _unread(reader, node, f"calls {words[0]}, a function that is defined in two ways", state)
    return _assigned_for(reader, assigned, state, lambda inner: reader.call(words[0], body, words[1:], inner))


def _assigned_for(
    reader: Reader, assigned: dict[str, str], state: State, run: Callable[[State], State | None]
) -> State | None:
    """Variables of one command, exported to what it executes; whether they stay behind it differs between shells."""
    before = {name: (state.variables.get(name, ""), name in state.exported) for name in assigned}
    outer, reader.assigned = reader.assigned, reader.assigned | assigned
    for name, value in assigned.items():
        state.set(name, value)
        state.exported.add(name)
    after = run(state)
    reader.assigned = outer
    if after is None:
        return None
    for name, (value, exported) in before.items():
        if value != after.variables.get(name):
            after.forget(name)
        if not exported:
            after.exported.discard(name)
    return after


def _unread(reader: Reader, node: Simple, what: str, state: State) -> State:
    """Commands that are known only at run time: variables are forgotten, and what is assumed of the rest is said."""
    state.forget_all()
    note = f"{reader.label} line {node.line} {what}: taken to leave PATH and the arguments alone, and to execute nothing"
    state.notes = tuple(dict.fromkeys((*state.notes, note)))
    return state


def _exec(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    args = words[1:]
    clean = False
    argv0 = None
    while args and known(args[0]) and re.fullmatch(r"-[cla]+|--", args[0]):
        option = args.pop(0)
        if option == "--":
            break
        clean = clean or "c" in option
        if "a" in option and args:
            argv0 = args.pop(0)
    del argv0  # the file is found by its name all the same, and what it is told by
    if not args:
        state.status = 0
        return state
    if isinstance(args[0], Several) and len(args) == 1 and not str(args[0]).startswith("$@"):
        args[0] = Unsure(args[0])
    env = {} if clean else state.environment
    for one in _ways(args, state):
        reader.end(node.line, state.copy(), tuple(one), env | assigned)
    return None


def _ways(args: list[str], state: State) -> list[list[str]]:
    """`exec "$@"`, where the parameters are one of a few lists."""
    if state.parameters is not None or not state.maybe or str(args[-1]) != "$@":
        return [args]
    return [[*args[:-1], *parameters] for parameters in state.maybe if len(args) > 1 or parameters]


def _exit(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del assigned
    code: int | None = state.status
    if len(words) > 1:
        code = int(words[1]) & 0xFF if known(words[1]) and re.fullmatch(r"\d{1,9}", words[1]) else None
    reader.end(node.line, state, code=code)
    return None


def _return(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del assigned
    if not reader.calls:
        if not reader.in_child:
            state.status = None
            return state  # a script that is executed cannot return: the shell says so, and goes on
        reader.end(node.line, state)
        return None
    if len(words) > 1:
        state.status = (
            int(words[1]) & 0xFF if known(words[1]) and re.fullmatch(r"\d{1,9}", words[1]) else None
        )
    frame = reader.calls[-1]
    frame.returned = merge(frame.returned, state)
    return None


def _loop_control(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del node, assigned
    if not reader.loops:
        state.status = 0
        return state
    levels = int(words[1]) if len(words) > 1 and re.fullmatch(r"[1-9]\d{0,3}", words[1]) else 1
    loop = reader.loops[max(-levels, -len(reader.loops))]
    state.status = 0
    if words[0] == "break":
        loop.broken = merge(loop.broken, state)
    else:
        loop.continued = merge(loop.continued, state)
    return None


def _set(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del assigned
    args = words[1:]
    state.status = 0
    while args:
        word = args[0]
        if not known(word):
            break
        if word in ("--", "-"):
            args.pop(0)
            break
        if not re.fullmatch(r"[-+][A-Za-z]+", word):
            break
        args.pop(0)
        on = word[0] == "-"
        names = {_LETTERS[letter] for letter in word[1:] if letter in _LETTERS}
        if "o" in word[1:]:
            names.add(args.pop(0) if args else "")
        for name in names & _FOLLOWED:
            setattr(state, name, on)
        if "pipefail" in names and reader.dialect == "dash":
            return _no_pipefail(reader, node, state)
        if not args:
            return state
    else:
        if len(words) == 1:
            return state
    state.parameters = tuple(args)
    return state


_LETTERS = {"e": "errexit", "f": "noglob", "u": "nounset", "a": "allexport"}
_FOLLOWED = frozenset({*_LETTERS.values(), "pipefail"})


def _no_pipefail(reader: Reader, node: Simple, state: State) -> State | None:
    """Of dash up to 0.5.12: `set: Illegal option -o pipefail`, and a special built-in's error ends the shell (options.c, minus_o)."""
    if not reader.in_child:
        raise Undecided(
            f"{reader.label} line {node.line}: set -o pipefail ends dash up to 0.5.12 (Illegal option -o pipefail)",
            "run the script with bash, or say with --then which program it starts",
        )
    reader.end(node.line, state, code=2)
    return None


def _shift(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del reader, node, assigned
    count = words[1] if len(words) > 1 else "1"
    if state.parameters is None:
        state.status = None
    elif (
        not known(count)
        or not re.fullmatch(r"\d{1,9}", count)
        or any(isinstance(one, Several) for one in state.parameters[: int(count)])
    ):
        state.parameters, state.maybe, state.status = None, (), None
    elif int(count) > len(state.parameters):
        state.status = 1
    else:
        state.parameters, state.status = state.parameters[int(count) :], 0
    return state


def _test(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del reader, node, assigned
    args = words[1:]
    if words[0] == "[":
        if not args or args[-1] != "]":
            state.status = None
            return state
        args = args[:-1]
    value = conditions.test(args)
    state.status = None if value is None else 0 if value else 1
    return state


def _false(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del reader, node, words, assigned
    state.status = 1
    return state


def _declare(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    """export, readonly, local, declare, typeset: assignments among the words are not split."""
    del assigned
    exports = words[0] == "export"
    local = words[0] == "local" or (words[0] in ("declare", "typeset") and bool(reader.calls))
    state.status = 0
    for word in node.words[1:]:
        name, value, array = _declared(reader, word, state)
        if name.startswith(("-", "+")):
            exports = exports or (name.startswith("-") and "x" in name)
            local = local and "g" not in name
            if "f" in name or "n" in name or "p" in name:
                return state
            continue
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            continue
        if local and reader.calls:
            reader.calls[-1].saved.setdefault(name, state.variables.get(name))
        if array is not None:
            reader.assign(array, "", state)
        elif value is not None:
            state.set(name, value)
        elif local and words[0] == "local":
            state.variables.pop(name, None)
        if exports:
            state.exported.add(name)
    return state


def _declared(reader: Reader, word: object, state: State) -> tuple[str, str | None, Assignment | None]:
    """(name, value, array) of one word."""
    if isinstance(word, Assignment):
        return word.name, None, word
    assert isinstance(word, tuple)
    first = word[0] if word else None
    if isinstance(first, Literal) and not first.quoted:
        match = re.match(r"([A-Za-z_]\w*)(\+?)=", first.text)
        if match is not None:
            rest = (Literal(first.text[match.end() :]), *word[1:])
            value = text_of(rest, state, reader)
            if match[2]:
                before = state.variables.get(match[1], "")
                value = before + value if known(before) and known(value) else Unsure(before + value)
            return match[1], value, None
    text = text_of(word, state, reader)
    name, equals, value = text.partition("=")
    if not known(text):
        return (name if equals and "$" not in name else ""), (Unsure(value) if equals else None), None
    return name, value if equals else None, None


def _unset(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del reader, node, assigned
    functions = "-f" in words
    for name in words[1:]:
        if functions:
            state.functions.pop(name, None)
        elif not re.fullmatch(r"\w+", name):
            array = name.partition("[")[0]
            if array in state.arrays:
                state.arrays[array] = None
        else:
            state.unset(name)
    state.status = 0
    return state


def _read(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    """read, mapfile, getopts: their variables get something."""
    del reader, node, assigned
    names = [word for word in words[1:] if re.fullmatch(r"[A-Za-z_]\w*", word)]
    for name in names or ["REPLY"]:
        state.forget(name)
        if words[0] in ("mapfile", "readarray") or "-a" in words:
            state.arrays[name] = None
    if words[0] == "getopts":
        state.forget("OPTARG")
        state.forget("OPTIND")
    state.status = None
    return state


def _cd(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del node, assigned
    target = next((word for word in words[1:] if not word.startswith("-") or word == "-"), None)
    target = state.variables.get("HOME", "-") if target is None else target
    state.status = None
    if target == "-" or not known(target) or not known(state.working_dir) or "CDPATH" in state.variables:
        state.working_dir = Unsure("$PWD")
        return state
    path = posixpath.join(state.working_dir, target)
    try:
        found = reader.run.files.resolve(os.fsencode(path)).node
    except InvalidInput:
        state.working_dir = Unsure("$PWD")  # a volume, or mkdir, may have made it
        return state
    if found.kind is Kind.DIRECTORY:
        state.working_dir = posixpath.normpath(path)
        state.status = 0 if found.mode & 0o001 else None
    else:
        state.status = 1
    return state


def _eval(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    text = " ".join(words[1:])
    if not all(known(word) for word in words):
        return _unread(reader, node, f"evaluates {text}", state)
    return _assigned_for(reader, assigned, state, lambda inner: reader.script(text, inner, node.line))


def _source(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del assigned
    if len(words) < 2:
        state.status = None
        return state
    text = _file(reader, words[1], state)
    if text is None:
        reader.end(node.line, state.copy(), code=1, perhaps=True)
        return _unread(reader, node, f"reads commands from {words[1]}", state)
    outer = state.parameters
    if len(words) > 2:
        state.parameters = tuple(words[2:])
    after = reader.inline(text, state, 1)
    if after is not None and len(words) > 2:
        after.parameters = outer
    return after


def _file(reader: Reader, name: str, state: State) -> str | None:
    """The text of a file of the image."""
    if not known(name):
        return None
    path = name
    if "/" not in name:
        path = which(name, reader.run, state) or name
    if not path.startswith("/"):
        if not known(state.working_dir):
            return None
        path = posixpath.join(state.working_dir, path)
    try:
        node = reader.run.files.resolve(os.fsencode(path)).node
        if node.size > MAX_SCRIPT:
            return None
        data = reader.run.files.read(node, MAX_SCRIPT)
    except InvalidInput:
        return None
    return data.decode("utf-8", "surrogateescape")


def _command(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    """`command -v NAME`, `type NAME`, `which NAME`: whether the image has it."""
    del node, assigned
    names = [word for word in words[1:] if not word.startswith("-")]
    state.status = None
    if len(names) == 1 and known(names[0]):
        found = which(names[0], reader.run, state)
        state.status = None if found is None else 0 if found else 1
    return state


def _printf_v(words: list[str], state: State) -> State:
    if words[0] == "printf" and len(words) > 2 and words[1] == "-v":
        state.forget(words[2])
    return state


def _let(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del reader, node, assigned
    for word in words[1:]:
        arithmetic(word, state)
    return state


def _ulimit(
    reader: Reader, node: Simple, words: list[str], assigned: dict[str, str], state: State
) -> State | None:
    del reader, node, words, assigned
    state.status = None
    return state


_COMPARISON = re.compile(r"\s*\$?(#|[A-Za-z_]\w*)\s*(==|!=|<=|>=|<|>)\s*(\d{1,18})\s*")


def arithmetic(text: str, state: State) -> None:
    """`(( ... ))`: a comparison with a number is decided; the variables of anything else get some value."""
    state.status = None
    match = _COMPARISON.fullmatch(text)
    if match is not None:
        count = None if state.parameters is None else str(len(state.parameters))
        left = count if match[1] == "#" else state.variables.get(match[1])
        if left is not None and known(left) and re.fullmatch(r"\d{1,18}", left):
            one, other = int(left), int(match[3])
            value = {
                "==": one == other,
                "!=": one != other,
                "<": one < other,
                "<=": one <= other,
                ">": one > other,
                ">=": one >= other,
            }[match[2]]
            state.status = 0 if value else 1
        return
    if "=" in text or "++" in text or "--" in text:
        for name in re.findall(r"[A-Za-z_]\w*", text):
            state.forget(name)


_BUILTINS: dict[str, Builtin] = {
    "exec": _exec,
    "exit": _exit,
    "return": _return,
    "break": _loop_control,
    "continue": _loop_control,
    "set": _set,
    "shift": _shift,
    "[": _test,
    "test": _test,
    "false": _false,
    "export": _declare,
    "readonly": _declare,
    "local": _declare,
    "declare": _declare,
    "typeset": _declare,
    "unset": _unset,
    "read": _read,
    "mapfile": _read,
    "readarray": _read,
    "getopts": _read,
    "cd": _cd,
    "eval": _eval,
    ".": _source,
    "source": _source,
    "command": _command,
    "type": _command,
    "which": _command,
    "let": _let,
    "ulimit": _ulimit,
}

assert set(_BUILTINS) - {"which"} <= SHELL_OWN
