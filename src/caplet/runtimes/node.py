# SPDX-License-Identifier: Apache-2.0
"""What runs the Pod: an engine, an OCI runtime, a Kubernetes and a kernel, each in one release. `--on` names them.

containerd                              the newest, and what it is usually deployed with
containerd:1.7                          the newest 1.7
containerd:2.1+crun:1.14                with another OCI runtime
crio+kubernetes:1.30+linux:6.1          with another Kubernetes, another kernel
gke-autopilot:1.33, openshift, kind     a platform, in its own releases, with its admission
gke:1.35+containerd:2.1                 a platform of which nobody says what it has
containerd:2.1,crio,podman:5            several
all                                     the newest of each engine
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from caplet.errors import InvalidInput
from caplet.kernel.caps import Caps, nearest
from caplet.kernel.versions import NEWEST as NEWEST_KERNEL
from caplet.kernel.versions import Kernel
from caplet.runtimes import apiserver, commandline, kubelet
from caplet.runtimes.admission import Admitted
from caplet.runtimes.model import Refused, Spec, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from caplet.image.config import ImageConfig
    from caplet.kubernetes.pod import Container, PodSpec
    from caplet.runtimes.engine import Engine, ImageAccount, OCIRuntime
    from caplet.runtimes.model import SecurityContext
    from caplet.runtimes.platforms import Platform, Row

T = TypeVar("T")


class _Modules(Mapping[str, T]):
    """A value of each module, loaded when somebody asks for it: only a matrix of all engines has to pay for all."""

    def __init__(self, attribute: str, modules: Mapping[str, str]) -> None:
        self._attribute = attribute
        self._modules = modules

    def __getitem__(self, name: str) -> T:
        value: T = getattr(importlib.import_module(f"caplet.runtimes.{self._modules[name]}"), self._attribute)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __len__(self) -> int:
        return len(self._modules)


ENGINES: Mapping[str, Engine] = _Modules(
    "ENGINE", {name: name for name in ("containerd", "crio", "docker", "podman")}
)
RUNTIMES: Mapping[str, OCIRuntime] = _Modules("RUNTIME", {"runc": "runc", "crun": "crun", "runsc": "gvisor"})

OTHER_NAMES = {
    "cri-o": "crio",
    "moby": "docker",
    "dockerd": "docker",
    "gvisor": "runsc",
    "k8s": "kubernetes",
    "kernel": "linux",
}
"""What people write, and the name that is meant."""

OTHERS = ("kubernetes", "linux")
"""What else stands behind a +."""

MAX_NODES = 100
"""Columns that one `--on` may ask for: far more than anyone can read."""


@dataclass(frozen=True, slots=True)
class Node:
    """One column of the matrix of `explain --on`."""

    name: str
    """As it was asked for, in canonical form: `containerd:2.1`, `openshift`."""
    engine: Engine
    engine_version: Version
    runtime: OCIRuntime
    runtime_version: Version
    kubernetes: Version | None
    """None: Docker or Podman by hand, with no kubelet and no API server."""
    kernel: Kernel
    platform: Platform | None
    row: Row | None
    """The platform in that release."""
    assumed: tuple[str, ...]
    """What was not asked for but chosen, in words: `runc 1.3.6, as containerd 2.1.9 usually has`."""

    def admit(self, pod: PodSpec, container: Container) -> Admitted | Refused:
        """What the API server and the platform's admission make of it."""
        if self.kubernetes is None:
            return Admitted(container)
        refused = next(apiserver.refusals(pod, self.kubernetes), None)
        if refused is not None:
            return refused
        return Admitted(container) if self.platform is None else self.platform.admit(pod, container)

    def request(self, pod: PodSpec, container: Container, image_user: str) -> SecurityContext | Refused:
        """What the engine is asked for: by the kubelet, after the platform's admission; or by the flags that say the same."""
        if self.kubernetes is None:
            return commandline.security_context(pod, container)
        if self.platform is not None:
            admitted = self.platform.admit(pod, container)
            if isinstance(admitted, Refused):
                return admitted
            container = admitted.container
        request = kubelet.security_context(pod, container, image_user, self.kubernetes)
        if isinstance(request, Refused) or not request.user_ns or self.has_user_namespaces:
            return request
        return Refused("kubelet", kubelet.NO_USER_NAMESPACES)

    @property
    def has_user_namespaces(self) -> bool:
        """Whether the kubelet hears from engine and OCI runtime that `hostUsers: false` can be had."""
        engine, runtime = self.engine.user_namespaces, self.runtime.id_mapped_mounts
        return (
            engine is not None
            and runtime is not None
            and engine.at(self.engine_version)
            and runtime.at(self.runtime_version)
        )

    def spec(
        self,
        pod: PodSpec,
        container: Container,
        request: SecurityContext,
        image: ImageConfig,
        account: ImageAccount,
        every: Caps | None = None,
        default_caps: Caps | None = None,
    ) -> Spec | Refused:
        """The config.json. `account`: what `engine.user_string(request, image.user)` is in the image.

        `every`: the capabilities that the engine itself has; None: all of the kernel. `default_caps`: what its configuration
        names in place of its own (`default_capabilities` of crio.conf and containers.conf).
        """
        spec = self.engine.spec(
            pod,
            container,
            request,
            image,
            account,
            version=self.engine_version,
            every=Caps.all(self.kernel.last_cap) if every is None else every,
            default_caps=default_caps,
        )
        if isinstance(spec, Refused) or self.row is None or pod.host_network:
            return spec
        return replace(spec, sysctl={**self.row.sysctls, **spec.sysctl})

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
    given = _Given(name, [_written(name, number)])
    if name in ENGINES:
        given.engine_in(ENGINES[name], number)
    elif name in (platforms := _platforms()):
        given.platform(platforms[name], number, {_split(part)[0] for part in rest})
    else:
        known = [*ENGINES, *platforms]
        raise InvalidInput(f"unknown engine {name[:40]!r}{nearest(name, known)}", f"known: {_known()}")
    for part in rest:
        given.part(*_split(part))
    return given.node()


