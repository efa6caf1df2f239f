# SPDX-License-Identifier: Apache-2.0
"""The answers to "what does this program execute next?", and the question: an `Invocation`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from caplet.image.node import Node
    from caplet.image.program import Files
    from caplet.kernel.credentials import Credentials
    from caplet.kernel.syscalls import Syscall


class Unsure(str):
    """An argument, or a `NAME=VALUE` of the environment, whose text stands for something that is only known at run time."""

    __slots__ = ()


ANY = "*"
"""In the place of a variable's name: the environment has others, too, and nobody knows which (`envFrom`)."""


class Undecided(Exception):
    """What is executed depends on something that is not known here. Ends a reading; `next_argv` makes it `Unknown`."""

    def __init__(self, why: str, decide: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.decide = decide


class Fails(Exception):
    """The wrapper ends with an error instead of executing anything."""


@dataclass(frozen=True, slots=True)
class SetcapAtRunTime:
    """A script runs setcap(8): it needs CAP_SETFCAP, and changes what a later execve of the file gives."""

    line: int
    argv: tuple[str, ...]
    certain: bool
    """False where it stands behind a condition that could not be decided."""


@dataclass(frozen=True, slots=True)
class Executes:
    """The program that is executed next, and the system calls on credentials that come before."""

    argv: tuple[str, ...]
    """Arguments that are known only at run time are `Unsure`."""
    calls: tuple[Syscall, ...] = ()
    """In the order in which they are made. A call that fails ends the wrapper, which executes nothing then."""
    env: tuple[str, ...] = ()
    """The environment of the next program, NAME=VALUE."""
    working_dir: str = "/"
    forks: bool = False
    """A child executes it, while the wrapper stays as it is."""
    certain: bool = True
    """False where a condition that run time decides may also let it end by itself. Ends with an error do not count."""
    user: str = ""
    """The user that the wrapper was told to become, as it was told: `gosu redis`."""
    why: str = ""
    """How the wrapper was read: "tini executes its arguments"."""
    setcaps: tuple[SetcapAtRunTime, ...] = ()
    notes: tuple[str, ...] = ()
    """What else is worth knowing: other programs that run before."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something is executed, but what is known only at run time."""

    why: str
    decide: str = ""
    """What would decide it, as an instruction."""
    candidates: tuple[tuple[str, ...], ...] = ()
    """Command lines that it may be."""
    setcaps: tuple[SetcapAtRunTime, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nothing:
    """It is not known to execute anything: an ordinary program, or a wrapper that ends by itself."""

    why: str = ""
    setcaps: tuple[SetcapAtRunTime, ...] = ()
    notes: tuple[str, ...] = ()
    fails: bool = False
    """It ends with an error, and `why` is that."""


Next: TypeAlias = Executes | Unknown | Nothing


@dataclass(frozen=True, slots=True)
class Invocation:
    """A running program, as far as the image tells."""

    name: str
    """Which program it is: `tini`, `gosu`, or the applet of a multi-call program."""
    argv: tuple[str, ...]
    """argv[0] and the arguments, as the program itself sees them."""
    env: Mapping[str, str]
    files: Files
    cred: Credentials | None = None
    """Who runs it, where that is known."""
    working_dir: str = "/"
    node: Node | None = None
    """The file itself."""
    multi_call: bool = False
    """It is one applet of busybox and its like."""

    @property
    def args(self) -> tuple[str, ...]:
        return self.argv[1:]

    def executes(
        self,
        argv: Iterable[str],
        why: str,
        *,
        calls: Iterable[Syscall] = (),
        env: Mapping[str, str] | None = None,
        working_dir: str | None = None,
        forks: bool = False,
        user: str = "",
    ) -> Executes:
        """The next program has the same surroundings, but for what is said."""
        return Executes(
            argv=tuple(argv),
            calls=tuple(calls),
            env=as_environ(self.env if env is None else env),
            working_dir=self.working_dir if working_dir is None else working_dir,
            forks=forks,
            user=user,
            why=why,
        )

    def credentials(self, need: str) -> Credentials:
        """Who runs it; Undecided where nobody said."""
        if self.cred is None:
            raise Undecided(f"{self.name} {need}, and who runs it is not known", "say as which user it runs")
        return self.cred


Wrapper: TypeAlias = Callable[[Invocation], Next]
"""Raises Undecided, or Fails, where it cannot say what is executed."""


def as_environ(env: Mapping[str, str]) -> tuple[str, ...]:
    """NAME=VALUE for each variable."""
    return tuple(
        Unsure(f"{name}={value}") if isinstance(value, Unsure) else f"{name}={value}"
        for name, value in env.items()
    )


def as_mapping(environ: Iterable[str]) -> dict[str, str]:
    """The variables; as getenv(3) and the shells see them, the last of one name counts for `find_program`, too."""
    env: dict[str, str] = {}
    for variable in environ:
        name, equals, value = variable.partition("=")
        if equals:
            env[name] = Unsure(value) if isinstance(variable, Unsure) else value
    return env


def sure(text: str, what: str) -> str:
    """The text itself, where it is known; Undecided where it only stands for what run time brings."""
    if isinstance(text, Unsure):
        raise Undecided(f"{what} is {text}, which is known only at run time", "say which program runs then")
    return text
