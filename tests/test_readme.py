"""The README's sessions are run, and their output is the README's, digests included."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SESSIONS = re.findall(r"```console\n\$ caplet (.*)\n((?:.*\n)*?)```", (ROOT / "README.md").read_text())


def caplet(directory: Path, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "caplet", *arguments],
        cwd=directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout + (result.stderr if arguments[0] == "run" else "")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the README's reader stands: the image `oci:web` of a server and the example's Pod."""
    made = tmp_path_factory.mktemp("readme")
    shutil.copy(ROOT / "src" / "caplet" / "programs" / "amd64" / "http", made / "server")
    shutil.copy(ROOT / "examples" / "http" / "pod.yaml", made)
    caplet(made, "pack", "server", "-o", "oci:web")
    caplet(made, "grant", "oci:web", "-o", "oci:web:granted", "NET_BIND_SERVICE")
    return made


@pytest.mark.parametrize(("command", "output"), SESSIONS, ids=[command.split()[0] for command, _ in SESSIONS])
@pytest.mark.usefixtures("root")
def test_session(directory: Path, command: str, output: str) -> None:
    assert caplet(directory, *command.split()) == output


def test_there_are_sessions() -> None:
    assert [command.split()[0] for command, _ in SESSIONS] == ["grant", "run"]


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"
