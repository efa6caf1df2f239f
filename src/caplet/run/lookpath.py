# SPDX-License-Identifier: Apache-2.0
"""Which file a container's first argument names: Go's os/exec LookPath, as runc calls it.

It runs inside the container as its user, with its capabilities: CAP_DAC_OVERRIDE in the effective set matters here.
go1.22 src/os/exec/lp_unix.go findExecutable, LookPath; runc libcontainer/standard_init_linux.go.
"""

from __future__ import annotations

import errno
import os
import stat

from caplet.run.failure import EXIT_CANNOT_INVOKE, EXIT_NOT_FOUND, CannotStart


def look_path(file: str, path: str) -> str:
    """The file to execute. Raises CannotStart in runc's words."""
    if "/" in file:
        problem = _problem(file)
        if problem:
            raise CannotStart(
                f'exec: "{file}": {_words(file, problem)}',
                code=EXIT_NOT_FOUND if problem == errno.ENOENT else EXIT_CANNOT_INVOKE,
            )
        return file
    for directory in path.split(":") if path else ():
        candidate = os.path.join(directory or ".", file)
        if not _problem(candidate):
            if not candidate.startswith("/"):
                raise CannotStart(
                    f'exec: "{file}": cannot run executable found relative to current directory',
                    code=EXIT_CANNOT_INVOKE,
                )
            return candidate
    raise CannotStart(f'exec: "{file}": executable file not found in $PATH', code=EXIT_NOT_FOUND)


def _problem(file: str) -> int:
    """The errno that keeps the file from being executed; 0 when none does."""
    try:
        mode = os.stat(file).st_mode
    except OSError as error:
        return error.errno or errno.EIO
    if stat.S_ISDIR(mode):
        return errno.EISDIR
    return 0 if os.access(file, os.X_OK, effective_ids=True) else errno.EACCES


def _words(file: str, number: int) -> str:
    text = os.strerror(number).lower()
    return f"stat {file}: {text}" if number not in {errno.EACCES, errno.EISDIR} else text
