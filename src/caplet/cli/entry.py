# SPDX-License-Identifier: Apache-2.0
"""The `caplet` executable's first module: answers `--version` before anything heavy is imported."""

from __future__ import annotations

import sys


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        from caplet import __version__

        print(f"caplet {__version__}")
        return
    from caplet.cli.main import run

    sys.exit(run(sys.argv[1:]))
