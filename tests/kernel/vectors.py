"""What the kernel's and libcap's own tests state, as system calls for both the model and the kernel.

The kernel's is `tools/testing/selftests/capabilities/test_execve.c` of Linux 6.12: 12 results as uid 0, 9 as uid 1.
libcap's is `progs/quicktest.sh` of 2.76, a list of capsh(1) command lines that must succeed or must fail; `capsh` here turns
the options into the system calls that capsh makes of them.
"""

from __future__ import annotations

import contextlib
import shlex
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from caplet.kernel import captext
from caplet.kernel import syscalls as k
from caplet.kernel.caps import LAST_CAP, NO_CAPS, Cap, Caps
from caplet.kernel.credentials import Credentials, Denied
from caplet.kernel.execve import S_ISGID, S_ISUID, Program
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NBS, RAW = Caps.of(Cap.NET_BIND_SERVICE), Caps.of(Cap.NET_RAW)


@dataclass(frozen=True)
class Vector:
    """A test: the calls that lead to it, and what must hold after the last."""

    name: str
    calls: tuple[k.Syscall, ...]
    error: int = 0
    """errno of the last call."""
    eipa: str | None = None
    """The sets that must hold CAP_NET_BIND_SERVICE then, of `eipa`."""


def held(cred: Credentials, cap: Cap = Cap.NET_BIND_SERVICE) -> str:
    sets = cred.caps
    named = ("e", sets.effective), ("i", sets.inheritable), ("p", sets.permitted), ("a", sets.ambient)
    return "".join(name for name, caps in named if cap in caps)


def selftests(start: Credentials) -> list[Vector]:
    return [*_selftests(start, 0), *_selftests(start, 1)]


def _selftests(start: Credentials, uid: int) -> list[Vector]:
    """do_tests(). capng_apply() is capset(2); every file is the caller's own, of mode 0700 and more."""
    every = start.caps.permitted
    mine = Program(uid=uid, gid=start.gid, mode=0o700)
    enter = (k.SetKeepcaps(True), k.Setresuid(uid, uid, k.KEEP), k.Capset(every, every, NO_CAPS))
    without_raw = every - RAW
    raw_inheritable = (*enter, k.Capset(without_raw, without_raw, RAW))
    inheritable = (*raw_inheritable, k.Capset(without_raw, without_raw, RAW | NBS))
    raised = (*inheritable, k.AmbientRaise(Cap.NET_BIND_SERVICE))
    dropped = (
        *raised,
        k.AmbientClearAll(),
        k.AmbientRaise(Cap.NET_BIND_SERVICE),
        k.Capset(without_raw, without_raw, RAW),
    )
    root = uid == 0
    vectors = [
        Vector("exec", (*enter, k.Execve(mine)), eipa="ep" if root else ""),
        Vector("raise what is not inheritable", (*enter, k.AmbientRaise(Cap.NET_BIND_SERVICE)), error=1),
        Vector("raise what is not permitted", (*raw_inheritable, k.AmbientRaise(Cap.NET_RAW)), error=1),
        Vector("raise", raised, eipa="eipa"),
        Vector("dropping inheritable drops ambient", dropped, eipa="ep"),
        Vector("+i", (*inheritable, k.Execve(mine)), eipa="eip" if root else "i"),
        Vector("+ia", (*raised, k.Execve(mine)), eipa="eipa"),
    ]
    group_root = replace(mine, gid=0, mode=S_ISGID | 0o710)
    group_other = replace(mine, gid=start.egid + 1, mode=S_ISGID | 0o710)
    other_group = (*raised, k.Setresgid(1, 1, 1))
    if root:
        vectors += [
            Vector("+ia, suidroot", (*raised, k.Execve(replace(mine, mode=S_ISUID | 0o700))), eipa="eipa"),
            Vector(
                "+ia, suidnonroot", (*raised, k.Execve(replace(mine, uid=1, mode=S_ISUID | 0o700))), eipa="ip"
            ),
            Vector("+ia, sgidroot", (*raised, k.Execve(group_root)), eipa="eipa"),
            Vector("gid != 0, +ia, sgidroot", (*other_group, k.Execve(group_root)), eipa="eip"),
            Vector("+ia, sgidnonroot", (*raised, k.Execve(group_other)), eipa="eip"),
        ]
    else:
        vectors += [
            Vector("+ia, sgidnonroot", (*raised, k.Execve(group_other)), eipa="i"),
            Vector("gid != 0, +ia, sgidroot", (*other_group, k.Execve(group_root)), eipa="i"),
        ]
    return [replace(vector, name=f"uid {uid}: {vector.name}") for vector in vectors]


