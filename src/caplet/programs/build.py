# SPDX-License-Identifier: Apache-2.0
"""Build the C programs: `python -m caplet.programs.build [DIRECTORY]`, the same bytes on any machine.

The compiler is Zig's clang, because the pinned `ziglang` wheel brings one compiler, one linker and the kernel's
and musl's headers for every architecture to every machine. Nothing of the machine enters the result: no host headers
(`-linux-none`, all include directories are the wheel's), no build-id, no paths, no times, no debug information, and the
CPU is the baseline of the architecture.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from caplet.errors import CapletError, Unavailable
from caplet.programs.shipped import ARCHITECTURES, HERE, NAMES, SUMS

TARGETS = {"amd64": ("x86_64", "x86"), "arm64": ("aarch64", "aarch64")}
"""Architecture -> Zig's name of it, the kernel's name of it (arch/x86, for <asm/...>)."""

CFLAGS = (
    "-std=c11", "-Os", "-g0", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-ident",
)  # fmt: skip
LDFLAGS = ("-nostdlib", "-static", "-s", "-Wl,--build-id=none")


def headers(zig: str, kernel: str) -> list[str]:
    """The include directories, all of them inside the wheel."""
    include = _compiler_package() / "lib" / "libc" / "include"
    names = (f"{zig}-linux-musl", "generic-musl", f"{kernel}-linux-any", "any-linux-any")
    return [argument for name in names for argument in ("-isystem", str(include / name))]


def compile_program(source: Path, architecture: str, output: Path) -> None:
    """Compile one C file for one architecture to `output`."""
    zig, kernel = TARGETS[architecture]
    with tempfile.TemporaryDirectory(prefix="caplet-zig-") as cache:
        command = [
            sys.executable, "-m", "ziglang", "cc", "-target", f"{zig}-linux-none", "-mcpu=baseline",
            *CFLAGS, *headers(zig, kernel), *LDFLAGS, "-o", str(output), source.name,
        ]  # fmt: skip
        environment = {
            "PATH": os.defpath, "HOME": cache, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache,
        }  # fmt: skip
        built = subprocess.run(
            command, cwd=source.parent, env=environment, capture_output=True, text=True, check=False
        )
    if built.returncode != 0:
        raise CapletError(f"{source.name} does not compile for {architecture}:\n{built.stderr.strip()}")


def build(directory: Path, sources: Path = HERE) -> None:
    """Build every program of `sources` for every architecture below `directory`; record the digests there."""
    sums = []
    for architecture in ARCHITECTURES:
        (directory / architecture).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            file = directory / architecture / name
            compile_program(sources / f"{name}.c", architecture, file)
            file.chmod(0o755)
            sums.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {architecture}/{name}\n")
    (directory / SUMS.name).write_text("".join(sums), "ascii")


def _compiler_package() -> Path:
    found = importlib.util.find_spec("ziglang")
    if found is None or found.origin is None:
        raise Unavailable("the C programs are built with the ziglang wheel", "pip install 'caplet[dev]'")
    return Path(found.origin).parent


if __name__ == "__main__":
    try:
        build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    except CapletError as error:
        sys.exit(f"{error.message}\n{error.hint}".rstrip())
