# SPDX-License-Identifier: Apache-2.0
"""What every real engine offers: is it here, in which version, and a session that runs containers of one image."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from caplet.errors import CapletError, Unavailable
from caplet.run.installed import installed

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from caplet.image.image import Image
    from caplet.kernel.caps import Caps
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.verify.seen import Seen


@dataclass(frozen=True, slots=True)
class Versions:
    """An engine and the OCI runtime that it calls, as they call themselves."""

    engine: str
    engine_version: str
    """Empty where the engine is caplet's own description of one."""
    runtime: str
    """Empty where nobody tells."""
    runtime_version: str
    described: str = ""
    """As `explain --on` spells it, where the engine is only described."""
    default_caps: Caps | None = None
    """What the engine's configuration names in place of its own defaults; None: nothing."""

    def __str__(self) -> str:
        engine = f"{self.engine} {self.engine_version}"
        return f"{engine} / {self.runtime} {self.runtime_version}" if self.runtime else engine

    @property
    def node(self) -> str:
        """As `explain --on` spells it."""
        if self.described:
            return self.described
        engine = f"{self.engine}:{number(self.engine_version)}"
        return f"{engine}+{self.runtime}:{number(self.runtime_version)}" if self.runtime else engine


def number(version: str) -> str:
    """Without what a distribution adds: `20.10.24+dfsg1`."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return match[1] if match else version


class Session(Protocol):
    """An engine that has the image."""

    def run(self, pod: PodSpec, container: Container, seconds: float = ...) -> Seen:
        """Run the container; where it has not ended after `seconds`, end it."""
        ...


class RealEngine(Protocol):
    """An engine of this machine."""

    @property
    def name(self) -> str: ...

    def lacks(self) -> str:
        """What it needs and is not here, to be read after "docker needs": empty where nothing is missing."""
        ...

    def versions(self) -> Versions:
        """Asked of the engine. Raises Unavailable where it does not answer."""
        ...

    def session(self, image: Image) -> AbstractContextManager[Session]:
        """Give it the image, and take back everything in the end."""
        ...


SECONDS = 1.0
"""How long a container may run by default: what is looked for is there in the first milliseconds."""


def said(*command: str) -> str:
    """Its standard output."""
    program = installed(command[0])
    if program is None:
        raise Unavailable(f"{command[0]} is not installed")
    done = subprocess.run((program, *command[1:]), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CapletError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()


def runtime_version(name: str) -> str:
    """`runc version 1.1.5+ds1`, `crun version 1.8.1`: the first line of --version."""
    return said(name, "--version").splitlines()[0].split()[-1]