NOBODY = 65534
MODES = {"PURE1E_INIT": 0xEF, "PURE1E": 0xEF, "NOPRIV": 0xEF}
"""CAP_SECURED_BITS_AMBIENT, `libcap/cap_proc.c`."""

SUID_ROOT = Program(mode=0o4755)
SHELL = Program()


@dataclass(frozen=True)
class QuickTest:
    """One line of quicktest.sh; `$nouid` is 65534, `$secbits` is 0xef."""

    passes: bool
    line: str
    files: Mapping[str, Program] = field(default_factory=dict)


def _privileged(text: str | None, rootid: int | None = None) -> dict[str, Program]:
    caps = None if text is None else FileCaps.of_sets(captext.from_text(text))
    return {"./privileged": Program(caps=caps and replace(caps, rootid=rootid))}


TCAPSH = {"./tcapsh": SUID_ROOT}
FORCED = _privileged("cap_setuid,cap_setgid=ep")
INHERITED = _privileged("cap_setuid,cap_setgid=ei")
EMPTY = _privileged("=")
NONE = _privileged(None)
SCRIPT = {"./hack.sh": Program(mode=0o6755, interpreter=SHELL)}
OPEN_SCRIPT = {"./hack.sh": Program(interpreter=SHELL)}
NAMESPACED = _privileged("all=ep", rootid=1)

QUICKTESTS = (
    QuickTest(True, "--print"),
    QuickTest(True, "--current"),
    QuickTest(True, "== == == --modes"),
    QuickTest(True, "--inh=cap_chown --mode=PURE1E --print --inmode=PURE1E"),
    QuickTest(True, "--mode=NOPRIV --print --inmode=NOPRIV"),
    QuickTest(True, "--mode=PURE1E --print --mode=NOPRIV --inmode=NOPRIV"),
    QuickTest(False, "--mode=NOPRIV --print --mode=PURE1E"),
    QuickTest(False, "--user=nobody --mode=NOPRIV --print -- ./privileged", FORCED),
    QuickTest(True, "--mode=PURE1E --iab='!%cap_chown,cap_setuid'"),
    QuickTest(True, "--keep=0 --keep=1 --keep=0 --keep=1 --print"),
    QuickTest(
        True,
        '--uid=1 --current -- -c "./tcapsh --keep=1 --caps=\\"cap_net_raw,cap_net_bind_service=ip\\" --current --uid=1 --current '
        '--caps=\\"cap_net_raw,cap_net_bind_service=pie\\" --current"',
        TCAPSH,
    ),
    QuickTest(
        True,
        '--uid=1 --current -- -c "./tcapsh --caps=\\"cap_net_raw,cap_net_bind_service=ip cap_setuid=p\\" --current --cap-uid=2 '
        '--current --caps=\\"cap_net_raw,cap_net_bind_service=pie\\" --current"',
        TCAPSH,
    ),
    QuickTest(
        True,
        '--uid=1 -- -c "./tcapsh --keep=1 --caps=\\"cap_net_raw,cap_net_bind_service=ip\\" --uid=1 --forkfor=10 --caps= --current '
        '--killit=9 --current"',
        TCAPSH,
    ),
    QuickTest(True, "--secbits=42 --print"),
    QuickTest(False, "--secbits=32 --keep=1 --keep=0 --print"),
    QuickTest(True, "--secbits=10 --keep=0 --keep=1 --print"),
    QuickTest(False, '--secbits=47 -- -c "./tcapsh --uid=65534"', TCAPSH),
    QuickTest(False, '--secbits=47 --print -- -c "./capsh --uid=65534"', {"./capsh": SHELL}),
    QuickTest(True, '--secbits=0x2f --print -- -c "./privileged --uid=65534"', FORCED),
    QuickTest(False, '--drop=cap_setuid --secbits=0x2f --print -- -c "./privileged --uid=65534"', FORCED),
    QuickTest(False, '--caps="=ep cap_setpcap-ep" --drop=cap_setuid --current'),
    QuickTest(True, '--strict --caps="cap_setpcap=ep" --drop=cap_setuid --current'),
    QuickTest(False, '--strict --caps="cap_setpcap=p" --drop=cap_setuid --current'),
    QuickTest(False, '--strict --caps="=ep cap_setpcap-e" --drop=cap_setuid --current'),
    QuickTest(False, '--strict --caps="cap_setpcap=p" --inh=cap_chown --current'),
    QuickTest(True, '--caps="cap_setpcap=p" --inh=cap_chown --current'),
    QuickTest(True, '--strict --caps="cap_chown=p" --inh=cap_chown --current'),
    QuickTest(
        True,
        "--secbits=47 --inh=cap_setuid,cap_setgid --drop=cap_setuid --uid=1 --print -- -c "
        '"./privileged --uid=65534"',
        INHERITED,
    ),
    QuickTest(True, "--uid=1 --inh=none --print -- ./hack.sh --has-none", SCRIPT),
    QuickTest(
        True, "--keep=1 --uid=65534 --caps=cap_setpcap=ep --drop=all --secbits=0xef --noamb --caps= --print"
    ),
    QuickTest(True, "--chroot=/"),
    QuickTest(True, '-- -c "./capsh --chroot=/ =="', {"./capsh": SHELL}),
    QuickTest(True, "--noamb"),
    QuickTest(
        True,
        "--keep=1 --uid=65534 --inh=cap_setuid --addamb=cap_setuid -- ./hack.sh --has-a=cap_setuid",
        OPEN_SCRIPT,
    ),
    QuickTest(
        False,
        '--keep=1 --uid=65534 --inh=cap_setuid --addamb=cap_setuid -- -c "./privileged --current --uid=1"',
        EMPTY,
    ),
    QuickTest(
        True,
        '--keep=1 --uid=65534 --strict --caps="cap_setuid=p cap_setpcap=ep" --inh=cap_setuid --addamb=cap_setuid --current',
    ),
    QuickTest(
        True,
        '--keep=1 --uid=65534 --strict --caps="cap_setuid=p" --inh=cap_setuid --addamb=cap_setuid --current',
    ),
    QuickTest(
        True,
        '--keep=1 --uid=65534 --strict --iab="!^cap_setuid" --caps="cap_setuid=pi" --current --delamb=cap_setuid --current',
    ),
    QuickTest(
        True,
        '--keep=1 --uid=65534 --inh=cap_setuid --addamb=cap_setuid -- -c "./privileged --current --uid=1"',
        NONE,
    ),
    QuickTest(True, "--iab='!%cap_chown,^cap_setpcap,cap_setuid'"),
    QuickTest(False, "--mode=PURE1E --iab='!%cap_chown,^cap_setuid'"),
    QuickTest(False, '--secbits=0xef --noamb --print -- -c "./privileged --uid=65534"', NAMESPACED),
)


