# SPDX-License-Identifier: Apache-2.0
"""sh, bash, dash, ash: which script they read, `-c` or a file, and with which arguments.

POSIX.1-2024 XCU sh; bash(1) OPTIONS; dash 0.5.12 src/options.c procargs(); busybox 1.35 shell/ash.c.
"""

from __future__ import annotations

import os
import posixpath
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.entry import Kind
from caplet.image.wrappers.model import Fails, Nothing, Undecided, Unknown, sure
from caplet.image.wrappers.shell.builtins import MAX_SCRIPT
from caplet.image.wrappers.shell.outcome import DECIDE, answer
from caplet.image.wrappers.shell.reader import Reader
from caplet.image.wrappers.shell.state import State, known
from caplet.image.wrappers.shell.substitution import which

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation, Next, Wrapper

_LONG_WITH_VALUE = frozenset({"--rcfile", "--init-file"})


def shell(run: Invocation) -> Next:
    options, operands = _options(run)
    state = State(
        variables=dict(run.env),
        exported=set(run.env),
        working_dir=run.working_dir,
        errexit="e" in options or "errexit" in options,
        nounset="u" in options or "nounset" in options,
        allexport="a" in options or "allexport" in options,
        pipefail="pipefail" in options,
    )
    if "c" in options:
        if not operands:
            raise Fails(f"{run.name}: -c needs a command line")
        text = sure(operands[0], f"what {run.name} -c executes")
        name = operands[1] if len(operands) > 1 else run.argv[0]
        state.parameters = tuple(operands[2:])
        label = f"{run.argv[0].rpartition('/')[2]} -c"
    elif operands and "s" not in options:
        name = sure(operands[0], f"the script of {run.name}")
        text = _script(run, name, state)
        state.parameters = tuple(operands[1:])
        label = name
    else:
        return Nothing(f"{run.name} reads commands from its standard input")
    reader = Reader(run, name, label)
    after = reader.script(text, state)
    if after is not None:
        reader.end(text.count("\n") + 1, after)
    found = answer(label, reader.ends)
    if isinstance(found, Nothing) and reader.at_exit:
        return Unknown(f"{label} runs {reader.at_exit} when it ends", DECIDE, (), found.setcaps, found.notes)
    return found


def _options(run: Invocation) -> tuple[set[str], list[str]]:
    """(letters and names of options that are on, operands)."""
    found: set[str] = set()
    args = list(run.args)
    while args:
        word = args[0]
        if not word.startswith(("-", "+")) or word in ("-", "--"):
            break
        sure(word, f"an option of {run.name}")
        args.pop(0)
        if word.startswith("--"):
            if word in _LONG_WITH_VALUE and args:
                args.pop(0)
            continue
        for letter in word[1:]:
            found.add(letter) if word[0] == "-" else found.discard(letter)
            if letter in "oO" and args:
                found.add(args.pop(0))
    if args and args[0] in ("-", "--"):
        args.pop(0)
    return found, args


def _script(run: Invocation, name: str, state: State) -> str:
    """The file; bash looks along PATH where it is not in the working directory."""
    path = name if name.startswith("/") else posixpath.join(run.working_dir, name)
    try:
        node = run.files.resolve(os.fsencode(path)).node
    except InvalidInput:
        found = which(name, run, state) if "/" not in name else None
        if not found or not known(found) or not found.startswith("/"):
            raise Undecided(
                f"the image has no {name}, which {run.name} reads: a volume may have it", DECIDE
            ) from None
        node = run.files.resolve(os.fsencode(found)).node
    if node.kind is not Kind.FILE:
        raise Fails(f"{run.name}: {name} is not a regular file")
    if node.size > MAX_SCRIPT:
        raise Undecided(f"{name} has {node.size} bytes, more than are read of a script", DECIDE)
    data = run.files.read(node, MAX_SCRIPT)
    if data.startswith(b"\x7fELF"):
        raise Fails(f"{run.name}: {name} is a program, not a script")
    return data.decode("utf-8", "surrogateescape")


def other_shell(run: Invocation) -> Next:
    raise Undecided(f"{run.name} has a language of its own", DECIDE)


WRAPPERS: dict[str, Wrapper] = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "ksh", "mksh", "rbash"), shell),
    **dict.fromkeys(("zsh", "fish", "csh", "tcsh", "nu", "pwsh", "execlineb"), other_shell),
}
