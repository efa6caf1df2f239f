# SPDX-License-Identifier: Apache-2.0
"""Capabilities as people write them for a file of an image: what is accepted, and what was probably meant where it is not."""

from __future__ import annotations

import re

from caplet.errors import InvalidInput
from caplet.kernel.caps import MAX_BITS, Caps
from caplet.kernel.filecaps import FileCaps

_OTHER_SEPARATORS = re.compile(r"[;|/&:]+")
_WORD_WITH_SETS = re.compile(r"([A-Za-z0-9_]+)([=+][eip]+)")
_BRACKETS = re.compile(r"[][(){}\"'`]")
_MASK = re.compile(r"0x[0-9A-Fa-f]{1,16}|[1-9][0-9]{2,19}", re.ASCII)
_SETS_ALONE = re.compile(r"[=+-]?[eip]{1,3}")


def image_caps(text: str) -> FileCaps:
    """Capabilities for a file of an image: no root user id, which is revision 3 of the attribute."""
    try:
        caps = FileCaps.parse(text)
    except InvalidInput as error:
        raise InvalidInput(error.message, _meant(text.strip()) or error.hint) from None
    if caps.rootid is not None:
        raise InvalidInput(
            f"{text}: a root user id has no place in an image",
            "such an attribute is void on other machines, and keeps a program from starting on an idmapped mount",
        )
    return caps


def are_caps(text: str) -> bool:
    """Whether the text names capabilities."""
    try:
        return FileCaps.parse(text).rootid is None
    except InvalidInput:
        return False


def joined(first: str, *others: str) -> str:
    """The capabilities of several texts as one: `NET_RAW,NET_ADMIN`. Empty where one text cannot say it."""
    texts = [text.strip(", ") for text in (first, *others)]
    if not all(are_caps(text) for text in texts):
        return ""
    if not any(re.search("[=+-]", text) for text in texts):
        return ",".join(texts)
    parsed = [image_caps(text) for text in texts]
    if len({one.effective for one in parsed}) > 1:
        return ""
    union = parsed[0]
    for one in parsed[1:]:
        union = FileCaps(
            union.permitted | one.permitted, union.inheritable | one.inheritable, union.effective
        )
    return str(union)


def _meant(text: str) -> str:
    """What to write instead; empty where nothing comes to mind."""
    if _SETS_ALONE.fullmatch(text):
        return f"name the capabilities too: cap_net_bind_service={text.lstrip('=+-')}"
    words = text.split(",")
    with_sets = [_WORD_WITH_SETS.fullmatch(word) for word in words]
    if len(words) > 1 and len({found and found[2] for found in with_sets}) == 1 and with_sets[0]:
        names = ",".join(found[1] for found in with_sets if found)
        return f"write the sets once, behind the last: {names}{with_sets[0][2]}"
    for spelled in (_BRACKETS.sub("", text), text.replace("-", "_"), "_".join(text.split())):
        if spelled != text and are_caps(spelled):
            return f"write {spelled}"
    if _MASK.fullmatch(text) and 0 < int(text, 0) < 1 << MAX_BITS:
        return f"write the names of a mask: {Caps(int(text, 0))}"
    parts = [part for part in _OTHER_SEPARATORS.split(text) if part]
    if len(parts) > 1 and (better := joined(*parts)):
        return f"separate them by commas: {better}"
    return ""
