# SPDX-License-Identifier: Apache-2.0
"""What runs the Pod: an engine, an OCI runtime, a Kubernetes and a kernel, each in one release. `--on` names them.

containerd                              the newest, and what it is usually deployed with
containerd:1.7                          the newest 1.7
containerd:2.1+crun:1.14                with another OCI runtime
crio+kubernetes:1.30+linux:6.1          with another Kubernetes, another kernel
containerd:2.1,crio,podman:5            several
all                                     the newest of each engine
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from caplet.errors import InvalidInput
from caplet.kernel.caps import nearest
from caplet.kernel.versions import NEWEST as NEWEST_KERNEL
from caplet.kernel.versions import Kernel
from caplet.runtimes import commandline, containerd, crio, crun, docker, kubelet, podman, runc
from caplet.runtimes.model import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import Engine, OCIRuntime
    from caplet.runtimes.model import Refused, SecurityContext

ENGINES: Mapping[str, Engine] = {
    engine.name: engine for engine in (containerd.ENGINE, crio.ENGINE, docker.ENGINE, podman.ENGINE)
}
RUNTIMES: Mapping[str, OCIRuntime] = {runtime.name: runtime for runtime in (runc.RUNTIME, crun.RUNTIME)}

OTHER_NAMES = {"cri-o": "crio", "moby": "docker", "dockerd": "docker", "k8s": "kubernetes", "kernel": "linux"}
"""What people write, and the name that is meant."""

MAX_NODES = 100
"""Columns that one `--on` may ask for: far more than anyone can read."""


@dataclass(frozen=True, slots=True)
class Node:
    """One column of the matrix of `explain --on`."""

    name: str
    """As it was asked for, in canonical form: `containerd:2.1`."""
    engine: Engine
    engine_version: Version
    runtime: OCIRuntime
    runtime_version: Version
    kubernetes: Version | None
    """None: Docker or Podman by hand, with no kubelet and no API server."""
    kernel: Kernel
    assumed: tuple[str, ...]
    """What was not asked for but chosen, in words: `runc 1.3.6, which containerd 2.1.9 is tested with`."""

    def request(self, pod: PodSpec, container: Container, image_user: str) -> SecurityContext | Refused:
        """What the engine is asked for: by the kubelet, or by the flags that say the same."""
        if self.kubernetes is None:
            return commandline.security_context(pod, container)
        return kubelet.security_context(pod, container, image_user, self.kubernetes)

    def __str__(self) -> str:
        return f"{self.engine.title} {self.engine_version} / {self.runtime.name} {self.runtime_version}"


def nodes(text: str) -> tuple[Node, ...]:
    """The nodes of a list with commas. Raises InvalidInput that names the nearest one known."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InvalidInput("--on names no engine", f"known: {_known()}")
    found: dict[str, Node] = {}
    for word in words:
        for one in ENGINES if word.lower() == "all" else (word,):
            node = parse(one)
            found.setdefault(node.name, node)
            if len(found) > MAX_NODES:
                raise InvalidInput(f"--on names more than {MAX_NODES} engines")
    return tuple(found.values())


def parse(text: str) -> Node:
    """One node: `containerd:2.1+crun:1.14`."""
    first, *rest = text.split("+")
    name, number = _split(first)
    if name not in ENGINES:
        raise InvalidInput(f"unknown engine {name[:40]!r}{nearest(name, ENGINES)}", f"known: {_known()}")
    engine = ENGINES[name]
    canonical = [f"{name}:{number}" if number else name]
    version = _release(name, number, engine.releases)
    assumed = _newest(engine.title, canonical[0], version)
    with_runtime: tuple[OCIRuntime, Version] | None = None
    kubernetes: Version | None = None
    kernel = NEWEST_KERNEL
    for part in rest:
        name, number = _split(part)
        canonical.append(f"{name}:{number}" if number else name)
        if name in RUNTIMES:
            with_runtime = RUNTIMES[name], _release(name, number, RUNTIMES[name].releases)
            assumed += _newest(name, canonical[-1], with_runtime[1])
        elif name == "kubernetes" and engine.kubernetes is not None:
            kubernetes = _release(name, number, kubelet.RELEASES)
        elif name == "linux" and number:
            kernel = Kernel.parse(number)
        else:
            raise _unknown_part(engine, name)
    if with_runtime is None:
        usual, release = engine.runtimes.at(version)
        with_runtime = RUNTIMES[usual], release
        assumed.append(f"{usual} {release}, as {engine.title} {version} usually has")
    if kubernetes is None and engine.kubernetes is not None:
        kubernetes = engine.kubernetes.at(version)
        assumed.append(f"Kubernetes {kubernetes}, the newest for {engine.title} {version}")
    if not any(part.startswith("linux:") for part in canonical):
        assumed.append(f"Linux {kernel}")
    runtime, runtime_version = with_runtime
    return Node(
        name="+".join(canonical),
        engine=engine,
        engine_version=version,
        runtime=runtime,
        runtime_version=runtime_version,
        kubernetes=kubernetes,
        kernel=kernel,
        assumed=tuple(assumed),
    )


def _newest(title: str, asked: str, version: Version) -> list[str]:
    """What is to be said where the number that was asked for is not the whole version."""
    number = asked.partition(":")[2]
    if number in {str(version), f"{version.line}.{version.patch}"}:
        return []
    return [f"{title} {version}, the newest {f'{number} ' if number else ''}that is known"]


def _split(text: str) -> tuple[str, str]:
    name, colon, number = text.strip().partition(":")
    name = name.lower()
    if colon and not number:
        raise InvalidInput(
            f"--on {text.strip()[:60]}: no version behind the colon", "leave the colon out for the newest"
        )
    return OTHER_NAMES.get(name, name), number.removeprefix("v")


def _unknown_part(engine: Engine, name: str) -> InvalidInput:
    parts = [*RUNTIMES, "linux", *(("kubernetes",) if engine.kubernetes is not None else ())]
    return InvalidInput(
        f"{engine.title} with {name[:40]!r}: nothing of that name goes behind a +{nearest(name, parts)}",
        f"known: {', '.join(f'+{part}' for part in parts)}",
    )


def _known() -> str:
    return ", ".join(
        f"{name}:{engine.releases[0].line} to {engine.releases[-1].line}" for name, engine in ENGINES.items()
    )


def _release(name: str, number: str, releases: tuple[Version, ...]) -> Version:
    """The release that the number begins; without a number the newest. A later patch of a line that is known is taken as it is."""
    if not number:
        return releases[-1]
    version = Version.parse(number)
    given = number.split("-", 1)[0].split(".")
    matching = [
        one for one in releases if str(one.major) == given[0].lstrip("0") or one.major == version.major
    ]
    if len(given) > 1:
        matching = [one for one in matching if one.minor == version.minor]
    if not matching:
        near = min(releases, key=lambda one: _distance(one, version))
        known = f"known: {releases[0].line} to {releases[-1].line}"
        raise InvalidInput(
            f"unknown version {name} {number[:20]}", f"the nearest that is known: {name}:{near.line}; {known}"
        )
    return version if len(given) > 2 else matching[-1]


def _distance(one: Version, other: Version) -> tuple[int, int]:
    return abs(one.major - other.major), abs(one.minor - other.minor)


def engine_names() -> Iterable[str]:
    """For completion on the command line."""
    return ENGINES
