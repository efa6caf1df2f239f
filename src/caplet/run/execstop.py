# SPDX-License-Identifier: Apache-2.0
"""Reads a process's status in the instant between execve(2) and the first instruction of the new program.

A tracer (ptrace(2), PTRACE_SEIZE) has the kernel stop the process there (PTRACE_EVENT_EXEC). It changes nothing that is
looked at: the kernel takes privileges from a traced program only where the tracer lacks CAP_SYS_PTRACE
(`security/commoncap.c`, ptracer_capable()), and this one is root in the program's user namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal

_PTRACE_CONT = 7
_PTRACE_DETACH = 17
_PTRACE_SEIZE = 0x4206
_PTRACE_LISTEN = 0x4208
_PTRACE_O_TRACEEXEC = 0x10
_EVENT_EXEC = 4
_EVENT_STOP = 128
"""include/uapi/linux/ptrace.h."""
_WALL = 0x4000_0000
"""Threads too; include/uapi/linux/wait.h."""

ANSWER_SECONDS = 5.0
"""From the start of the program to the tracer's word; it is there already, or the tracer is gone."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class ExecStop:
    """Watches one process until its next execve. `status()` is empty where it could not be watched."""

    def __init__(self, pid: int) -> None:
        self._answer, theirs = os.pipe()
        self._tracer = os.fork()
        if self._tracer == 0:
            with contextlib.suppress(BaseException):
                _trace(pid, theirs)
            os._exit(0)
        os.close(theirs)
        os.read(self._answer, 1)  # seized, or given up

    def status(self) -> str:
        """/proc/PID/status as it was then. To be asked once, when the program runs."""
        text = b""
        while select.select([self._answer], [], [], ANSWER_SECONDS)[0]:
            piece = os.read(self._answer, 65536)
            if not piece:
                break
            text += piece
        self.end()
        return text.decode(errors="replace")

    def end(self) -> None:
        """Let go of the process."""
        if self._tracer:
            os.close(self._answer)
            os.kill(self._tracer, signal.SIGKILL)  # a tracer's end detaches; a stopped process goes on
            os.waitpid(self._tracer, 0)
            self._tracer = 0


def _trace(pid: int, answer: int) -> None:
    """Pass everything on to the process until it executes a program."""
    if _ptrace(_PTRACE_SEIZE, pid, _PTRACE_O_TRACEEXEC) < 0:
        return
    os.write(answer, b"\n")
    while True:
        _, status = os.waitpid(pid, _WALL)
        if not os.WIFSTOPPED(status):
            return
        event, number = status >> 16, os.WSTOPSIG(status)
        if event == _EVENT_EXEC:
            with open(f"/proc/{pid}/status", "rb") as file:
                os.write(answer, file.read())
            _ptrace(_PTRACE_DETACH, pid, 0)
            return
        if event == _EVENT_STOP and number != signal.SIGTRAP:  # a group-stop: it stays stopped
            _ptrace(_PTRACE_LISTEN, pid, 0)
        else:
            _ptrace(_PTRACE_CONT, pid, 0 if event else number)


def _ptrace(request: int, pid: int, data: int) -> int:
    result: int = _libc.ptrace(request, pid, None, data)
    return result
