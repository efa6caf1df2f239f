"""The machine's own libcap, by ctypes: the judge of texts."""

from __future__ import annotations

import ctypes
import ctypes.util

from caplet.kernel.caps import MAX_BITS, Caps
from caplet.kernel.captext import Sets

EFFECTIVE, PERMITTED, INHERITABLE = range(3)


class Libcap:
    """cap_from_text(3) and cap_to_text(3) over `Sets`."""

    def __init__(self, path: str) -> None:
        library = ctypes.CDLL(path, use_errno=True)
        self._from_text = library.cap_from_text
        self._from_text.argtypes, self._from_text.restype = [ctypes.c_char_p], ctypes.c_void_p
        self._to_text = library.cap_to_text
        self._to_text.argtypes, self._to_text.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_void_p
        self._init = library.cap_init
        self._init.argtypes, self._init.restype = [], ctypes.c_void_p
        self._free = library.cap_free
        self._free.argtypes = [ctypes.c_void_p]
        self._get_flag = library.cap_get_flag
        self._get_flag.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
        self._set_flag = library.cap_set_flag
        self._set_flag.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_int]

    def from_text(self, text: bytes) -> Sets | None:
        """None: refused."""
        state = self._from_text(text)
        if not state:
            return None
        try:
            return Sets(
                effective=self._flag(state, EFFECTIVE),
                inheritable=self._flag(state, INHERITABLE),
                permitted=self._flag(state, PERMITTED),
            )
        finally:
            self._free(state)

    def _flag(self, state: int, flag: int) -> Caps:
        value = ctypes.c_int()
        caps = []
        for cap in range(MAX_BITS):
            assert self._get_flag(state, cap, flag, ctypes.byref(value)) == 0
            if value.value:
                caps.append(cap)
        return Caps.of(*caps)

    def to_text(self, sets: Sets) -> str:
        state = self._init()
        for flag, caps in (
            (EFFECTIVE, sets.effective),
            (PERMITTED, sets.permitted),
            (INHERITABLE, sets.inheritable),
        ):
            for cap in caps:
                assert self._set_flag(state, flag, 1, ctypes.byref(ctypes.c_int(cap)), 1) == 0
        text = self._to_text(state, None)
        result = ctypes.string_at(text).decode()
        self._free(text)
        self._free(state)
        return result


def load() -> Libcap | None:
    path = ctypes.util.find_library("cap")
    return Libcap(path) if path else None
