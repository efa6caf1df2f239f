# SPDX-License-Identifier: Apache-2.0
"""Kills writes of an image at random moments: what is there afterwards is the old output or the new one.

    python -m tests.image.kill9 --count 200

Each round forks a process that writes, kills it after a random part of the time that a whole write takes, and reads the
output with caplet (`validate`) and, where it is installed, umoci.
"""

from __future__ import annotations

import argparse
import functools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.layouts import Layout, file, tar

from caplet.errors import InvalidInput
from caplet.image.config import History
from caplet.image.copy import write_image
from caplet.image.image import Image, open_image
from caplet.image.newlayer import LayerWriter
from caplet.image.staging import is_staging
from caplet.image.validate import validate

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS = 24
LAYER_SIZE = 200_000


def source(path: str) -> str:
    """An archive: its blobs are copied, not linked, so that a write takes some time."""
    layout = Layout(f"{path}/source")
    layers = [tar([file(f"f{number}", os.urandom(LAYER_SIZE))]) for number in range(LAYERS)]
    # umoci 0.4.7 crashes on a step without a time.
    history = [{"created": "2020-01-01T00:00:00Z", "created_by": "a test"}] * LAYERS
    layout.image(layers, compression="plain", more={"history": history})
    write_image(open_image(f"oci:{layout.path}"), f"oci-archive:{path}/source.tar")
    shutil.rmtree(layout.path)
    return f"oci-archive:{path}/source.tar"


def granted(reference: str) -> Image:
    image = open_image(reference)
    assert isinstance(image, Image)
    with LayerWriter() as out:
        out.write(tar([file("added", b"x")]))
        return image.append(out.finish(), History("a test"))


@dataclass(frozen=True, slots=True)
class Case:
    """A way to write: what is there before, and the references that may or must be whole afterwards."""

    destination: str
    before: str = ""
    """Written first; must be whole whatever happens."""


CASES = {
    "a new layout": Case("oci:{path}/out:new"),
    "a tag more": Case("oci:{path}/out:new", "oci:{path}/out:old"),
    "a tag replaced": Case("oci:{path}/out:old", "oci:{path}/out:old"),
    "a new archive": Case("oci-archive:{path}/out.tar:new"),
    "an archive replaced": Case("docker-archive:{path}/out.tar", "docker-archive:{path}/out.tar"),
}


def rewrite(reference: str, destination: str) -> None:
    write_image(granted(reference), destination)


def strike(write: Callable[[], object], after: float, number: int = signal.SIGKILL) -> int:
    """Run `write` in a child and send it a signal after that time. The child's wait status."""
    # A signal that came before the child's `try` would be an interrupt of the test run that it is a copy of.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    child = os.fork()
    if child == 0:
        code = 70
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            write()
            code = 0
        except KeyboardInterrupt:
            code = 2
        finally:
            os._exit(code)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    time.sleep(after)
    os.kill(child, number)
    return os.waitpid(child, 0)[1]


def check(path: str, case: Case, old: str, new: str) -> str:
    """What is there: `absent`, `old` or `new`. Raises AssertionError for anything else."""
    if case.before:
        whole(case.before.format(path=path))
    reference = case.destination.format(path=path)
    there = os.path.lexists(reference.split(":")[1])
    if not there:
        assert not case.before
        return "absent"
    try:
        found = str(open_image(reference).digest)
    except InvalidInput as error:  # the layout is there, and the tag is not: "a tag more"
        if "no tag" not in error.message:
            raise
        return "old"
    whole(reference)
    assert found in (old, new)
    return "new" if found == new else "old"


def whole(reference: str) -> None:
    problems = validate(open_image(reference))
    assert not problems, problems
    if shutil.which("umoci") and reference.startswith("oci:"):
        subprocess.run(
            ["umoci", "stat", "--image", reference.removeprefix("oci:")], check=True, capture_output=True
        )


def rounds(count: int, seed: int) -> Counter[tuple[str, str]]:
    """How often each case ended how."""
    chance = random.Random(seed)
    outcomes: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="kill9-") as path:
        reference = source(path)
        image, before = granted(reference), open_image(reference)
        old, new = str(before.digest), str(image.digest)
        for number in range(count):
            name, case = list(CASES.items())[number % len(CASES)]
            place = f"{path}/{number}"
            os.mkdir(place)
            destination = case.destination.format(path=place)
            if case.before:
                write_image(before, case.before.format(path=place))
            start = time.perf_counter()
            write_image(image, f"oci:{path}/timing{number}")
            duration = time.perf_counter() - start
            write = functools.partial(rewrite, reference, destination)
            strike(write, chance.uniform(0, duration * 1.3))
            outcomes[name, check(place, case, old, new)] += 1
            # The next write clears up what the killed one left.
            write_image(image, destination)
            assert check(place, case, old, new) == "new"
            left = [one for one in (*os.listdir(place), *listed(f"{place}/out")) if is_staging(one)]
            assert not left, left
            shutil.rmtree(place)
            shutil.rmtree(f"{path}/timing{number}")
    return outcomes


def listed(path: str) -> list[str]:
    return os.listdir(path) if os.path.isdir(path) else []


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    for (name, outcome), times in sorted(rounds(options.count, options.seed).items()):
        print(f"{times:5} {name}: {outcome}")
    print(f"{options.count} kills, no output was half written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
