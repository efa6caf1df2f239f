# SPDX-License-Identifier: Apache-2.0
"""The `caplet` executable's first module: answers `--version` before anything heavy is imported."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        from caplet import __version__

        print(f"caplet {__version__}")
        return
    try:
        _open_standard_streams()
        from caplet.cli.main import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before run() could take it, or after
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """What the caller closed becomes /dev/null: else the next file that is opened would take its number."""
    import os

    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number, inheritable=True)
                os.close(null)
            else:
                os.set_inheritable(number, True)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
