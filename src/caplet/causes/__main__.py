# SPDX-License-Identifier: Apache-2.0
"""`python -m caplet.causes DIRECTORY`: write the causes' pages, and remove those of causes that are no more."""

from __future__ import annotations

import sys
from pathlib import Path

from caplet.causes.pages import pages


def write(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for old in directory.glob("*.md"):
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
