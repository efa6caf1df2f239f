# SPDX-License-Identifier: Apache-2.0
"""What a process said of its credentials while it did the calls of `perform`: lines of /proc/self/status, or of the probe."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from caplet.errors import CapletError
from caplet.kernel import syscalls as k
from caplet.kernel.caps import Caps
from caplet.kernel.credentials import Credentials, ThreadCaps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


HANDSHAKE = 3
"""Calls by which a process has its id maps written: be dumpable, ask, wait."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call came to."""

    error: int
    """errno; 0 where the call was done."""
    credentials: Credentials
    """Afterwards. The user namespace is not read; after an execve the ids are those that the process sees."""


@dataclass(frozen=True, slots=True)
class Performed:
    start: Credentials
    """Before the first call."""
    outcomes: tuple[Outcome, ...]
    """One for each call."""
    by_probe: bool = False
    """Read by the probe from the start: ids are those that the process sees."""


_STATUS = re.compile(
    r"Uid:\t(?P<uid>.*)\nGid:\t(?P<gid>.*)\n(?:.*\n)*?Groups:\t(?P<groups>.*)\n(?:.*\n)*?CapInh:\t(?P<inh>.*)\n"
    r"CapPrm:\t(?P<prm>.*)\nCapEff:\t(?P<eff>.*)\nCapBnd:\t(?P<bnd>.*)\nCapAmb:\t(?P<amb>.*)\n"
    r"NoNewPrivs:\t(?P<nnp>.)\n(?:.*\n)*?(?:Securebits (?P<securebits>.*)\n)"
)
_PROBE = re.compile(
    r"uid (?P<uid>.*)\ngid (?P<gid>.*)\ngroups(?P<groups>.*)\nCapInh (?P<inh>.*)\nCapPrm (?P<prm>.*)\n"
    r"CapEff (?P<eff>.*)\nCapBnd (?P<bnd>.*)\nCapAmb (?P<amb>.*)\nNoNewPrivs (?P<nnp>.)\n"
    r"Securebits (?P<securebits>.*)\nAT_SECURE (?P<at_secure>.)\nDumpable .\n"
)
_RESULT = re.compile(r"result (-?[0-9]+)\n")


def read_probe(text: str) -> Credentials:
    """The first report of the shipped probe in `text`, with the ids that the process sees."""
    match = _PROBE.search(text)
    if match is None:
        raise CapletError(f"not a report of the probe: {text[:200]!r}")
    return _credentials(match)


def _credentials(match: re.Match[str]) -> Credentials:
    uids, gids = (list(map(int, match[key].split())) for key in ("uid", "gid"))
    # The probe does not say the ids for files; execve makes them the effective ones.
    uids, gids = uids + uids[1:2] * (4 - len(uids)), gids + gids[1:2] * (4 - len(gids))
    sets = (Caps(int(match[key], 16)) for key in ("prm", "eff", "inh", "bnd", "amb"))
    return Credentials(
        uid=uids[0], euid=uids[1], suid=uids[2], fsuid=uids[3], gid=gids[0], egid=gids[1], sgid=gids[2], fsgid=gids[3],
        groups=tuple(map(int, match["groups"].split())),
        caps=ThreadCaps(*sets),
        securebits=int(match["securebits"], 16),
        no_new_privs=match["nnp"] == "1",
        at_secure=match.groupdict().get("at_secure") == "1",
    )  # fmt: skip


class Reader:
    """Reads what the child and the probes after it wrote, call by call."""

    def __init__(self, text: str, *, by_probe: bool) -> None:
        self._text = text
        self._by_probe = by_probe
        self._at = 0

    def performed(self, calls: Sequence[k.Syscall], first: int) -> Performed:
        start = self._report()
        for _ in range(first if self._by_probe else 0):
            if self._result():
                self._fail()
            start = self._report()
        return Performed(start, tuple(self._outcomes(calls, start)), self._by_probe)

    def _outcomes(self, calls: Sequence[k.Syscall], current: Credentials) -> Iterator[Outcome]:
        in_probe = self._by_probe
        for call in calls:
            if isinstance(call, k.Execve):
                error = self._result(optional=True)
                done = error is None
                if done or not in_probe:
                    current = self._report()
                in_probe = in_probe or done
                yield Outcome(error or 0, current)
                continue
            error = self._result()
            current = self._report()
            if in_probe and isinstance(call, k.UnshareUser) and call.has_maps:
                for _ in range(HANDSHAKE):
                    self._result()
                    current = self._report()
            yield Outcome(error or 0, current)

    def _result(self, *, optional: bool = False) -> int | None:
        match = _RESULT.match(self._text, self._at)
        if match is None and optional:
            return None
        if match is None:
            self._fail()
        self._at = match.end()
        return -min(0, int(match[1]))

    def _report(self) -> Credentials:
        pattern = _PROBE if self._text.startswith("uid", self._at) else _STATUS
        match = pattern.search(self._text, self._at)
        if match is None:
            self._fail()
        self._at = match.end()
        return _credentials(match)

    def _fail(self) -> NoReturn:
        raise CapletError(f"the process ended early: {self._text[self._at :]!r}")
