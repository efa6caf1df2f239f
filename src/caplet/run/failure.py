# SPDX-License-Identifier: Apache-2.0
"""Why a container's program did not run, in the OCI runtime's own words."""

from __future__ import annotations

import re

EXIT_RUNTIME_FAILED = 125
EXIT_CANNOT_INVOKE = 126
EXIT_NOT_FOUND = 127
"""podman-run(1), "Exit Status"; Docker's are the same."""


class CannotStart(Exception):  # a "no" of the runtime, reported as a value
    """The runtime refused the container, or execve(2) the program."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        """runc's: `exec /ep: operation not permitted`."""
        self.code = code


_NOT_FOUND = re.compile(r"not found|no such file or directory|not a directory", re.IGNORECASE)


def exit_code_of(message: str) -> int:
    """The exit code for a runtime's words about a program that could not be executed."""
    if not re.search(r"\bexec|executable|chdir|cwd", message):
        return EXIT_RUNTIME_FAILED
    return EXIT_NOT_FOUND if _NOT_FOUND.search(message) else EXIT_CANNOT_INVOKE
