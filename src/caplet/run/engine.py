# SPDX-License-Identifier: Apache-2.0
"""Which engine the node has: `--on containerd:2.1`."""

from __future__ import annotations

from dataclasses import dataclass

from caplet.errors import InvalidInput
from caplet.kernel.caps import nearest
from caplet.runtimes import containerd
from caplet.runtimes.model import Version

ENGINES = {"containerd": tuple(Version(one.major, one.minor) for one in containerd.RELEASES)}
"""Engine and its releases that are known, oldest first."""


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine in one release: `containerd 2.1`."""

    name: str
    version: Version

    @property
    def release(self) -> Version:
        """Of a line, its newest patch."""
        return next((one for one in containerd.RELEASES if one.line == str(self.version)), self.version)

    @classmethod
    def parse(cls, text: str) -> Engine:
        """`containerd:2.1`; without a version the newest that is known. A patch release counts as its minor one."""
        name, _, number = text.partition(":")
        known = ENGINES.get(name)
        if known is None:
            raise InvalidInput(
                f"--on {text}: caplet run does as {_all()} would, and as no other engine yet{nearest(name, ENGINES)}",
                "leave --on out for the newest, or name a release: "
                + " or ".join(f"--on {one}:{versions[0]}" for one, versions in ENGINES.items()),
            )
        if not number:
            return cls(name, known[-1])
        version = _version(name, number)
        if Version(version.major, version.minor) not in known:
            near = min(known, key=lambda one: _distance(one, version))
            raise InvalidInput(
                f"--on {text}: known are {_shown(name)}", f"the nearest that is known: --on {name}:{near}"
            )
        return cls(name, version)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def _version(name: str, number: str) -> Version:
    try:
        return Version.parse(number)
    except InvalidInput as error:
        raise InvalidInput(f"--on {name}:{number}: {error.message}", f"known are {_shown(name)}") from None


def _all() -> str:
    return " or ".join(map(_shown, ENGINES))


def _shown(name: str) -> str:
    return f"{name} {ENGINES[name][0]} to {ENGINES[name][-1]}"


def _distance(one: Version, other: Version) -> tuple[int, int]:
    return abs(one.major - other.major), abs(one.minor - other.minor)
