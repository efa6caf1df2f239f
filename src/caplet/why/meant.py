# SPDX-License-Identifier: Apache-2.0
"""meant(): the words behind `caplet why` as they are meant: a line without its quotes, or something else than a line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from caplet.causes.catalogue import named
from caplet.errors import InvalidInput
from caplet.why.live import KINDS, is_kind, is_other_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

_IMAGE = re.compile(r"(?:oci|oci-archive|docker-archive):\S")
_MANIFEST = (".yaml", ".yml", ".json")


def meant(words: Sequence[str]) -> str | None:
    """The line, KIND/NAME or `-`; None where nothing is said. `pod web` is pod/web, as for kubectl.

    Raises InvalidInput, with what to write, for one word that belongs elsewhere.
    """
    if not words:
        return None
    if len(words) == 2 and is_kind(words[0]):
        return "/".join(words)
    what = " ".join(words)
    wrong = _elsewhere(what) if what and not any(map(str.isspace, what)) else None
    if wrong is not None:
        raise wrong
    return what


def _elsewhere(word: str) -> InvalidInput | None:
    cause = None if word.isdecimal() else named(word)
    if cause is not None:
        return InvalidInput(f"{word} is a cause, not what was seen", f"caplet cause {cause.code}")
    if _IMAGE.match(word):
        return InvalidInput(f"{word} is an image, not what was seen", f"--image {word}")
    if word.lower().endswith(_MANIFEST):
        return InvalidInput(f"{word} is a manifest, not what was seen", f"caplet why 'the line' -f {word}")
    if is_kind(word):
        return InvalidInput(f"{word}: the name is missing", f"caplet why {word}/NAME")
    if is_other_kind(word):
        return InvalidInput(
            f"{word}: of a cluster these kinds are read: {KINDS}", "a line of a log goes in quotes"
        )
    return None
