"""What is installed is the wheel, not the checkout: it must hold all that the code reads."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(ROOT)],
        check=True,
    )
    (found,) = out.glob("caplet-*.whl")
    return found


def test_holds_every_source_and_program(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = ROOT / "src"
    expected = {
        str(path.relative_to(package))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected <= names
    assert any("programs/amd64/" in name for name in names)
    assert any("programs/arm64/" in name for name in names)


def test_runs_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The wheel alone (its dependencies from this environment) answers, from an unpacked copy elsewhere."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import caplet, sys; print(caplet.__file__); import caplet.cli.entry as e; sys.argv=['caplet','--help']; e.main()"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path / "site") in result.stdout
    assert "Commands:" in result.stdout


def test_is_built_the_same_twice(wheel: Path, tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(tmp_path),
            str(ROOT),
        ],
        check=True,
    )
    assert next(tmp_path.glob("*.whl")).read_bytes() == wheel.read_bytes()