class _Given:
    """What the parts of one name say, and then what is assumed of the rest."""

    def __init__(self, name: str, written: list[str]) -> None:
        self.name = name
        self.written = written
        self.assumed: list[str] = []
        self.engine: tuple[Engine, Version] | None = None
        self.runtime: tuple[OCIRuntime, Version] | None = None
        self.kubernetes: Version | None = None
        self.kernel: Kernel | None = None
        self.of: tuple[Platform, Row | None] | None = None

    def engine_in(self, engine: Engine, number: str) -> None:
        version = _release(engine.name, number, engine.releases)
        self.assumed += _newest(engine.title, number, version)
        self.engine = engine, version

    def platform(self, platform: Platform, number: str, parts: set[str]) -> None:
        """The row of that release. Without one, the engine and the Kubernetes have to be said."""
        row = _row(platform, number)
        self.of = platform, row
        if row is None:
            if not parts & set(ENGINES):
                raise _unknown_row(platform, number)
            self.kubernetes = _kubernetes(platform, number)
            return
        if not number:
            self.assumed.append(f"{platform.title} {row.release}, the newest that is known")
        name, version = row.engine
        if not parts & set(ENGINES):
            self.engine = ENGINES[name], version
            self.assumed.append(f"{ENGINES[name].title} {version}: {row.source}")
            if row.runtime is not None:
                self.runtime = RUNTIMES[row.runtime[0]], row.runtime[1]
        self.kubernetes = row.kubernetes

    def part(self, name: str, number: str) -> None:
        """One behind a +."""
        self.written.append(_written(name, number))
        if name in RUNTIMES:
            self.runtime = RUNTIMES[name], _runtime_release(RUNTIMES[name], number)
            self.assumed += _newest(name, number, self.runtime[1])
        elif name in ENGINES and self.of is not None:
            self.engine_in(ENGINES[name], number)
        elif name == "kubernetes" and (self.of is not None or ENGINES[self.name].kubernetes is not None):
            self.kubernetes = _release(name, number, kubelet.RELEASES)
        elif name == "linux" and number:
            self.kernel = Kernel.parse(number)
        else:
            raise self._unknown_part(name)

    def _unknown_part(self, name: str) -> InvalidInput:
        with_kubernetes = self.of is not None or ENGINES[self.name].kubernetes is not None
        parts = [*RUNTIMES, *(ENGINES if self.of is not None else ()), "linux"]
        parts += ["kubernetes"] if with_kubernetes else []
        return InvalidInput(
            f"{self.name} with {name[:40]!r}: nothing of that name goes behind a +{nearest(name, parts)}",
            f"known: {', '.join(f'+{part}' for part in parts)}",
        )

    def node(self) -> Node:
        assert self.engine is not None
        engine, version = self.engine
        if self.runtime is None:
            usual, release = engine.runtimes.at(version)
            self.runtime = RUNTIMES[usual], release
            self.assumed.append(f"{usual} {release}, as {engine.title} {version} usually has")
        if self.kubernetes is None and engine.kubernetes is not None:
            self.kubernetes = engine.kubernetes.at(version)
            self.assumed.append(f"Kubernetes {self.kubernetes}, the newest for {engine.title} {version}")
        if self.kernel is None:
            self.kernel = NEWEST_KERNEL
            self.assumed.append(f"Linux {self.kernel}")
        platform, row = self.of or (None, None)
        return Node(
            name="+".join(self.written),
            engine=engine,
            engine_version=version,
            runtime=self.runtime[0],
            runtime_version=self.runtime[1],
            kubernetes=self.kubernetes,
            kernel=self.kernel,
            platform=platform,
            row=row,
            assumed=tuple(self.assumed),
        )


