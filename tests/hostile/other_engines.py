# SPDX-License-Identifier: Apache-2.0
"""What Podman (overlay and vfs) and umoci make of the cases: is there a note of difference just where they differ?

    python -m tests.hostile.other_engines links whiteouts

Some seconds a case, so no test. Docker is asked by hand: its notes were made with Docker 20.10.24 (overlay2; `docker
load`, then the directories of `docker image inspect`) and with moby/go-archive v0.3.3 (UntarUncompressed into one
directory a layer, mounted as an overlay).
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from tests.hostile.case import Case, Seen, write_image
from tests.hostile.engines import Answer, privileged
from tests.hostile.tables import cases
from tests.hostile.test_engines import scanned
from tests.layouts import Layout

from caplet.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {"podman": ("podman-overlay", "podman-vfs"), "vfs": ("podman-vfs",), "umoci": ("umoci",)}
"""What a note calls an engine -> what was asked. A note to Podman is right if one of its drivers differs."""


def call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def umoci(work: str, layout: str) -> Answer:
    done = call("umoci", "unpack", "--image", f"{layout}:latest", f"{work}/bundle")
    return done.stderr if done.returncode else privileged(f"{work}/bundle/rootfs")


def podman(driver: str) -> Callable[[str, str], Answer]:
    def ask(work: str, layout: str) -> Answer:
        store = f"{work}/{driver}"
        base = ("podman", "--root", f"{store}/root", "--runroot", f"{store}/run", "--storage-driver", driver)
        pulled = call(*base, "pull", "--quiet", f"oci:{layout}:latest")
        if pulled.returncode:
            return pulled.stderr
        image = pulled.stdout.strip().splitlines()[-1]
        try:
            return privileged(call(*base, "image", "mount", image).stdout.strip())
        finally:
            call(*base, "image", "umount", image)
            call("umount", "-l", f"{store}/root/overlay")

    return ask


ENGINES = {"podman-overlay": podman("overlay"), "podman-vfs": podman("vfs"), "umoci": umoci}


def differing(case: Case) -> tuple[set[str], str]:
    """The engines that see something else than containerd's way, and what they said."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as unnamed:
        work = os.path.join(unnamed, "x")  # Podman refuses a path with `_` at the end of a name
        os.mkdir(work)
        layout = Layout(os.path.join(work, "image"))
        write_image(layout, case.layers, "latest")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            run(["scan", "-o", "json", f"oci:{layout.path}"])
        mine = scanned(out.getvalue())
        answers = {name: ask(work, layout.path) for name, ask in ENGINES.items()}
        found = {name for name, theirs in answers.items() if theirs != mine}
        return found, "\n".join(f"    {name}: {str(answers[name])[:300]}" for name in sorted(found))


def main(tables: list[str]) -> int:
    wrong = 0
    for name, case in cases(*tables).items():
        if not case.layers or case.apart or not isinstance(case.expected, Seen):
            continue
        found, said = differing(case)
        noted = {name for name in case.expected.divergent if name in NAMES}
        missing = {one for one in found if not any(one in NAMES[name] for name in noted)}
        idle = {name for name in noted if not found & set(NAMES[name])}
        if missing or idle:
            wrong += 1
            print(
                f"{name}: without a note {sorted(missing)}, noted for nothing {sorted(idle)}\n{said}",
                flush=True,
            )
    print(f"{wrong} cases differ from their notes")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
