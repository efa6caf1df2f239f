# SPDX-License-Identifier: Apache-2.0
"""Real engines with a runc that keeps a copy of every config.json it is given: the engine's own word, before any kernel."""

from __future__ import annotations

import json
import os
import shutil
import stat
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.verify import daemons

from caplet.verify.engines.podman import Podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from caplet.verify.engines.interface import RealEngine

RUNC = """\
#!/bin/sh
# runc, and a copy of config.json.
before=
for word; do
  case "$before" in
  --bundle|-b) cp "$word/config.json" "{kept}/config.$$.json" ;;
  esac
  before=$word
done
exec {runc} "$@"
"""

TOOLS = {
    "docker": ("dockerd", "runc"),
    "podman": ("podman", "runc", "conmon"),
    "containerd": ("containerd", "ctr", "runc"),
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """An engine, and where the copies are."""

    engine: RealEngine
    kept: str
    stack: ExitStack
    """Ends the sessions."""

    def configs(self) -> list[dict[str, Any]]:
        """Every config.json so far."""
        found = []
        for name in os.listdir(self.kept):
            with open(os.path.join(self.kept, name), encoding="utf-8") as file:
                found.append(json.load(file))
        return found


@contextmanager
def recording(name: str, work: str) -> Iterator[Recorded]:
    """The engine of that name below `work`; what it calls runc is found first on PATH."""
    kept, tools = os.path.join(work, "kept"), os.path.join(work, "bin")
    os.mkdir(kept)
    os.mkdir(tools)
    runc = os.path.join(tools, "runc")
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    with open(runc, "w", encoding="utf-8") as script:
        script.write(RUNC.format(kept=kept, runc=shutil.which("runc", path=path)))
    os.chmod(runc, stat.S_IRWXU)
    os.environ["PATH"], before = f"{tools}:{path}", os.environ.get("PATH", os.defpath)
    try:
        with ExitStack() as stack:
            engine: RealEngine = Podman(runc)
            if name != "podman":
                place = os.path.join(work, "engine")
                if name == "docker":
                    engine = stack.enter_context(daemons.docker(place))
                else:
                    engine = stack.enter_context(daemons.containerd_cri(place))
            yield Recorded(engine, kept, stack)
    finally:
        os.environ["PATH"] = before