class Failed(Exception):
    pass


class Capsh:
    """Turns a command line of capsh(1) into system calls; the model tells it what it would read of itself."""

    def __init__(self, start: Credentials, files: Mapping[str, Program]) -> None:
        self.calls: list[k.Syscall] = []
        self._start = start
        self._cred = start
        self._files = files
        self._strict = False

    def run(self, line: str) -> bool:
        """Whether capsh would exit with 0."""
        try:
            self._options(shlex.split(line))
        except (Denied, Failed):
            return False
        return True

    def _options(self, words: list[str]) -> None:
        self._strict = False
        while words:
            word = words.pop(0)
            if word == "==":
                self._call(k.Execve(SHELL))
                self._strict = False
            elif word == "--":
                self._shell(words)
                return
            else:
                self._option(*word.partition("=")[::2])

    def _shell(self, words: list[str]) -> None:
        """bash, as a script's interpreter or with a command; what it runs is again a capsh."""
        if words[0] == "-c":
            words = shlex.split(words[1])
            self._call(k.Execve(SHELL))
        self._call(k.Execve(self._files[words[0]]))
        self._options(words[1:])

    def _call(self, call: k.Syscall) -> None:
        self.calls.append(call)
        self._cred = k.apply(self._cred, call)

    def _try(self, call: k.Syscall) -> None:
        with contextlib.suppress(Denied):
            self._call(call)

    def _option(self, name: str, value: str) -> None:
        match name:
            case "--print" | "--current" | "--modes" | "--forkfor" | "--killit":
                pass
            case "--strict":
                self._strict = not self._strict
            case "--keep":
                self._call(k.SetKeepcaps(value == "1"))
            case "--secbits":
                self._call(k.SetSecurebits(int(value, 0)))
            case "--uid":
                self._call(k.Setuid(int(value)))
            case "--cap-uid":
                self._cap_setuid(int(value))
            case "--user":
                self._cap_setgroups(NOBODY)
                self._cap_setuid(NOBODY)
            case "--caps":
                self._set_proc(captext.from_text(value), need=self._needs_setpcap())
            case "--inh":
                self._set_proc(
                    replace(self._proc(), inheritable=Caps.parse(value)), need=self._needs_setpcap()
                )
            case "--drop":
                self._drop(Caps.parse(value))
            case "--mode":
                self._set_mode(value)
            case "--inmode":
                self._check(self._mode() == value)
            case "--iab":
                self._iab(value)
            case "--addamb":
                self._each(k.AmbientRaise, Caps.parse(value))
            case "--delamb":
                self._each(k.AmbientLower, Caps.parse(value))
            case "--noamb":
                self._call(k.AmbientClearAll())
            case "--chroot":
                self._chroot()
            case "--has-a":
                self._check(Caps.parse(value) <= self._cred.caps.ambient)
            case "--has-none":
                self._check(not self._cred.caps.permitted)
            case _:
                raise AssertionError(name)

    def _check(self, holds: bool) -> None:
        if not holds:
            raise Failed

    def _each(self, call: type[k.AmbientRaise | k.AmbientLower], caps: Iterable[int]) -> None:
        for cap in caps:
            self._call(call(cap))

    def _proc(self) -> captext.Sets:
        """cap_get_proc(3)."""
        sets = self._cred.caps
        return captext.Sets(sets.effective, sets.inheritable, sets.permitted)

    def _capset(self, sets: captext.Sets) -> k.Capset:
        """cap_set_proc(3); "all" is what this machine has."""
        ours = self._start.caps.permitted
        return k.Capset(sets.permitted & ours, sets.effective & ours, sets.inheritable)

    def _raised(self, cap: Cap) -> captext.Sets:
        return replace(self._proc(), effective=self._proc().effective | Caps.of(cap))

    def _needs_setpcap(self) -> bool:
        """will_need_setpcap()."""
        return not self._strict and Cap.SETPCAP not in self._cred.caps.effective

    def _set_proc(self, sets: captext.Sets, *, need: bool) -> None:
        if need:
            self._try(self._capset(self._raised(Cap.SETPCAP)))
        self._call(self._capset(sets))

    def _drop(self, caps: Caps) -> None:
        """arg_drop()."""
        before, need = self._proc(), self._needs_setpcap()
        for cap in caps:
            if need:
                self._call(self._capset(self._raised(Cap.SETPCAP)))
            self._call(k.CapbsetDrop(cap))
            if need:
                self._call(self._capset(before))

    def _cap_setuid(self, uid: int) -> None:
        working = self._raised(Cap.SETUID)
        self._call(k.SetKeepcaps(True))
        self._call(self._capset(working))
        self._call(k.Setuid(uid))
        self._call(k.SetKeepcaps(False))
        self._try(self._capset(replace(working, effective=NO_CAPS)))

    def _cap_setgroups(self, gid: int) -> None:
        working = self._raised(Cap.SETGID)
        self._call(self._capset(working))
        self._call(k.Setgid(gid))
        self._call(k.Setgroups((gid,)))
        self._try(self._capset(replace(working, effective=NO_CAPS)))

    def _set_mode(self, mode: str) -> None:
        """_cap_set_mode()."""
        working = self._raised(Cap.SETPCAP)
        self._call(self._capset(working))
        if mode != "PURE1E":
            working = replace(working, inheritable=NO_CAPS)
        self._call(k.AmbientClearAll())
        self._call(k.SetSecurebits(MODES[mode]))
        if mode == "NOPRIV":
            for cap in range(LAST_CAP + 1):
                self._try(k.CapbsetDrop(cap))
            working = replace(working, permitted=NO_CAPS)
            self._call(k.SetNoNewPrivs())
        self._call(self._capset(replace(working, effective=NO_CAPS)))

    def _mode(self) -> str:
        """cap_get_mode(3)."""
        sets = self._cred.caps
        if self._cred.securebits != MODES["PURE1E"] or sets.ambient:
            return "UNCERTAIN"
        if sets.inheritable:
            return "PURE1E"
        return "PURE1E_INIT" if sets.permitted or sets.bounding else "NOPRIV"

    def _iab(self, text: str) -> None:
        """cap_iab_from_text(3), cap_iab_set_proc(3)."""
        inheritable = ambient = blocked = NO_CAPS
        for word in text.split(","):
            name = word.lstrip("!^%")
            flags, cap = word[: -len(name)] or "%", Caps.parse(name)
            inheritable |= cap if set(flags) & set("^%") else NO_CAPS
            ambient |= cap if "^" in flags else NO_CAPS
            blocked |= cap if "!" in flags else NO_CAPS
        before = replace(self._proc(), inheritable=inheritable)
        now = self._cred.caps
        raising = bool(blocked & now.bounding) or not inheritable <= now.inheritable | now.permitted
        working = replace(self._raised(Cap.SETPCAP), inheritable=inheritable) if raising else before
        self._call(self._capset(working))
        self._call(k.AmbientClearAll())
        self._each(k.AmbientRaise, ambient)
        for number in blocked & now.bounding:
            self._call(k.CapbsetDrop(number))
        self._try(self._capset(before))

    def _chroot(self) -> None:
        before = self._proc()
        self._call(self._capset(self._raised(Cap.SYS_CHROOT)))
        self._check(self._cred.capable(Cap.SYS_CHROOT))
        self._call(self._capset(before))
