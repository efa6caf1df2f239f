# SPDX-License-Identifier: Apache-2.0
"""runc or crun as the OCI runtime: our own config.json, our own --root, no cgroup.

Cgroups decide about resources, not about credentials, and a machine's hierarchies (v1, v2, both) can stop either
runtime. So /sys/fs/cgroup is a read-only cgroup2 mount here, seen in the sandbox only; runc is told to live with it
(--rootless=true: libcontainer/cgroups/fs2 Apply ignores that error when no cgroupsPath is given), crun to leave
cgroups alone (--cgroup-manager=disabled). Measured with runc 1.1.5 and crun 1.8.1 on a hybrid hierarchy.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from caplet.run import linux
from caplet.run.failure import EXIT_RUNTIME_FAILED, CannotStart, exit_code_of

if TYPE_CHECKING:
    from caplet.runtimes.model import Spec

OPTIONS = {"runc": ("--rootless=true",), "crun": ("--cgroup-manager=disabled",)}
LOG = {"runc": ("--log-format", "json"), "crun": ()}
"""crun writes what it says after the log is out of reach, the error of execve, to standard error in the log's format."""
CONTAINER_ID = "caplet"
"""The state directory is this container's alone."""

EXEC_POLL_SECONDS = 0.001
EXEC_SECONDS = 10.0
"""From the runtime's `start` to execve(2) in the container: microseconds. A loaded machine may need longer."""


class Runtime:
    """One container of runc or crun."""

    def __init__(
        self, name: str, program: str, spec: Spec, scratch: str, stdio: tuple[int, int, int]
    ) -> None:
        self._scratch = scratch
        self._stdio = stdio
        self._log = os.path.join(scratch, "log")
        self._command = [
            program,
            *OPTIONS[name],
            "--root",
            os.path.join(scratch, "state"),
            "--log",
            self._log,
            *LOG[name],
        ]
        self._spec = spec
        self._pid = 0
        self._before = ("", "")

    def create(self) -> int:
        """The process id of the container's process, which waits for start()."""
        with open(os.path.join(self._scratch, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config(self._spec), file)
        os.makedirs(os.path.join(self._scratch, "state"), exist_ok=True)
        _forget_cgroups()
        numbers = os.path.join(self._scratch, "pid")
        self._run("create", "--bundle", self._scratch, "--pid-file", numbers, CONTAINER_ID)
        with open(numbers, encoding="ascii") as file:
            self._pid = int(file.read())
        self._before = self._running()
        return self._pid

    def start(self) -> None:
        """Let it call execve(2); returns when the program runs, or raises in the runtime's words."""
        self._run("start", CONTAINER_ID)
        end = time.monotonic() + EXEC_SECONDS
        while not self._executed():
            if self._ended():
                if self._executed():  # and ended in between
                    return
                message = self._error()
                raise CannotStart(message, exit_code_of(message or "exec"))
            if time.monotonic() > end:
                raise CannotStart("the container's process did not call execve", EXIT_RUNTIME_FAILED)
            time.sleep(EXEC_POLL_SECONDS)

    def _executed(self) -> bool:
        """Whether it runs another program than at create(); a process that ends has no file any more, but its name."""
        (name, file), (name_before, file_before) = self._running(), self._before
        return name != name_before or file not in {"", file_before}

    def _running(self) -> tuple[str, str]:
        """The command name, which only execve changes and a zombie keeps, and the program's file."""
        with open(f"/proc/{self._pid}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read()
        try:
            return name, os.readlink(f"/proc/{self._pid}/exe")
        except OSError:
            return name, ""

    def _ended(self) -> bool:
        with open(f"/proc/{self._pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"

    def _run(self, *arguments: str) -> None:
        stdin, stdout, stderr = self._stdio
        result = subprocess.run(
            [*self._command, *arguments], stdin=stdin, stdout=stdout, stderr=stderr, check=False
        )
        if result.returncode:
            message = self._error() or f"{self._command[0]} {arguments[0]}: exit code {result.returncode}"
            raise CannotStart(message, exit_code_of(message))

    def _error(self) -> str:
        """The last error in the runtime's log; empty when it has none (runc's exec error goes to standard error)."""
        try:
            with open(self._log, encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return ""
        for line in reversed(lines):
            if message := _error_in(line):
                return message
        return ""


def _error_in(line: str) -> str:
    """The message of one line of the log, if it is an error: JSON of runc, plain text of crun."""
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return str(entry.get("msg", "")) if entry.get("level") in {"error", "fatal"} else ""


def config(spec: Spec) -> dict[str, Any]:
    """config.json of the runtime-spec. Network, IPC and UTS namespaces are the sandbox's, so none are listed."""
    process = spec.process
    sets = process.capabilities
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {
                "uid": process.user.uid,
                "gid": process.user.gid,
                "additionalGids": list(process.user.additional_gids),
            },
            "args": list(process.args),
            "env": list(process.env),
            "cwd": process.cwd,
            "noNewPrivileges": process.no_new_privileges,
            "capabilities": {
                "bounding": list(sets.bounding),
                "effective": list(sets.effective),
                "inheritable": list(sets.inheritable),
                "permitted": list(sets.permitted),
                "ambient": list(sets.ambient),
            },
        },
        "root": {"path": "rootfs", "readonly": spec.readonly_rootfs},
        "mounts": [
            {
                "destination": mount.destination,
                "type": mount.type,
                "source": mount.source,
                "options": list(mount.options),
            }
            for mount in spec.mounts
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}],
            "maskedPaths": list(spec.masked_paths),
            "readonlyPaths": list(spec.readonly_paths),
        },
    }


def _forget_cgroups() -> None:
    """See the module's docstring. A kernel without cgroup2 keeps what it has."""
    if not os.path.isdir("/sys/fs/cgroup"):
        return
    try:
        linux.mount(
            "cgroup2", "/sys/fs/cgroup", "cgroup2", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        )
        linux.remount("/sys/fs/cgroup", linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    except OSError:
        return
