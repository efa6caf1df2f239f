# SPDX-License-Identifier: Apache-2.0
"""A seeded sample of the random stacks; `make stacks` compares ten thousand.

containerd 1.6 and 2.3 unpack alike in all that the stacks hold: pkg/archive/tar.go differs between them only in what
it writes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.image.stacks import Maker, compare, ours
from tests.image.unpacking import Containerd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SAMPLE = range(40)


def test_stacks_are_what_containerd_makes_of_them(
    tmp_path: Path, tool: Callable[[str], str], root: None
) -> None:
    tool("containerd")
    tool("ctr")
    with Containerd.started(str(tmp_path)) as engine:
        tally = compare(engine, SAMPLE, hostile=0.05)
    assert not tally.different
    assert tally.same == len(SAMPLE)


def test_the_sample_holds_images_that_unpack_and_images_that_do_not() -> None:
    results = [ours(Maker(random.Random(seed), 0.05).stack()) for seed in range(300)]
    refused = sum(isinstance(result, str) for result in results)
    assert 10 < refused < 150
    assert sum(len(result) for result in results if not isinstance(result, str)) > 1500


def test_damaged_stacks_give_a_file_system_or_a_refusal() -> None:
    """Bits flipped, blocks lost and archives cut: nothing but a result or a CapletError, and soon."""
    rng = random.Random(7)
    refused = 0
    for seed in range(400):
        stack = Maker(random.Random(seed), 0.1).stack()
        at = rng.randrange(len(stack))
        data = bytearray(stack[at])
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            data[place] ^= 1 << rng.randrange(8)
            start = place // 512 * 512
            head = bytes(data[start : start + 148]) + b" " * 8 + bytes(data[start + 156 : start + 512])
            if rng.random() < 0.8:
                data[start + 148 : start + 156] = b"%06o\0 " % sum(head)
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        stack[at] = bytes(data)
        refused += isinstance(ours(stack), str)
    assert 50 < refused < 390
