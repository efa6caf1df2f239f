# SPDX-License-Identifier: Apache-2.0
"""Paths and capabilities of files as caplet's JSON has them: as text to read, and as exact bytes in hexadecimal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caplet.cli.terminal import printable
from caplet.errors import InvalidInput
from caplet.kernel.filecaps import FileCaps

if TYPE_CHECKING:
    from caplet.kernel.caps import Caps


def path_json(path: bytes) -> dict[str, str]:
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = printable(path)
    return {"path": text, "pathHex": path.hex()}


def capability_json(value: bytes | None) -> dict[str, Any] | None:
    """The attribute security.capability, raw and decoded; `text` is null where it cannot be decoded."""
    if value is None:
        return None
    try:
        caps = FileCaps.decode(value)
    except InvalidInput:
        return {"hex": value.hex(), "text": None}
    return {
        "hex": value.hex(),
        "text": str(caps),
        "revision": value[3],
        "permitted": _caps_json(caps.permitted),
        "inheritable": _caps_json(caps.inheritable),
        "effective": caps.effective,
        "rootid": caps.rootid,
    }


def _caps_json(caps: Caps) -> dict[str, Any]:
    return {"names": list(caps.names()), "mask": f"0x{caps.mask:016x}"}
