# SPDX-License-Identifier: Apache-2.0
"""answer_somewhere(): the answer on the first node of a short list where what was seen can happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caplet.why.answer import Explained, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from caplet.why.answer import Answer
    from caplet.why.clue import Clue

USUAL = ("containerd", "containerd:1.7", "crio")
"""As `--on` names them: the newest; the last that opens no port by itself; another default set."""


def answer_somewhere(clues: Sequence[Clue], on: Callable[[str], Sequence[Explained]]) -> Answer:
    """For a Pod of which nobody says where it runs. `on`: its containers on a node.

    A node that explains a line comes first, then one that at least can have written all of them.
    """
    found: list[Answer] = []
    for node in USUAL:
        one = answer(clues, on(node), assumed=True)
        if not one.impossible and (not one.candidates or _is_explained(one)):
            return one
        found.append(one)
    return next((one for one in found if not one.impossible), found[0])


def _is_explained(one: Answer) -> bool:
    """By the containers, or no matter where they run."""
    return bool(one.answered)
