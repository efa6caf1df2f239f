"""Every combination of what decides over one capability in one execve, for the model and the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from tests.kernel.programs import Drawn, File

from caplet.kernel import syscalls as k
from caplet.kernel.caps import NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Securebits
from caplet.kernel.execve import Program
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.kernel.worlds import World

CAP = Cap.NET_BIND_SERVICE
ONE = Caps.of(CAP)
HAS = (NO_CAPS, ONE)

USERS = ((0, 0), (1000, 1000), (0, 1000), (1000, 0))
"""Real and effective."""

MODES = ((0o755, 0), (0o4755, 0), (0o4755, 1001), (0o6755, 0))
"""With the file's owner."""

FILES = (None, *(FileCaps(p, i, effective=e) for p, i, e in product(HAS, HAS, (False, True))))


@dataclass(frozen=True)
class Case:
    permitted: Caps
    inheritable: Caps
    ambient: bool
    bounding: bool
    user: tuple[int, int]
    noroot: bool
    no_new_privs: bool
    file: FileCaps | None
    mode: tuple[int, int]

    def calls(self, start: Credentials, path: str) -> list[k.Syscall]:
        real, effective = self.user
        every = start.caps.permitted
        mode, owner = self.mode
        return [
            k.Capset(every, every, self.inheritable),
            *(() if self.bounding else (k.CapbsetDrop(CAP),)),
            k.SetSecurebits(Securebits.KEEP_CAPS | (Securebits.NOROOT if self.noroot else 0)),
            k.Setresuid(real, effective, effective),
            k.Capset(self.permitted, self.permitted, self.inheritable),
            *((k.AmbientRaise(CAP),) if self.ambient else ()),
            *((k.SetNoNewPrivs(),) if self.no_new_privs else ()),
            k.Execve(Program(caps=self.file, mode=mode, uid=owner), path),
        ]


def cases() -> Iterator[Case]:
    booleans = (False, True)
    for values in product(HAS, HAS, booleans, booleans, USERS, booleans, booleans, FILES, MODES):
        case = Case(*values)
        if not case.ambient or (case.permitted and case.inheritable):
            yield case


def drawn(case: Case, start: Credentials, world: World) -> Drawn:
    mount = world.mounts[0][0]
    calls = case.calls(start, f"{mount.path}/program0")
    last = calls[-1]
    assert isinstance(last, k.Execve)
    return Drawn(
        0,
        forked=False,
        shared=False,
        calls=calls,
        files=[File(f"{mount.setup}/program0", last.program, None)],
    )
