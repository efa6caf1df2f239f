# SPDX-License-Identifier: Apache-2.0
"""Which program somebody means who does not give its path: for hints, where a guess is better than nothing.

A wrapper (tini, gosu, env) or an entrypoint script executes what its arguments name. Which argument that is, only the
wrapper knows; the first one that is a compiled program of the image is a good guess.
"""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from caplet.image.interpreters import runs
from caplet.image.program import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from caplet.image.config import ImageConfig
    from caplet.image.program import Files

MAX_WORDS = 32
"""Arguments that are looked at: each is looked up in every directory of PATH."""


def named(files: Files, config: ImageConfig, name: bytes) -> bytes | None:
    """The file that a name without a slash in front means: from the root, else along the image's PATH."""
    for argv0 in (b"/" + name.lstrip(b"./"), name):
        program = find_program(files, [os.fsdecode(argv0)], config.env)
        if program.chain:
            return program.chain[0].path
    return None


def behind(files: Files, config: ImageConfig, argv: Sequence[str]) -> bytes | None:
    """The program that a wrapper or script probably starts, by its arguments; None where nothing tells."""
    for word in _words(argv[1:]):
        program = find_program(files, [word], config.env, config.working_dir or "/")
        if program.problem is None and len(program.chain) == 1 and runs(program.file.path) is None:
            return program.file.path
    return None


def _words(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, and the words of those that are command lines (`sh -c "exec app -v"`); no options, no assignments."""
    for argument in arguments[:MAX_WORDS]:
        for word in _split(argument)[:MAX_WORDS]:
            if word and not word.startswith("-") and "=" not in word and "\0" not in word:
                yield word


def _split(argument: str) -> list[str]:
    try:
        return shlex.split(argument)
    except ValueError:  # no shell's syntax: an unpaired quote
        return argument.split()
