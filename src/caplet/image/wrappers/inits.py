# SPDX-License-Identifier: Apache-2.0
"""Inits for containers: they start one program as a child, wait, and pass signals on. They change no credentials.

tini v0.19 src/tini.c (parse_args, spawn), which is Docker's docker-init too; dumb-init v1.2.5 dumb-init.c
(parse_command, main); catatonit v0.1.7 catatonit.c (main, spawn_pid1), which is Podman's --init.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.image.dynamic import read_dynamic
from caplet.image.wrappers.model import Fails, Nothing, Unknown
from caplet.image.wrappers.options import Options, parse

if TYPE_CHECKING:
    from caplet.image.wrappers.model import Invocation, Next, Wrapper

_TINI = Options("p:hvwgle:R:s", permute=True)
_DUMB_INIT = Options("hvVcr:", ("help", "single-child", "rewrite=", "verbose", "version"))
_CATATONIT = Options("ghLPV", ("version",), permute=True)


def tini(run: Invocation) -> Next:
    """Calls getopt() without `+`: with glibc, not with musl, it takes options from behind the program, too."""
    if run.args == ("--version",):
        return Nothing("tini prints its version")
    parsed = parse(run.name, run.args, _TINI)
    in_order = parse(run.name, run.args, replace(_TINI, permute=False))
    if in_order != parsed and _is_musl(run):
        parsed = in_order
    if parsed.has("-h", "-l"):
        return Nothing("tini prints its help or licence")
    return _child(run, parsed.operands, "tini")


_MAX_INIT = 4 << 20
"""Bytes of an init that are read: tini has 25 kB, static 1 MB."""


def _is_musl(run: Invocation) -> bool:
    """By its loader; the projects' own static builds are made with glibc."""
    if run.node is None:
        return False
    try:
        interpreter = read_dynamic(run.files.read(run.node, _MAX_INIT)).interpreter
    except InvalidInput:
        return False
    return interpreter is not None and b"musl" in interpreter


def dumb_init(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, _DUMB_INIT)
    if parsed.has("-h", "--help", "-V", "--version"):
        return Nothing("dumb-init prints its help or version")
    return _child(run, parsed.operands, "dumb-init")


def catatonit(run: Invocation) -> Next:
    parsed = parse(run.name, run.args, _CATATONIT)
    if parsed.has("-h", "-L", "-V", "--version"):
        return Nothing("catatonit prints its help, licence or version")
    if parsed.has("-P"):
        return Nothing("catatonit -P waits, and starts nothing")
    return _child(run, parsed.operands, "catatonit")


def _child(run: Invocation, argv: tuple[str, ...], name: str) -> Next:
    if not argv:
        raise Fails(f"{name} was given no program")
    return run.executes(argv, f"{name} starts its arguments as a child", forks=True)


def not_followed(run: Invocation) -> Next:
    """systemd, OpenRC's init, ...: services, not a program."""
    return Unknown(f"{run.name} starts services", "say with --then which program it starts")


WRAPPERS: dict[str, Wrapper] = {
    "tini": tini,
    "tini-static": tini,
    "docker-init": tini,
    "dumb-init": dumb_init,
    "catatonit": catatonit,
    "podman-init": catatonit,
    "systemd": not_followed,
    "openrc-init": not_followed,
}
