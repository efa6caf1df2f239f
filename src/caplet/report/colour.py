# SPDX-License-Identifier: Apache-2.0
"""Colour and arrows on a terminal, the same text without them elsewhere.

https://no-color.org/ and https://force-color.org/ say what the variables mean; a terminal that calls itself dumb has none.
The codes are those of ECMA-48, "Select Graphic Rendition".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from caplet.report.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

Choice = Literal["auto", "always", "never"]
"""Of --color."""

Style = Literal["", "bold", "dim", "good", "bad", "unsure", "code"]

_SGR: Mapping[Style, str] = {
    "bold": "1",
    "dim": "2",
    "good": "32",
    "bad": "31",
    "unsure": "33",
    "code": "36",
}


def wants_colour(choice: Choice, environ: Mapping[str, str], *, terminal: bool) -> bool:
    """What was chosen on the command line counts before NO_COLOR, that before FORCE_COLOR, that before the terminal."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return terminal and environ.get("TERM") != "dumb"


@dataclass(frozen=True, slots=True)
class Look:
    """How text leaves: every piece of a line goes through `paint`, which escapes what could move a cursor."""

    colour: bool = False
    arrows: bool = False

    def paint(self, text: str, style: Style = "") -> str:
        text = printable(text)
        if self.arrows:
            text = text.replace(" -> ", " → ")
        code = _SGR.get(style)
        if not self.colour or code is None or not text.strip():
            return text
        return f"\x1b[{code}m{text}\x1b[0m"
