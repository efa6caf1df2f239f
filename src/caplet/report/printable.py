# SPDX-License-Identifier: Apache-2.0
"""Text that is safe to show: names from images and errors from elsewhere may hold control or bidi characters."""

from __future__ import annotations

import unicodedata

UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, format characters (bidi overrides among them), surrogates, private use, unassigned, separators."""


def printable(text: str | bytes) -> str:
    r"""The text with everything that could move a cursor or reorder a line escaped.

    Bytes that are not UTF-8 become `\\xNN`, other unsafe characters `\\xNN`, `\\uNNNN` or `\\UNNNNNNNN`.
    A backslash stays itself: the result is for eyes, not for parsing (JSON output carries exact bytes).
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _escape(char) if unicodedata.category(char) in UNSAFE_CATEGORIES else char for char in text
    )


MAX_SHOWN = 2000
"""Characters of one name or message: what an image or a manifest says may have megabytes."""


def shown(text: str) -> str:
    """Printable, and without the middle where it is longer than anyone reads."""
    text = printable(text[: MAX_SHOWN * 2] + text[-MAX_SHOWN:] if len(text) > MAX_SHOWN * 3 else text)
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN // 2]} ... {text[-MAX_SHOWN // 2 :]}"


def _escape(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: one undecodable byte
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
