# SPDX-License-Identifier: Apache-2.0
"""What a program executes next: one step from a `Program` that was found in the image.

    program = find_program(files, argv, env)
    step = next_argv(program, argv, env, files, cred)
    if isinstance(step, Executes):
        cred = apply_all(cred, step.calls)
        program = find_program(files, step.argv, step.env, step.working_dir)     # and so on

A program is told by the name of the file that runs, links resolved; a multi-call program (busybox, toybox) by the name it
is called by.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.program import BINPRM_BUF_SIZE, shebang
from caplet.image.wrappers import capsh, inits, noexec, setpriv, supervisors, surroundings, users
from caplet.image.wrappers.model import (
    Executes,
    Fails,
    Invocation,
    Next,
    Nothing,
    Undecided,
    Unknown,
    Wrapper,
    as_mapping,
)
from caplet.image.wrappers.shell import wrapper as shell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from caplet.image.program import Files, Program
    from caplet.kernel.credentials import Credentials

__all__ = ["Executes", "Next", "Nothing", "Unknown", "falls_back_to_sh", "next_argv"]

MULTI_CALL = frozenset({"busybox", "busybox.static", "busybox.nosuid", "busybox.suid", "toybox", "coreutils"})

WRAPPERS: dict[str, Wrapper] = {
    **inits.WRAPPERS,
    **users.WRAPPERS,
    **setpriv.WRAPPERS,
    **capsh.WRAPPERS,
    **surroundings.WRAPPERS,
    **supervisors.WRAPPERS,
    **shell.WRAPPERS,
}

_COREUTILS = "--coreutils-prog-shebang="
_DECORATED = re.compile(
    r"(tini|dumb-init|gosu|su-exec|catatonit)(?:-static)?(?:[-_](?:muslc?|linux|v?[0-9][0-9.]*|amd64|arm64|x86_64|aarch64|armhf|"
    r"arm|i386|ppc64le|ppc64el|s390x|riscv64))*"
)
"""Names as the projects' release files have them: tini-static-amd64, dumb-init_1.2.5_x86_64."""


def next_argv(
    program: Program,
    argv: Sequence[str],
    env: Iterable[str],
    files: Files,
    cred: Credentials | None = None,
    working_dir: str = "/",
) -> Next:
    """What the started program executes next, as far as its command line and the image tell.

    `env` is NAME=VALUE, as for `find_program`; one that is only known at run time is an `Unsure`. `cred` is who runs it:
    `$(id -u)` in a script and the sets of setpriv depend on it.
    """
    if program.problem is not None or not program.chain:
        return Nothing("it does not start")
    run = _invocation(program, tuple(argv), as_mapping(env), files, cred, working_dir)
    wrapper = WRAPPERS.get(run.name)
    if program.chain[0].path == b"/init" and supervisors.is_s6_overlay(files):
        run, wrapper = replace(run, argv=tuple(argv)), supervisors.s6_overlay_init
    if wrapper is None:
        return Nothing()
    try:
        return wrapper(run)
    except Undecided as undecided:
        return Unknown(undecided.why, undecided.decide)
    except Fails as fails:
        return Nothing(str(fails), fails=True)


def falls_back_to_sh(program: Program, files: Files) -> bool:
    """Whether it hands a script without a #! line to /bin/sh."""
    return noexec.falls_back_to_sh(_invocation(program, program.argv, {}, files, None, "/"))


def _invocation(
    program: Program,
    argv: tuple[str, ...],
    env: dict[str, str],
    files: Files,
    cred: Credentials | None,
    working_dir: str,
) -> Invocation:
    seen = argv_of_interpreter(program, argv, env, files)
    name = os.fsdecode(program.file.path).rpartition("/")[2]
    multi_call = name in MULTI_CALL
    if name == "coreutils" and len(seen) > 1 and seen[1].startswith(_COREUTILS):
        # A script of one line stands for each program (coreutils 8.30 and later, src/coreutils.c, as Red Hat's images have it).
        name, seen = seen[1].removeprefix(_COREUTILS), seen[2:]
    elif name in MULTI_CALL:
        applet = _base(seen[:1]).removeprefix("-")
        if applet in MULTI_CALL and len(seen) > 1:
            seen = seen[1:]
            applet = _base(seen)
        name = f"busybox {applet}" if f"busybox {applet}" in WRAPPERS else applet
    decorated = _DECORATED.fullmatch(name)
    return Invocation(
        decorated[1] if decorated else name,
        seen,
        env,
        files,
        cred,
        working_dir,
        program.file.node,
        multi_call,
    )


def _base(argv: tuple[str, ...]) -> str:
    """The last part of argv[0]."""
    return next(iter(argv), "").rpartition("/")[2]


def argv_of_interpreter(
    program: Program, argv: tuple[str, ...], env: dict[str, str], files: Files
) -> tuple[str, ...]:
    """What the last file of the chain gets as argv: load_script() puts the interpreter, its argument and the script first."""
    name = _started_as(program, argv, env, files)
    for script, following in zip(program.chain, program.chain[1:], strict=False):
        line = shebang(files.read(script.node, BINPRM_BUF_SIZE))
        interpreter = os.fsdecode(line[0] if line is not None else following.path)
        argument = (os.fsdecode(following.argument),) if following.argument else ()
        argv = (interpreter, *argument, name, *argv[1:])
        name = interpreter
    return argv


def _started_as(program: Program, argv: tuple[str, ...], env: dict[str, str], files: Files) -> str:
    """The path that execve(2) is called with."""
    if "/" in argv[0]:
        return argv[0]
    for directory in env.get("PATH", "").split(":"):
        path = f"{directory}/{argv[0]}"
        try:
            if directory and files.resolve(os.fsencode(path)).node is program.chain[0].node:
                return path
        except InvalidInput:
            continue
    return os.fsdecode(program.chain[0].path)
