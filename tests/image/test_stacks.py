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
