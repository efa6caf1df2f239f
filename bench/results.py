# SPDX-License-Identifier: Apache-2.0
"""A run's results: every single measurement, on which machine, with which versions. JSON on disk."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import peers
from bench.cases import AtMost, Goal, Ratio, Seconds
from bench.images import Image, Layer
from bench.measure import Sample


@dataclass(frozen=True, slots=True)
class Measured:
    """One case: the samples of each way in the order of its rounds; a way that was skipped has a reason instead."""

    name: str
    title: str
    samples: dict[str, list[Sample]]
    skipped: dict[str, str]
    goals: list[Goal]


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    command: str
    machine: dict[str, str]
    images: list[Image] = field(default_factory=list)
    cases: list[Measured] = field(default_factory=list)


def machine(floor: int) -> dict[str, str]:
    """What the figures depend on."""
    uname = os.uname()
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB",
        "kernel": f"{uname.sysname} {uname.release} {uname.machine}",
        "python": platform.python_version(),
        "caplet": _commit(),
        "umoci": peers.version("umoci"),
        "umoci, newest": peers.version(peers.newest_umoci()),
        "buildah": peers.version("buildah"),
        "zstd": peers.version("zstd"),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "smallest peak that can be told": f"{floor / 1e6:.0f} MB",
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="ascii") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def _commit() -> str:
    said = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], check=False, capture_output=True, text=True
    )
    return f"{peers.version('caplet')} {said.stdout.strip()}"


def write(results: Results, path: str) -> None:
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(asdict(results), file, indent=1)
        file.write("\n")
    os.replace(path + ".new", path)


def read(path: str) -> Results:
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    return Results(
        data["command"],
        data["machine"],
        [_image(item) for item in data["images"]],
        [_case(item) for item in data["cases"]],
    )


def _image(data: dict[str, Any]) -> Image:
    return Image(**{**data, "layers": tuple(Layer(**layer) for layer in data["layers"])})


def _case(data: dict[str, Any]) -> Measured:
    samples = {way: [Sample(**sample) for sample in samples] for way, samples in data["samples"].items()}
    return Measured(
        data["name"], data["title"], samples, data["skipped"], [_goal(goal) for goal in data["goals"]]
    )


def _goal(data: dict[str, Any]) -> Goal:
    kind: type[Goal] = Ratio if "other" in data else AtMost if "field" in data else Seconds
    return kind(**data)
