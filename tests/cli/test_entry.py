"""Start-up: `--version` imports nothing that costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caplet import __version__

HEAVY = ("click", "yaml", "isal", "rich", "json", "ctypes", "subprocess", "backports.zstd", "logging")


def imported_by(*arguments: str) -> set[str]:
    """The modules that a run of the command line imports."""
    code = (
        "import sys; before = set(sys.modules); sys.argv = ['caplet', *sys.argv[1:]]\n"
        "import caplet.cli.entry\n"
        "try: caplet.cli.entry.main()\n"
        "except SystemExit: pass\n"
        "print('\\n' + ' '.join(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    return set(result.stdout.splitlines()[-1].split())


def test_version_is_printed() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "caplet", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout == f"caplet {__version__}\n"


@pytest.mark.parametrize("module", HEAVY)
def test_version_imports_nothing_heavy(module: str) -> None:
    assert module not in imported_by("--version")


def test_help_imports_no_command() -> None:
    modules = imported_by("--help")
    assert "caplet.cli.main" in modules
    assert not {name for name in modules if name.startswith(("caplet.image", "caplet.run", "yaml", "isal"))}
    assert not modules & {"caplet.cli.complete", "caplet.cli.shells", "click.shell_completion"}
