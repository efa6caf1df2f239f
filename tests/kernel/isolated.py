"""Code that runs in a forked process of its own, because it enters namespaces that it cannot leave.

The process dies with the one that made it.
"""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Generic, TypeVar

from caplet.errors import CapletError
from caplet.run import linux

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Isolated(Generic[T]):
    """The call of `function` in a child; `result()` waits for what it returned or raised."""

    def __init__(self, function: Callable[[], T]) -> None:
        self._read, write = os.pipe()
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            linux.die_with_parent(parent)
            os.close(self._read)
            _answer(function, write)
        os.close(write)

    def result(self) -> T:
        with os.fdopen(self._read, "rb") as file:
            data = file.read()
        _, status = os.waitpid(self._pid, 0)
        if not data:
            raise CapletError(f"the isolated process ended early, with status {status:#x}")
        value, error = pickle.loads(data)
        if error is not None:
            raise error
        result: T = value
        return result


def _answer(function: Callable[[], T], write: int) -> None:
    try:
        answer: tuple[T | None, Exception | None] = (function(), None)
    except Exception as error:  # noqa: BLE001  the parent raises it
        answer = (None, error)
    try:
        with os.fdopen(write, "wb") as file:
            file.write(pickle.dumps(answer))
    finally:
        os._exit(0)