def _written(name: str, number: str) -> str:
    return f"{name}:{number}" if number else name


def _newest(title: str, number: str, version: Version) -> list[str]:
    """What is to be said where the number that was asked for is not the whole version."""
    if number in {str(version), f"{version.line}.{version.patch}"}:
        return []
    return [f"{title} {version}, the newest {f'{number} ' if number else ''}that is known"]


def _split(text: str) -> tuple[str, str]:
    """Name and version; `openshift:nonroot-v2:4.16` is one name that has a colon in it."""
    text = text.strip().replace("://", ":", 1)  # as a Node's status has it: containerd://1.7.27
    name, colon, number = text.partition(":")
    name = name.lower()
    if colon and not number:
        raise InvalidInput(
            f"--on {text[:60]}: no version behind the colon", "leave the colon out for the newest"
        )
    name = OTHER_NAMES.get(name, name)
    if name not in ENGINES and name not in RUNTIMES and name not in OTHERS:
        from caplet.runtimes.platforms import OTHER_NAMES as OF_PLATFORMS

        second, _, rest = number.partition(":")
        if (longer := f"{name}:{second.lower()}") in _platforms() or longer in OF_PLATFORMS:
            name, number = longer, rest
        name = OF_PLATFORMS.get(name, name)
    return name, number.removeprefix("v")


def _platforms() -> Mapping[str, Platform]:
    from caplet.runtimes.platforms import PLATFORMS

    return PLATFORMS


def _known() -> str:
    engines = (f"{name}:{one.releases[0].line} to {one.releases[-1].line}" for name, one in ENGINES.items())
    return ", ".join((*engines, *_platforms()))


def _row(platform: Platform, number: str) -> Row | None:
    """The newest row that the number begins, or of its line the last one that is not newer; none where nothing is known."""
    if not number:
        return platform.rows[-1] if platform.rows else None
    version = Version.parse(number)
    given = number.count(".") + 1
    line = [row for row in platform.rows if row.release.major == version.major]
    if given > 1:
        line = [row for row in line if row.release.minor == version.minor]
    if given > 2:
        line = [row for row in line if row.release <= version] or line[:1]
    return line[-1] if line else None


def _unknown_row(platform: Platform, number: str) -> InvalidInput:
    if not platform.rows:
        return InvalidInput(
            f"what runs on {platform.title} is not published",
            f"say it, {_written(platform.name, number[:20])}+containerd:1.7; {platform.find_out}",
        )
    version = Version.parse(number)
    near = min(platform.rows, key=lambda row: _distance(row.release, version))
    known = ", ".join(dict.fromkeys(row.release.line for row in platform.rows))
    return InvalidInput(
        f"what runs on {platform.title} {number[:20]} is not known; the nearest that is: {platform.name}:{near.release.line}",
        f"say it, {platform.name}:{number[:20]}+containerd:2.1; {platform.find_out}. Known: {known}",
    )


def _kubernetes(platform: Platform, number: str) -> Version | None:
    """Of a release without a row: the number itself, where the platform counts as Kubernetes does; else to be chosen."""
    counts_alike = all(row.release == row.kubernetes for row in platform.rows)
    return Version.parse(number) if number and counts_alike else None


def _runtime_release(runtime: OCIRuntime, number: str) -> Version:
    if number and runtime.dated:
        version = Version.parse(number)
        if version.major < 20180501:
            raise InvalidInput(
                f"unknown version {runtime.name} {number[:20]}", "its releases are dates: 20260817"
            )
        return version
    return _release(runtime.name, number, runtime.releases)


def _release(name: str, number: str, releases: tuple[Version, ...]) -> Version:
    """The release that the number begins; without a number the newest. A later patch of a known line is taken as it is."""
    if not number:
        return releases[-1]
    version = Version.parse(number)
    given = number.split("-", 1)[0].count(".") + 1
    matching = [one for one in releases if one.major == version.major]
    if given > 1:
        matching = [one for one in matching if one.minor == version.minor]
    if not matching:
        near = min(releases, key=lambda one: _distance(one, version))
        raise InvalidInput(
            f"unknown version {name} {number[:20]}",
            f"the nearest that is known: {name}:{near.line}; known: {releases[0].line} to {releases[-1].line}",
        )
    return version if given > 2 else matching[-1]


def _distance(one: Version, other: Version) -> tuple[int, int]:
    return abs(one.major - other.major), abs(one.minor - other.minor)


def names() -> Iterable[str]:
    """For completion on the command line."""
    return (*ENGINES, *_platforms())
